"""How a head is trained, and what it is to learn."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_videoprism.commands.evaluate.protocol import Recipe
from keras_videoprism.models import VideoPrism
from keras_videoprism.training.layer_decay import LayerDecayAdamW, encoder_depths
from keras_videoprism.training.recipes import warmup_cosine_decay

MLAP_LAYERS = 4  # of the temporal encoder (Appendix E.2)
# The paper's head for all sizes (Appendix E.1); an encoder of less width has one of its own size.
HEAD_HEADS, HEAD_DIM = 12, 768
FROZEN = ("frozen", "mlap")  # methods whose encoder does not change
WEIGHTS = "box_mask"


class Training(NamedTuple):
    """How a head is trained.

    method: see `AdaptedVideoPrism`. variant: of the classifier. learning_rates, weight_decays: all
    pairs are tried on a tenth of the training clips that is held back, and the best is trained on
    all of them; none means those of the recipe. through_encoder: train a frozen encoder's head on
    augmented videos. cache_dtype: of the cached features.
    """

    recipe: Recipe
    method: str = "frozen"
    variant: str = "paper"
    learning_rates: Sequence[float] = ()
    weight_decays: Sequence[float] = ()
    through_encoder: bool = False
    cache_dtype: str = "float32"
    seed: int = 0

    @property
    def pairs(self) -> list[tuple[float, float]]:
        """All pairs of learning rate and weight decay."""
        recipe = self.recipe
        rate = recipe.frozen_rate if self.method in FROZEN else recipe.finetune_rate
        rates, decays = self.learning_rates or (rate,), self.weight_decays or (recipe.weight_decay,)
        return [(rate, decay) for rate in rates for decay in decays]

    @property
    def strong(self) -> bool:
        """Whether clips are augmented strongly and mixed: end to end alone (VideoGLUE)."""
        return self.recipe.strong and self.method == "finetune"

    @property
    def cached(self) -> bool:
        """Whether features are computed once, of clips that are not augmented."""
        return self.method in FROZEN and not self.through_encoder


class Examples(NamedTuple):
    """What is to be learned of clips.

    clip_ids: int64 [n], ascending. targets: bool [n, ..., C]. others: arrays [n, ...] that the head
    reads beside the features, by name; "box_mask" bool [n, N] is also the weight of the targets.
    """

    clip_ids: np.ndarray
    targets: np.ndarray
    others: dict[str, np.ndarray] = {}

    def take(self, rows: np.ndarray) -> "Examples":
        others = {name: array[rows] for name, array in self.others.items()}
        return Examples(self.clip_ids[rows], self.targets[rows], others)


Score = Callable[[np.ndarray, Examples], float]  # of logits; higher is better


def check_training(training: Training, num_clips: int) -> None:
    """ValueError for what cannot be done, before anything is computed."""
    epochs, batch_size = training.recipe.epochs, training.recipe.batch_size
    if epochs < 1 or batch_size < 1 or num_clips < 2:
        raise ValueError(
            "needs positive epochs and batch_size and two clips to train on; received "
            f"{epochs}, {batch_size} and {num_clips}"
        )
    if len(training.pairs) > 1 and not training.cached:
        raise ValueError(
            f"the method {training.method!r} trains on videos here, once: give one learning rate "
            "and one weight decay; several need the features of a frozen encoder"
        )


def head_size(encoder: VideoPrism) -> dict[str, Any]:
    """Heads and width of the head on an encoder."""
    if encoder.hidden_dim < HEAD_DIM:
        return {"num_heads": encoder.num_heads, "hidden_dim": encoder.hidden_dim}
    return {"num_heads": HEAD_HEADS, "hidden_dim": HEAD_DIM}


def num_layers(encoder: VideoPrism, method: str) -> int:
    """Feature maps that the head of a method reads."""
    return min(MLAP_LAYERS, encoder.num_temporal_layers) if method == "mlap" else 1


def optimizer(
    encoder: VideoPrism, training: Training, num_steps: int, rate: float, weight_decay: float
) -> keras.optimizers.Optimizer:
    """AdamW, with layer decay where the encoder trains (VideoGLUE, Table 10)."""
    decay = training.recipe.layer_decay if training.method == "finetune" else 1.0
    rates = schedule(training.recipe, num_steps, rate)
    return LayerDecayAdamW(rates, encoder_depths(encoder), decay, weight_decay)


def schedule(
    recipe: Recipe, num_steps: int, rate: float
) -> keras.optimizers.schedules.LearningRateSchedule:
    """Warm-up and cosine decay to 0 (VideoGLUE, Table 10)."""
    warmup = min(round(recipe.warmup_share * num_steps), num_steps - 1)
    return warmup_cosine_decay(rate, num_steps, warmup)
