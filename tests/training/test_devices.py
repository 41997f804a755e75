"""Several replicas and devices are in test_distribution.py."""

import keras
import numpy as np
import pytest

from keras_videoprism.training.devices import (
    gather,
    is_first_process,
    num_replicas,
    num_shares,
    peak_device_bytes,
    process_of,
    replicate,
    to_host,
)

pytestmark = pytest.mark.backends


def test_one_device_has_all(stage1):
    stage = stage1()
    outputs = {"x": np.ones(3)}
    assert gather(outputs) is outputs
    assert (num_replicas(), num_shares(stage)) == (1, 1)
    assert process_of() == (0, 1) and is_first_process()
    before = stage.get_weights()
    replicate(stage)
    for weight, expected, variable in zip(stage.get_weights(), before, stage.weights, strict=True):
        np.testing.assert_array_equal(weight, expected)
        np.testing.assert_array_equal(to_host(variable), expected)


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="counted by JAX's devices alone")
def test_peak_device_bytes(monkeypatch):
    import jax

    class Device:
        def memory_stats(self) -> dict:
            return {"bytes_in_use": 5, "peak_bytes_in_use": 7}

    assert peak_device_bytes() is None  # a CPU has no memory of its own
    monkeypatch.setattr(jax, "local_devices", lambda: [Device()])
    assert peak_device_bytes() == 7
