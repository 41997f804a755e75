"""GCNeXt: a video's time steps as the nodes of a graph (G-TAD, Xu et al., 2020, section 3.3)."""

from typing import Any

import keras
from keras import ops

from keras_videoprism.layers.typing import Tensor

NUM_NEIGHBOURS = 3  # with the step itself (G-TAD: models.py)
GROUP_WIDTH = 4  # channels in each of the paths of a block


def nearest_neighbours(x: Tensor, count: int = NUM_NEIGHBOURS) -> Tensor:
    """Features of the steps that resemble each step most, by Euclidean distance.

    Args:
        x: [B, T, C].
        count: K, how many; the step itself is one of them.

    Returns:
        [B, T, K, C].
    """
    values = ops.cast(x, "float32")
    squares = ops.sum(ops.square(values), axis=-1)  # [B, T]
    products = ops.matmul(values, ops.swapaxes(values, 1, 2))
    closeness = 2.0 * products - ops.expand_dims(squares, 1) - ops.expand_dims(squares, 2)
    _, indices = ops.top_k(closeness, count)  # [B, T, K]
    # A product with one-hot rows, as its gradient is a product too and not a scatter.
    return ops.einsum("btks,bsc->btkc", ops.one_hot(indices, x.shape[1], dtype=x.dtype), x)


def convolution(
    width: int, kernel_size: int = 1, groups: int = 1, *, name: str, dtype: Any = None
) -> keras.layers.Conv1D:
    """A convolution over time, [B, T, C], that keeps the number of steps."""
    return keras.layers.Conv1D(
        width,
        kernel_size,
        padding="same",
        data_format="channels_last",
        groups=groups,
        kernel_initializer="lecun_normal",
        dtype=dtype,
        name=name,
    )


class GCNeXt(keras.layers.Layer):
    """Convolution over time and over the most similar steps, each in narrow paths, and a skip.

    Call arguments:
        x: [B, T, C]; C is a multiple of 8.

    Returns:
        [B, T, C].
    """

    def __init__(self, width: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if width % (2 * GROUP_WIDTH):
            raise ValueError(f"width must be a multiple of {2 * GROUP_WIDTH}. Received: {width}.")
        self.width = width
        self.temporal = self._paths("temporal", kernel_size=3)
        self.semantic = self._paths("semantic", kernel_size=1)

    def _paths(self, name: str, kernel_size: int) -> list[keras.layers.Conv1D]:
        """Into half the width, in separate groups, and back."""
        half, dtype = self.width // 2, self.dtype_policy
        groups = half // GROUP_WIDTH
        return [
            convolution(half, name=f"{name}_in", dtype=dtype),
            convolution(half, kernel_size, groups, name=f"{name}_paths", dtype=dtype),
            convolution(self.width, name=f"{name}_out", dtype=dtype),
        ]

    def build(self, input_shape: tuple) -> None:
        half = (*input_shape[:-1], self.width // 2)
        edges = (*input_shape[:-1], 2 * self.width)
        for layers, shape in ((self.temporal, input_shape), (self.semantic, edges)):
            for layer, layer_input in zip(layers, (shape, half, half), strict=True):
                layer.build(layer_input)

    def call(self, x: Tensor) -> Tensor:
        return ops.relu(_run(self.temporal, x) + x + self._neighbours(x))

    def _neighbours(self, x: Tensor) -> Tensor:
        """Each step beside each of its neighbours, and the largest of what they say."""
        neighbours = nearest_neighbours(x)  # [B, T, K, C]
        centres = ops.broadcast_to(ops.expand_dims(x, 2), ops.shape(neighbours))
        edges = ops.concatenate([neighbours, centres], axis=-1)
        _, steps, count, width = edges.shape
        messages = _run(self.semantic, ops.reshape(edges, (-1, steps * count, width)))
        return ops.max(ops.reshape(messages, (-1, steps, count, self.width)), axis=2)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return input_shape


def _run(layers: list[keras.layers.Conv1D], x: Tensor) -> Tensor:
    into, paths, back = layers
    return back(ops.relu(paths(ops.relu(into(x)))))
