"""Stage 2: masked distillation from the stage-1 model (section 2.3.2, Appendix C.2)."""

from typing import Any

from keras import ops

from keras_videoprism.layers.global_decoder import GlobalDecoder
from keras_videoprism.layers.joint_encoder import Encoder
from keras_videoprism.layers.masking import (
    bevt_block_visible,
    bevt_visible,
    count_masked,
    slots_in_place,
    slots_shuffled,
    tube_visible,
)
from keras_videoprism.layers.random import random_permutation
from keras_videoprism.layers.token_shuffle_decoder import TokenShuffleDecoder
from keras_videoprism.layers.typing import Tensor
from keras_videoprism.models.video_prism import VideoPrism
from keras_videoprism.models.video_prism_lvt import VideoPrismLvT
from keras_videoprism.training.losses import cosine_distance, masked_mean, residual_cosine
from keras_videoprism.training.monitors import embedding_std
from keras_videoprism.training.stage import Stage

LOSS_ON = ("all", "masked", "visible")


class Stage2Model(Stage):
    """Trains a student to predict, from a third of a clip, what the teacher sees in all of it.

    `compile(optimizer)` and `fit` on batches with videos and clip_id.

    Args:
        student: the `VideoPrism` to train. The paper starts it from the teacher
            (`student.set_weights(teacher.video_encoder.get_weights())`); another width than the
            teacher's works too (Fig. 8b), since the decoders end in the teacher's width.
        teacher: the stage-1 `VideoPrismLvT`; it is frozen.
        masking_ratio: share of masked tokens (Table 9: 0.65).
        mask: "bevt" or "tube" (Fig. 6).
        num_masked_frames: with "bevt", how many frames of every clip are masked. None draws it for
            each clip; a number makes the shapes regular, which is faster.
        shuffle: shuffle the tokens before the local decoder (Algorithm 1); False puts them back.
        global_distillation: also predict the teacher's global embedding.
        loss_on: the positions that count in the token loss: "all", "masked" or "visible".
        decoder_dim, decoder_layers, decoder_heads, decoder_mlp_dim: size of both decoders.
        query_chunk_size: see `Attention`; for the local decoder, which attends over all tokens.
        seed: seed of masks and shuffling.
        num_micro_batches: accumulate the gradient over this many parts of each batch.
    """

    def __init__(
        self,
        student: VideoPrism,
        teacher: VideoPrismLvT,
        masking_ratio: float = 0.65,
        mask: str = "bevt",
        num_masked_frames: int | None = None,
        shuffle: bool = True,
        global_distillation: bool = True,
        loss_on: str = "all",
        decoder_dim: int = 512,
        decoder_layers: int = 4,
        decoder_heads: int = 8,
        decoder_mlp_dim: int = 2048,
        query_chunk_size: int | None = None,
        seed: int = 0,
        num_micro_batches: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_micro_batches=num_micro_batches, **kwargs)
        if mask not in ("bevt", "tube"):
            raise ValueError(f"mask must be 'bevt' or 'tube'; received {mask!r}.")
        if loss_on not in LOSS_ON:
            raise ValueError(f"loss_on must be one of {LOSS_ON}; received {loss_on!r}.")
        self.student = student
        self.teacher = teacher
        self.teacher.trainable = False
        self.masking_ratio = masking_ratio
        self.mask = mask
        self.num_masked_frames = num_masked_frames
        self.shuffle = shuffle
        self.loss_on = loss_on
        self.seed = seed
        decoder = {
            "output_dim": teacher.video_encoder.hidden_dim,
            "hidden_dim": decoder_dim,
            "num_layers": decoder_layers,
            "num_heads": decoder_heads,
            "mlp_dim": decoder_mlp_dim,
            "dtype": student.dtype_policy,
        }
        self.token_decoder = TokenShuffleDecoder(
            position_shape=student.position_shape,
            query_chunk_size=query_chunk_size,
            name="token_decoder",
            **decoder,
        )
        self.token_decoder.build((None, None, student.hidden_dim))
        self.global_decoder = None
        self.add_summaries("token_loss", "masked_token_loss", "residual_cosine")
        if global_distillation:
            self.global_decoder = GlobalDecoder(
                pooler_heads=teacher.video_encoder.num_heads, name="global_decoder", **decoder
            )
            self.global_decoder.build((None, None, student.hidden_dim))
            self.add_summaries("global_loss", "embedding_std")

    @property
    def encoder(self) -> Encoder:
        return self.student.encoder

    def call(self, inputs: dict[str, Tensor], training: bool = False) -> dict[str, Tensor]:
        videos = inputs["videos"]
        grid = self.encoder.grid(videos)
        count = grid[0] * grid[1] * grid[2]
        teacher_tokens = ops.stop_gradient(self.teacher.video_encoder(videos))  # [B, T*N, D]
        visible = self.visible(inputs["clip_id"], grid)
        positions = visible if not hasattr(visible, "positions") else visible.positions(grid)
        in_place = slots_in_place(positions, count)  # [B, T*N]
        tokens = self.student(videos, visible=visible)  # [B, K, D]
        slots = in_place
        if self.shuffle:
            permutation = random_permutation(
                self.seed, self.step, inputs["clip_id"], count, stream=4
            )
            slots = slots_shuffled(permutation, positions.shape[1])
        outputs = {
            "tokens": self.token_decoder(tokens, slots=slots, grid=grid),
            "teacher_tokens": teacher_tokens,
            "masked": ops.equal(in_place, positions.shape[1]),
        }
        if self.global_decoder is not None:
            outputs["embeddings"] = self.global_decoder(tokens)
            outputs["teacher_embeddings"] = ops.stop_gradient(self.teacher.pool(teacher_tokens))
        return outputs

    def visible(self, clip_id: Tensor, grid: tuple[int, int, int]) -> Tensor:
        """What the student sees of clips [B] at this step; see `FactorizedEncoder`."""
        arguments = self.seed, self.step, clip_id, grid, self.masking_ratio
        if self.mask == "tube":
            return tube_visible(*arguments)
        if self.num_masked_frames is not None:
            return bevt_block_visible(*arguments, self.num_masked_frames)
        return bevt_visible(*arguments)

    def loss_of(self, y_pred: dict[str, Tensor]) -> Tensor:
        losses = self.losses_of(y_pred)
        # Both terms weigh the same (Appendix C.2).
        return losses["token_loss"] + losses.get("global_loss", 0.0)

    def losses_of(self, y_pred: dict[str, Tensor]) -> dict[str, Tensor]:
        """Cosine distances to the teacher's tokens and to its global embedding."""
        distance = cosine_distance(y_pred["tokens"], y_pred["teacher_tokens"])  # [B, T*N]
        masked = y_pred["masked"]
        where = {"all": None, "masked": masked, "visible": ops.logical_not(masked)}[self.loss_on]
        losses = {"token_loss": masked_mean(distance, where)}
        if "embeddings" in y_pred:
            distance = cosine_distance(y_pred["embeddings"], y_pred["teacher_embeddings"])
            losses["global_loss"] = ops.mean(distance)
        return losses

    def summaries(self, y_pred: dict[str, Tensor]) -> dict[str, Tensor]:
        tokens, target, masked = y_pred["tokens"], y_pred["teacher_tokens"], y_pred["masked"]
        summaries = {
            **self.losses_of(y_pred),
            "masked_token_loss": masked_mean(cosine_distance(tokens, target), masked),
            "residual_cosine": residual_cosine(tokens, target, masked),
        }
        if "embeddings" in y_pred:
            summaries["embedding_std"] = embedding_std(y_pred["embeddings"])
        return summaries

    def check_batch(self, batch: dict[str, Tensor]) -> None:
        super().check_batch(batch)
        frames, rows, columns = self.encoder.grid(batch["videos"])
        self.visible(batch["clip_id"], (frames, rows, columns))
        patches = rows * columns if self.mask == "tube" else frames * rows * columns
        if self.loss_on == "masked" and count_masked(self.masking_ratio, patches) == 0:
            raise ValueError(
                f"loss_on='masked' needs masked tokens; a masking_ratio of {self.masking_ratio} "
                f"masks none of {patches}. Raise it, or take loss_on='all'."
            )
