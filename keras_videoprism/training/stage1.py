"""Stage 1: video-text contrastive training (section 2.3.1, Appendix C.1)."""

import math
from typing import Any

import keras
from keras import ops

from keras_videoprism.layers.joint_encoder import Encoder
from keras_videoprism.layers.masking import (
    TubeVisible,
    count_masked,
    slots_in_place,
    tube_visible,
)
from keras_videoprism.layers.token_shuffle_decoder import TokenShuffleDecoder
from keras_videoprism.layers.typing import Tensor
from keras_videoprism.models.video_prism_lvt import VideoPrismLvT
from keras_videoprism.training.losses import (
    contrastive_loss,
    pixel_targets,
    recall_at_1,
    reconstruction_loss,
    sigmoid_loss,
)
from keras_videoprism.training.monitors import effective_rank, embedding_std, pair_cosine
from keras_videoprism.training.stage import Stage

# Initial temperature and its lower bound; SigLIP's logits begin at 10 cos - 10, without a bound.
CONTRASTS = {"softmax": (0.07, 0.01), "sigmoid": (0.1, 0.0)}
INITIAL_BIAS = -10.0


class Stage1Model(Stage):
    """Aligns the video tower and the text tower of a model by contrast.

    `compile(optimizer)` and `fit` on batches with videos, token_ids, padding_mask and clip_id; an
    image is a clip of one frame. Half of the tokens are dropped in training by a tube mask, none
    in evaluation. With a frozen video encoder and no dropping (LiT, section 3.2), video_tokens
    may stand for the videos.

    Args:
        model: the `VideoPrismLvT` to train, without auxiliary encoder in the paper.
        dropping_ratio: share of the patches that are dropped (Table 9: 0.5).
        contrast: "softmax" over the batch (the paper), or "sigmoid" of each pair (SigLIP, Zhai et
            al., 2023), which also learns a bias.
        temperature: initial temperature of the logits; it is learned. Default 0.07, or 0.1 for
            "sigmoid".
        min_temperature: its lower bound. Default 1 / 100, as CLIP; none for "sigmoid".
        autoencoding_weight: weight of masked autoencoding in the same stage (Fig. 4's alternative;
            Feichtenhofer et al., 2022): a decoder predicts the normalised pixels of the dropped
            patches from the visible tokens. In evaluation nothing is dropped: the loss is that of
            the contrast alone, and `reconstruction_loss` is 0.
        decoder_dim, decoder_layers, decoder_heads, decoder_mlp_dim, query_chunk_size: of that
            decoder; see `TokenShuffleDecoder`.
        seed: seed of the masks.
        num_micro_batches: split each batch into this many parts to save memory. All pairs of the
            whole batch are still contrasted, and the gradient is that of the whole batch.

    Raises:
        ValueError: an unknown contrast, or autoencoding where nothing is dropped.
    """

    required_keys = ("token_ids", "padding_mask", "clip_id")
    takes_tokens = True
    loss_spans_batch = True

    def __init__(
        self,
        model: VideoPrismLvT,
        dropping_ratio: float = 0.5,
        contrast: str = "softmax",
        temperature: float | None = None,
        min_temperature: float | None = None,
        autoencoding_weight: float = 0.0,
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
        if contrast not in CONTRASTS:
            raise ValueError(f"contrast must be one of {[*CONTRASTS]}; received {contrast!r}.")
        if autoencoding_weight < 0 or (autoencoding_weight and not dropping_ratio):
            raise ValueError(
                "autoencoding_weight must be at least 0, and needs dropped patches to predict; "
                f"received {autoencoding_weight} with dropping_ratio={dropping_ratio}."
            )
        self.model = model
        self.dropping_ratio = dropping_ratio
        self.contrast = contrast
        self.autoencoding_weight = autoencoding_weight
        self.seed = seed
        self._add_logit_variables(temperature, min_temperature)
        self.add_summaries("recall_at_1", "embedding_std", "effective_rank", "pair_cosine")
        self.pixel_decoder: Any = None
        if autoencoding_weight:
            self.pixel_decoder = TokenShuffleDecoder(
                output_dim=3 * self.encoder.patch_size**2,
                position_shape=model.video_encoder.position_shape,
                hidden_dim=decoder_dim,
                num_layers=decoder_layers,
                num_heads=decoder_heads,
                mlp_dim=decoder_mlp_dim,
                query_chunk_size=query_chunk_size,
                dtype=model.dtype_policy,
                name="pixel_decoder",
            )
            self.pixel_decoder.build((None, None, self.encoder.hidden_dim))
            self.add_summaries("reconstruction_loss")

    def _add_logit_variables(self, temperature: float | None, lowest: float | None) -> None:
        defaults = CONTRASTS[self.contrast]
        temperature = defaults[0] if temperature is None else temperature
        lowest = defaults[1] if lowest is None else lowest
        bound = -math.log(lowest) if lowest else math.inf
        self.log_logit_scale = self.add_weight(
            name="log_logit_scale",
            shape=(),
            initializer=keras.initializers.Constant(-math.log(temperature)),
            constraint=lambda scale: ops.clip(scale, 0.0, bound),
        )
        self.logit_bias = None
        if self.contrast == "sigmoid":
            self.logit_bias = self.add_weight(
                name="logit_bias",
                shape=(),
                initializer=keras.initializers.Constant(INITIAL_BIAS),
            )

    @property
    def encoder(self) -> Encoder:
        return self.model.video_encoder.encoder

    def call(self, inputs: dict[str, Tensor], training: bool = False) -> dict[str, Tensor]:
        visible = None
        if training and self.dropping_ratio:
            grid = self.encoder.grid(inputs["videos"])
            visible = tube_visible(
                self.seed, self.step, inputs["clip_id"], grid, self.dropping_ratio
            )
        if self.pixel_decoder is None or visible is None:
            return self.model(inputs, visible=visible)
        tokens = self.model.video_encoder(inputs["videos"], visible=visible)
        return {
            **self.model({key: inputs[key] for key in ("token_ids", "padding_mask")}),
            "video_embeddings": self.model.pool(tokens),
            "reconstruction_loss": self._reconstruct(inputs["videos"], tokens, visible),
        }

    def _reconstruct(self, videos: Tensor, tokens: Tensor, visible: TubeVisible) -> Tensor:
        """Error of the pixels of the dropped patches, [B]."""
        grid = self.encoder.grid(videos)
        positions = visible.positions(grid)
        slots = slots_in_place(positions, math.prod(grid))  # [B, T*N]
        pixels = self.pixel_decoder(tokens, slots=slots, grid=grid)
        dropped = ops.equal(slots, positions.shape[1])
        return reconstruction_loss(pixels, pixel_targets(videos, self.encoder.patch_size), dropped)

    def loss_of(self, y_pred: dict[str, Tensor]) -> Tensor:
        scale = ops.exp(ops.cast(self.log_logit_scale, "float32"))
        embeddings = y_pred["video_embeddings"], y_pred["text_embeddings"]
        if self.logit_bias is None:
            loss = contrastive_loss(*embeddings, scale)
        else:
            loss = sigmoid_loss(*embeddings, scale, ops.cast(self.logit_bias, "float32"))
        if "reconstruction_loss" in y_pred:
            loss = loss + self.autoencoding_weight * ops.mean(y_pred["reconstruction_loss"])
        return loss

    def summaries(self, y_pred: dict[str, Tensor]) -> dict[str, Tensor]:
        video, text = y_pred["video_embeddings"], y_pred["text_embeddings"]
        return {
            "recall_at_1": recall_at_1(video, text),
            "embedding_std": embedding_std(video),
            "effective_rank": effective_rank(video),
            "pair_cosine": pair_cosine(video),
            "reconstruction_loss": ops.mean(y_pred.get("reconstruction_loss", 0.0)),
        }

    def count_step(self, finite: Tensor) -> dict[str, Tensor]:
        logs = super().count_step(finite)
        logs["temperature"] = ops.exp(-ops.convert_to_tensor(self.log_logit_scale))
        if self.logit_bias is not None:
            logs["logit_bias"] = ops.convert_to_tensor(self.logit_bias)
        return logs

    def check_batch(self, batch: dict[str, Tensor]) -> None:
        super().check_batch(batch)
        if batch["clip_id"].shape[0] < 2:
            raise ValueError(
                "contrast needs a batch of at least 2 clips; received 1. Raise the batch size."
            )
        if "video_tokens" in batch:
            self._check_tokens(batch["video_tokens"])
        else:
            self._check_dropping(batch["videos"])
        lowest, highest = int(ops.min(batch["token_ids"])), int(ops.max(batch["token_ids"]))
        if lowest < 0 or highest >= self.model.vocabulary_size:
            raise ValueError(
                f"token_ids must be in [0, {self.model.vocabulary_size}), the vocabulary of the "
                f"text tower; received {lowest} to {highest}. Use the tokenizer of the model."
            )

    def _check_dropping(self, videos: Tensor) -> None:
        _, rows, columns = self.encoder.grid(videos)
        dropped = count_masked(self.dropping_ratio, rows * columns)
        if self.pixel_decoder is not None and dropped == 0:
            raise ValueError(
                f"dropping_ratio={self.dropping_ratio} drops none of {rows * columns} patches, so "
                "that autoencoding has none to predict. Raise it or use larger inputs."
            )

    def _check_tokens(self, tokens: Tensor) -> None:
        if self.dropping_ratio or self.encoder.trainable:
            raise ValueError(
                "video_tokens do not depend on the video encoder, so that it would not learn: set "
                "`model.video_encoder.trainable = False` and dropping_ratio=0, or pass videos; "
                f"received dropping_ratio={self.dropping_ratio}."
            )
        width = self.encoder.hidden_dim
        if len(tokens.shape) != 3 or tokens.shape[-1] != width:
            raise ValueError(
                f"video_tokens must have the shape [batch, T*N, {width}]; received "
                f"{tuple(tokens.shape)}. Make them by this model's video encoder."
            )
