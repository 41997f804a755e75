import numpy as np
import pytest
from keras import ops

from keras_videoprism.layers.patch_embedding import PatchEmbedding, patchify

pytestmark = pytest.mark.backends


def test_patches_and_their_pixels_are_in_row_major_order():
    videos = np.arange(2 * 3 * 4 * 6 * 3, dtype="float32").reshape(2, 3, 4, 6, 3)
    patches = ops.convert_to_numpy(patchify(videos, 2))
    assert patches.shape == (2, 3, 6, 12)
    for row in range(2):
        for column in range(3):
            pixels = videos[:, :, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
            np.testing.assert_array_equal(patches[:, :, 3 * row + column], pixels.reshape(2, 3, 12))


def test_embedding_projects_each_patch():
    videos = np.random.default_rng(0).random((1, 2, 4, 6, 3), np.float32)
    layer = PatchEmbedding(hidden_dim=5, patch_size=2)
    tokens = ops.convert_to_numpy(layer(videos))
    kernel, bias = layer.get_weights()
    assert kernel.shape == (12, 5)
    patches = ops.convert_to_numpy(patchify(videos, 2))
    np.testing.assert_allclose(tokens, patches @ kernel + bias, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_bytes_are_scaled_to_one(dtype):
    """uint8 videos and the same ones as float in [0, 1] give the same tokens."""
    videos = np.random.default_rng(0).integers(0, 256, (1, 2, 4, 6, 3), np.uint8)
    layer = PatchEmbedding(hidden_dim=5, patch_size=2, dtype=dtype)
    tokens = [ops.convert_to_numpy(layer(x)) for x in (videos, np.float32(videos) / 255)]
    assert tokens[0].dtype == tokens[1].dtype
    np.testing.assert_allclose(*np.float32(tokens), atol=1e-6)
