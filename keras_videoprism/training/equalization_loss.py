"""Equalization loss for long-tailed classes (Tan et al., 2020), which KABR trains with."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_videoprism.layers.random import random_uniform
from keras_videoprism.layers.typing import Tensor

FORMS = ("softmax", "sigmoid")


@keras.saving.register_keras_serializable(package="keras_videoprism")
class EqualizationLoss(keras.losses.Loss):
    """Cross-entropy in which clips of frequent classes do not push down the rare ones.

    A class is rare if its share of the training clips is below `threshold`. Where it is not the
    label, its weight is 0 instead of 1:

    - "softmax": -log(exp(z_y) / sum_k w_k exp(z_k)). The weight is 0 with the probability `gamma`
      for each clip and class, and 1 otherwise (equations 7 to 9).
    - "sigmoid": sum_k w_k BCE(y_k, z_k) (equations 2 to 4; there is no background class).

    The paper (Appendix H) names neither form nor values for KABR. The defaults are those of
    lib/loss/loss_impl/equalization_loss.py of zhangyongshun/BagofTricks-LT; for "sigmoid" the
    authors use 1.77e-3 on LVIS (tztztztztz/eql.detectron2), and start the classifier's bias at
    -log(999), so that every probability begins at 0.001.

    Args:
        class_counts: training clips of each class.
        threshold: share below which a class is rare; lambda in the paper of the loss.
        form: "softmax" or "sigmoid".
        gamma: probability with which "softmax" leaves a rare class out.
        seed: of what is left out. A loss knows no step, so the bits of the logits stand in for it:
            the same batch of the same model leaves out the same classes.

    Call arguments:
        y_true: classes [B], or [B, C], one-hot (several classes for "sigmoid").
        y_pred: logits [B, C].

    Raises:
        ValueError: counts, form, threshold, gamma or shapes that make no sense.
    """

    def __init__(
        self,
        class_counts: Sequence[int],
        threshold: float = 0.005,
        form: str = "softmax",
        gamma: float = 0.9,
        seed: int = 0,
        name: str = "equalization_loss",
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        _check(class_counts, threshold, form, gamma)
        self.class_counts = [int(count) for count in class_counts]
        self.threshold = threshold
        self.form = form
        self.gamma = gamma
        self.seed = seed

    @property
    def rare(self) -> list[bool]:
        """Whether each class is rare."""
        total = sum(self.class_counts)
        return [count / total < self.threshold for count in self.class_counts]

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        logits = ops.cast(y_pred, "float32")
        target = _one_hot(y_true, len(self.class_counts), tuple(logits.shape))
        left_out = ops.logical_and(ops.equal(target, 0.0), ops.convert_to_tensor(self.rare))
        if self.form == "sigmoid":
            entropy = ops.binary_crossentropy(target, logits, from_logits=True)
            return ops.sum(ops.where(left_out, 0.0, entropy), axis=-1)
        left_out = ops.logical_and(left_out, self._draw(logits) < self.gamma)
        weighted = ops.where(left_out, -float("inf"), logits)  # log w + z
        return ops.logsumexp(weighted, axis=-1) - ops.sum(target * logits, axis=-1)

    def _draw(self, logits: Tensor) -> Tensor:
        """Uniform [B, C] in [0, 1), other numbers for other logits."""
        bits = ops.view(ops.stop_gradient(logits), dtype="int32")
        return random_uniform(self.seed, 0, ops.sum(bits, axis=-1), len(self.class_counts))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "class_counts": self.class_counts,
            "threshold": self.threshold,
            "form": self.form,
            "gamma": self.gamma,
            "seed": self.seed,
        }


def _one_hot(labels: Tensor, num_classes: int, shape: tuple) -> Tensor:
    """float32 [B, C] of classes [B] or [B, C]."""
    if shape[-1] == num_classes and len(shape) == 2:
        if len(labels.shape) == 1:
            return ops.one_hot(ops.cast(labels, "int32"), num_classes, dtype="float32")
        if len(labels.shape) == 2 and labels.shape[-1] == num_classes:
            return ops.cast(labels, "float32")
    raise ValueError(
        f"y_true must be [batch] or [batch, {num_classes}] and y_pred [batch, {num_classes}], for "
        f"as many class_counts; received {tuple(labels.shape)} and {shape}."
    )


def _check(class_counts: Sequence[int], threshold: float, form: str, gamma: float) -> None:
    if form not in FORMS:
        raise ValueError(f"form must be one of {FORMS}; received {form!r}.")
    if not len(class_counts) or min(class_counts) < 0 or not sum(class_counts):
        raise ValueError(
            "class_counts must be the training clips of each class, none negative and not all 0; "
            f"received {class_counts}."
        )
    if not 0.0 <= threshold <= 1.0 or not 0.0 <= gamma <= 1.0:
        raise ValueError(
            f"threshold and gamma must be in [0, 1]; received threshold={threshold}, gamma={gamma}."
        )
