"""Tubelet embedding of [1, P, P] patches (Table 9, row "Preprocess")."""

from typing import Any

import keras
from keras import ops

from keras_videoprism.layers.linear import Linear
from keras_videoprism.layers.typing import Tensor


def patchify(videos: Tensor, patch_size: int) -> Tensor:
    """[B, T, H, W, C] -> [B, T, H/P * W/P, P * P * C], each patch in row-major order."""
    _, frames, height, width, channels = ops.shape(videos)
    rows, columns = height // patch_size, width // patch_size
    x = ops.reshape(videos, (-1, rows, patch_size, columns, patch_size, channels))
    x = ops.transpose(x, (0, 1, 3, 2, 4, 5))  # [B*T, rows, columns, P, P, C]
    return ops.reshape(x, (-1, frames, rows * columns, patch_size**2 * channels))


class PatchEmbedding(keras.layers.Layer):
    """Linear projection of the pixels of each patch.

    Args:
        hidden_dim: width D of the tokens.
        patch_size: side P of a patch in pixels.

    Call arguments:
        videos: [B, T, H, W, 3], H and W multiples of P; float in [0, 1] or uint8, which is scaled
            to it here, on the device: a quarter of the bytes have to get there.

    Returns:
        [B, T, N, D] with N = H/P * W/P.
    """

    def __init__(self, hidden_dim: int, patch_size: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.patch_size = patch_size
        self.projection = Linear(
            hidden_dim,
            kernel_initializer="lecun_normal",
            dtype=self.dtype_policy,
            name="projection",
        )

    def build(self, input_shape: tuple) -> None:
        self.projection.build((None, None, self.patch_size**2 * input_shape[-1]))

    def call(self, videos: Tensor) -> Tensor:
        patches = patchify(videos, self.patch_size)
        if keras.backend.standardize_dtype(patches.dtype) == "uint8":
            patches = ops.cast(ops.cast(patches, "float32") / 255.0, self.compute_dtype)
        return self.projection(patches)
