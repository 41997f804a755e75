"""A batch in parts: part i takes the clips i, i + n, i + 2n, ... of n parts.

So every device, which has a run of the batch, keeps an equal share of each part.
"""

import keras
from keras import ops

from keras_videoprism.layers.typing import Tensor


def split(batch: dict[str, Tensor], parts: int) -> dict[str, Tensor]:
    """[B, ...] -> [parts, B / parts, ...]."""
    return keras.tree.map_structure(
        lambda x: ops.swapaxes(ops.reshape(x, (-1, parts, *ops.shape(x)[1:])), 0, 1), batch
    )


def join(parts: dict[str, Tensor]) -> dict[str, Tensor]:
    """Inverse of `split`."""
    return keras.tree.map_structure(
        lambda x: ops.reshape(ops.swapaxes(x, 0, 1), (-1, *ops.shape(x)[2:])), parts
    )


def split_list(batch: dict[str, Tensor], parts: int) -> list[dict[str, Tensor]]:
    """The same parts one by one."""
    stacked = split(batch, parts)
    return [keras.tree.map_structure(lambda x, i=i: x[i], stacked) for i in range(parts)]
