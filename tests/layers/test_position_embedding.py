import keras
import numpy as np
import pytest
from keras import ops

from keras_videoprism.layers.position_embedding import (
    LearnedPositionEmbedding,
    resize_weights,
    sinusoids,
)

pytestmark = pytest.mark.backends
needs_jax = pytest.mark.skipif(keras.backend.backend() != "jax", reason="compares with jax.image")


def table_of(table_shape: tuple[int, ...], hidden_dim: int = 3) -> LearnedPositionEmbedding:
    layer = LearnedPositionEmbedding(table_shape, hidden_dim)
    layer.build()
    return layer


@needs_jax
@pytest.mark.parametrize("size", [1, 3, 8, 20])
def test_one_axis_is_resized_as_by_jax(size):
    import jax

    layer = table_of((8,))
    expected = jax.image.resize(layer.table.value, (size, 3), "bilinear")
    np.testing.assert_allclose(layer.resize((size,)), expected, atol=1e-6)


@needs_jax
@pytest.mark.parametrize("size", [(2, 2), (7, 3), (8, 10)])
def test_two_axes_are_resized_as_by_jax(size):
    import jax

    layer = table_of((4, 5))
    table = layer.table.value.reshape(4, 5, 3)
    expected = jax.image.resize(table, (*size, 3), "bilinear").reshape(-1, 3)
    np.testing.assert_allclose(layer.resize(size), expected, atol=1e-6)


def test_identity_at_the_native_size():
    for shape in ((8,), (4, 5)):
        layer = table_of(shape)
        resized = ops.convert_to_numpy(layer.resize(shape))
        np.testing.assert_allclose(resized, ops.convert_to_numpy(layer.table), atol=1e-7)


def test_weights_by_hand():
    # Shrinking 4 to 2: triangles of half-width 2 around 0.5 and 2.5, cut at the borders.
    weights = np.array([[0.75, 0.75, 0.25, 0], [0, 0.25, 0.75, 0.75]]) / 1.75
    np.testing.assert_allclose(ops.convert_to_numpy(resize_weights(4, 2)), weights, atol=1e-6)


def test_sinusoids():
    table = ops.convert_to_numpy(sinusoids(5, 7))
    assert table.shape == (5, 7)
    scales = [1.0, 100.0, 10_000.0]
    position = np.arange(5)[:, None]
    np.testing.assert_allclose(table[:, :3], np.sin(position / scales), atol=1e-6)
    np.testing.assert_allclose(table[:, 3:6], np.cos(position / scales), atol=1e-6)
    np.testing.assert_array_equal(table[:, 6], 0.0)
