import keras
import numpy as np
import pytest

from keras_videoprism.heads.compiled_function import CompiledFunction


@pytest.mark.backends
def test_weights_are_those_of_the_layers():
    layer = keras.layers.Dense(2, use_bias=False)
    layer.build((None, 3))
    x = np.arange(6, dtype="float32").reshape(2, 3)
    doubled = CompiledFunction(lambda inputs: 2 * layer(inputs["x"]), [layer])
    for kernel in (np.ones((3, 2)), np.eye(3)[:, :2]):  # also after they were changed
        layer.kernel.assign(kernel)
        np.testing.assert_allclose(doubled.run({"x": x}), 2 * x @ kernel)
    assert doubled.weights == layer.weights
