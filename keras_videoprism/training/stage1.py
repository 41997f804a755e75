"""Stage 1: video-text contrastive training (section 2.3.1, Appendix C.1)."""

import math
from typing import Any

import keras
from keras import ops

from keras_videoprism.layers.factorized_encoder import FactorizedEncoder
from keras_videoprism.layers.masking import count_masked, tube_visible
from keras_videoprism.layers.typing import Tensor
from keras_videoprism.models.video_prism_lvt import VideoPrismLvT
from keras_videoprism.training.losses import contrastive_loss, recall_at_1
from keras_videoprism.training.monitors import effective_rank, embedding_std, pair_cosine
from keras_videoprism.training.stage import Stage


class Stage1Model(Stage):
    """Aligns the video tower and the text tower of a model by contrast.

    `compile(optimizer)` and `fit` on batches with videos, token_ids, padding_mask and clip_id; an
    image is a clip of one frame. Half of the tokens are dropped in training by a tube mask, none
    in evaluation. With a frozen video encoder and no dropping (LiT, section 3.2), video_tokens
    may stand for the videos.

    Args:
        model: the `VideoPrismLvT` to train, without auxiliary encoder in the paper.
        dropping_ratio: share of the patches that are dropped (Table 9: 0.5).
        temperature: initial temperature of the logits; it is learned.
        min_temperature: its lower bound (1 / 0.01 = 100, as CLIP).
        seed: seed of the masks.
        num_micro_batches: split each batch into this many parts to save memory. All pairs of the
            whole batch are still contrasted, and the gradient is that of the whole batch.
    """

    required_keys = ("token_ids", "padding_mask", "clip_id")
    takes_tokens = True
    loss_spans_batch = True

    def __init__(
        self,
        model: VideoPrismLvT,
        dropping_ratio: float = 0.5,
        temperature: float = 0.07,
        min_temperature: float = 0.01,
        seed: int = 0,
        num_micro_batches: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_micro_batches=num_micro_batches, **kwargs)
        self.model = model
        self.dropping_ratio = dropping_ratio
        self.seed = seed
        bound = -math.log(min_temperature)
        self.log_logit_scale = self.add_weight(
            name="log_logit_scale",
            shape=(),
            initializer=keras.initializers.Constant(-math.log(temperature)),
            constraint=lambda scale: ops.clip(scale, 0.0, bound),
        )
        self.add_summaries("recall_at_1", "embedding_std", "effective_rank", "pair_cosine")

    @property
    def encoder(self) -> FactorizedEncoder:
        return self.model.video_encoder.encoder

    def call(self, inputs: dict[str, Tensor], training: bool = False) -> dict[str, Tensor]:
        visible = None
        if training and self.dropping_ratio:
            grid = self.encoder.grid(inputs["videos"])
            visible = tube_visible(
                self.seed, self.step, inputs["clip_id"], grid, self.dropping_ratio
            )
        return self.model(inputs, visible=visible)

    def loss_of(self, y_pred: dict[str, Tensor]) -> Tensor:
        return contrastive_loss(
            y_pred["video_embeddings"],
            y_pred["text_embeddings"],
            ops.exp(ops.cast(self.log_logit_scale, "float32")),
        )

    def summaries(self, y_pred: dict[str, Tensor]) -> dict[str, Tensor]:
        video, text = y_pred["video_embeddings"], y_pred["text_embeddings"]
        return {
            "recall_at_1": recall_at_1(video, text),
            "embedding_std": embedding_std(video),
            "effective_rank": effective_rank(video),
            "pair_cosine": pair_cosine(video),
        }

    def count_step(self, finite: Tensor) -> dict[str, Tensor]:
        temperature = ops.exp(-ops.convert_to_tensor(self.log_logit_scale))
        return {**super().count_step(finite), "temperature": temperature}

    def check_batch(self, batch: dict[str, Tensor]) -> None:
        super().check_batch(batch)
        if batch["clip_id"].shape[0] < 2:
            raise ValueError(
                "contrast needs a batch of at least 2 clips; received 1. Raise the batch size."
            )
        if "video_tokens" in batch:
            self._check_tokens(batch["video_tokens"])
        else:
            _, rows, columns = self.encoder.grid(batch["videos"])
            count_masked(self.dropping_ratio, rows * columns)
        lowest, highest = int(ops.min(batch["token_ids"])), int(ops.max(batch["token_ids"]))
        if lowest < 0 or highest >= self.model.vocabulary_size:
            raise ValueError(
                f"token_ids must be in [0, {self.model.vocabulary_size}), the vocabulary of the "
                f"text tower; received {lowest} to {highest}. Use the tokenizer of the model."
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
