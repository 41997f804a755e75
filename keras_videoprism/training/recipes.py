"""Optimizers of the paper's pretraining (Table 10) and of its captioner (Appendix G)."""

from typing import Any

import keras
from keras import ops

from keras_videoprism.layers.typing import Tensor


@keras.saving.register_keras_serializable(package="keras_videoprism")
class WarmupLinearDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up from 0 to `peak`, then linear decay to `end`, which stays.

    Args:
        peak: highest learning rate.
        total_steps: step at which `end` is reached.
        warmup_steps: step at which `peak` is reached.
        end: last learning rate.
    """

    def __init__(self, peak: float, total_steps: int, warmup_steps: int, end: float = 0.0) -> None:
        super().__init__()
        _check_steps(total_steps, warmup_steps)
        self.peak = peak
        self.total_steps = total_steps
        self.warmup_steps = warmup_steps
        self.end = end

    def __call__(self, step: Tensor) -> Tensor:
        step = ops.cast(step, "float32")
        rise = step / max(self.warmup_steps, 1)
        decayed = (step - self.warmup_steps) / (self.total_steps - self.warmup_steps)
        fall = self.peak + (self.end - self.peak) * ops.clip(decayed, 0.0, 1.0)
        return ops.where(step < self.warmup_steps, self.peak * rise, fall)

    def get_config(self) -> dict[str, Any]:
        return {
            "peak": self.peak,
            "total_steps": self.total_steps,
            "warmup_steps": self.warmup_steps,
            "end": self.end,
        }


def warmup_cosine_decay(
    peak: float, total_steps: int, warmup_steps: int, end: float = 0.0
) -> keras.optimizers.schedules.CosineDecay:
    """Linear warm-up from 0 to `peak`, then a cosine to `end`, which stays; arguments as above."""
    _check_steps(total_steps, warmup_steps)
    return keras.optimizers.schedules.CosineDecay(
        0.0,
        decay_steps=total_steps - warmup_steps,
        alpha=end / peak,
        warmup_target=peak,
        warmup_steps=warmup_steps,
    )


def stage1_optimizer(
    learning_rate: float = 5e-4,
    total_steps: int = 200_000,
    warmup_steps: int = 20_000,
    weight_decay: float = 1e-4,
    end_learning_rate: float = 0.0,
) -> keras.optimizers.Optimizer:
    """Adafactor with warm-up and linear decay.

    Table 10 says 5e-4; Appendix C.1 says 1e-4 for the base and 5e-5 for the giant model.
    """
    schedule = WarmupLinearDecay(learning_rate, total_steps, warmup_steps, end_learning_rate)
    return _adafactor(schedule, weight_decay)


def stage2_optimizer(
    learning_rate: float = 5e-4,
    total_steps: int = 300_000,
    warmup_steps: int = 25_000,
    weight_decay: float = 0.05,
    end_learning_rate: float = 1e-5,
) -> keras.optimizers.Optimizer:
    """Adafactor with warm-up and cosine decay to 1e-5 (Table 10, Appendix C.2)."""
    schedule = warmup_cosine_decay(learning_rate, total_steps, warmup_steps, end_learning_rate)
    return _adafactor(schedule, weight_decay)


def captioner_optimizer(
    learning_rate: float = 5e-4,
    total_steps: int = 200_000,
    warmup_steps: int = 10_000,
    weight_decay: float = 1e-4,
) -> keras.optimizers.Optimizer:
    """Adam with warm-up and linear decay to 0, for the resampler (Appendix G).

    The paper has weight decay and "no L2 regularizer weight decay": it is decoupled. Batches have
    256 clips for a language model of 1 B weights, 64 for one of 8 B.
    """
    schedule = WarmupLinearDecay(learning_rate, total_steps, warmup_steps)
    return _of_kernels(keras.optimizers.AdamW(schedule, weight_decay, beta_1=0.9, beta_2=0.999))


def _adafactor(
    schedule: keras.optimizers.schedules.LearningRateSchedule, weight_decay: float
) -> keras.optimizers.Optimizer:
    optimizer = keras.optimizers.Adafactor(
        learning_rate=schedule, relative_step=False, weight_decay=weight_decay
    )
    return _of_kernels(optimizer)


def _of_kernels(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """Decay pulls kernels to zero; a bias, a scale or a table has no reason to go there."""
    names = ["bias", "beta", "gamma", "log_logit_scale", "per_dim_scale", "table", "latents"]
    # TensorFlow calls a variable "mask_token:0", the other backends "mask_token".
    optimizer.exclude_from_weight_decay(var_names=[*names, "token(:0)?$"])
    return optimizer


def _check_steps(total_steps: int, warmup_steps: int) -> None:
    if not 0 <= warmup_steps < total_steps:
        raise ValueError(
            "warmup_steps must be at least 0 and less than total_steps; received "
            f"warmup_steps={warmup_steps}, total_steps={total_steps}."
        )
