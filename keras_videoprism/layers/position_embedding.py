"""Position tables, learned at their native size and resized to the size of the input."""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_videoprism.layers.typing import Tensor


def resize_weights(source: int, target: Tensor) -> Tensor:
    """Weights [target, source] of linear resizing, equal to `jax.image.resize(..., "bilinear")`.

    A triangle kernel around the centre of each target position, widened when shrinking
    (anti-aliasing) and normalised over the source positions that exist. One matrix product gives
    the same numbers on all backends, and the identity where `target == source`.
    """
    scale = source / ops.cast(target, "float32")
    centre = (ops.arange(target, dtype="float32") + 0.5) * scale - 0.5
    distance = ops.abs(ops.expand_dims(centre, 1) - ops.arange(source, dtype="float32"))
    weights = ops.maximum(1.0 - distance / ops.maximum(scale, 1.0), 0.0)
    return weights / ops.sum(weights, axis=1, keepdims=True)


class LearnedPositionEmbedding(keras.layers.Layer):
    """A learned table over one or two axes.

    Args:
        table_shape: native length of each axis, (T,) or (rows, columns).
        hidden_dim: width D.

    `resize(shape)` returns the table at another length of each axis: [S, D] with S the product of
    `shape`, rows first.
    """

    def __init__(self, table_shape: tuple[int, ...], hidden_dim: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.table_shape = tuple(table_shape)
        self.hidden_dim = hidden_dim

    def build(self, input_shape: tuple | None = None) -> None:
        self.table = self.add_weight(
            name="table",
            shape=(math.prod(self.table_shape), self.hidden_dim),
            initializer="lecun_normal",
        )

    def resize(self, shape: tuple) -> Tensor:
        table = ops.cast(self.table, "float32")
        if len(self.table_shape) == 1:
            resized = ops.matmul(resize_weights(self.table_shape[0], shape[0]), table)
        else:
            rows, columns = (
                resize_weights(*pair) for pair in zip(self.table_shape, shape, strict=True)
            )
            table = ops.reshape(table, (*self.table_shape, self.hidden_dim))
            resized = ops.einsum("hi,ijd->hjd", rows, table)
            resized = ops.einsum("wj,hjd->hwd", columns, resized)
            resized = ops.reshape(resized, (-1, self.hidden_dim))
        return ops.cast(resized, self.compute_dtype)


def sinusoids(length: Tensor, hidden_dim: int) -> Tensor:
    """Fixed text positions [length, D]: sines, then cosines, time scales from 1 to 10,000.

    The exponent runs over D/2 - 1 intervals as in the official code, so that the last time scale
    is 10,000 exactly. An odd D ends in a zero column.
    """
    num_scales = hidden_dim // 2
    exponents = np.arange(num_scales, dtype="float32") / max(num_scales - 1, 1)
    frequencies = np.exp(-math.log(10_000.0) * exponents).astype("float32")
    angles = ops.outer(ops.arange(length, dtype="float32"), frequencies)
    table = ops.concatenate([ops.sin(angles), ops.cos(angles)], axis=1)
    return ops.pad(table, [(0, 0), (0, hidden_dim % 2)])
