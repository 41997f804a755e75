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
    in evaluation.

    Args:
        model: the `VideoPrismLvT` to train, without auxiliary encoder in the paper.
        dropping_ratio: share of the patches that are dropped (Table 9: 0.5).
        temperature: initial temperature of the logits; it is learned.
        min_temperature: its lower bound (1 / 0.01 = 100, as CLIP).
        seed: seed of the masks.
        num_micro_batches: split each batch into this many parts to save memory. All pairs of the
            whole batch are still contrasted, and the gradient is that of the whole batch.
    """

    required_keys = ("videos", "token_ids", "padding_mask", "clip_id")
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
        if batch["videos"].shape[0] < 2:
            raise ValueError(
                "contrast needs a batch of at least 2 clips; received 1. Raise the batch size."
            )
        _, rows, columns = self.encoder.grid(batch["videos"])
        count_masked(self.dropping_ratio, rows * columns)
        lowest, highest = int(ops.min(batch["token_ids"])), int(ops.max(batch["token_ids"]))
        if lowest < 0 or highest >= self.model.vocabulary_size:
            raise ValueError(
                f"token_ids must be in [0, {self.model.vocabulary_size}), the vocabulary of the "
                f"text tower; received {lowest} to {highest}. Use the tokenizer of the model."
            )
