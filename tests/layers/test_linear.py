import keras
import numpy as np
import pytest
from keras import ops

from keras_videoprism.layers.linear import Linear

pytestmark = pytest.mark.backends


@pytest.mark.parametrize("shape", [(3, 4), (2, 3, 4), (2, 3, 5, 4)])
def test_equals_dense(shape):
    x = np.random.default_rng(0).normal(size=shape).astype("float32")
    dense, linear = keras.layers.Dense(6), Linear(6)
    for layer in (dense, linear):
        layer.build(shape)
    linear.set_weights(dense.get_weights())
    expected, y = (ops.convert_to_numpy(layer(x)) for layer in (dense, linear))
    assert y.shape == (*shape[:-1], 6)
    np.testing.assert_allclose(y, expected, atol=1e-6)
