"""Sizes of a tiny step, worked out by hand; see plan_on_devices.py."""

import math

import keras
import pytest

from keras_videoprism.commands.traced_step import simulate_devices

# Variables of a Transformer block of width 16: number, shape, whether `model` and `data` split it.
Shapes = list[tuple[int, tuple[int, ...], bool, bool]]


def block(mlp_dim: int) -> Shapes:
    return [
        (4, (16,), False, False),  # two LayerNorms
        (4, (16, 16), True, True),  # query, key, value, output
        (3, (16,), True, False),
        (1, (16,), False, False),
        (1, (16, mlp_dim), True, True),
        (1, (mlp_dim,), True, False),
        (1, (mlp_dim, 16), True, True),
        (1, (16,), False, False),
    ]


TRAINED: Shapes = [
    (1, (108, 16), False, True),  # patches of 6 x 6 x 3
    (1, (16,), False, False),
    (1, (16, 16), False, False),  # 4 x 4 places; below, 4 times
    (1, (4, 16), False, False),
    *block(32),
    *block(32),
    (4, (16,), False, False),  # LayerNorms after the two Transformers
    (1, (1, 16), False, False),  # the pooler's query; its heads are 64 wide together
    (3, (16, 64), True, True),
    (3, (64,), True, False),
    (1, (64, 16), True, True),
    (1, (16,), False, False),
    (1, (32,), False, False),
    (2, (16,), False, False),
    (1, (20, 16), True, True),  # the text tower
    (1, (1, 1, 16), False, False),
    *block(64),
    (2, (16,), False, False),
    (1, (), False, False),  # temperature
]


def share(shapes: Shapes, data: int) -> int:
    """Bytes of one of data x 2 devices, in float32."""
    return sum(
        4 * count * math.prod(shape) // (2 if over_model else 1) // (data if over_data else 1)
        for count, shape, over_model, over_data in shapes
    )


@pytest.mark.parametrize(("place", "data"), [("stage1", 1), ("both", 4)])
def test_bytes_of_a_device(planned, place, data):
    """Adafactor keeps an array of each variable's shape, split like it, and whole means over its
    rows and columns, or two numbers where there are none; it counts its steps in 4 bytes, the
    stage in 8."""
    factors = sum(
        4 * count * (math.prod(shape[:-1]) + math.prod(shape[:-2]) * shape[-1])
        if len(shape) > 1
        else 8 * count
        for count, shape, *_ in TRAINED
    )
    assert planned[1][place]["sizes"] == {
        "variables": share(TRAINED, data) + 8,
        "optimizer": share(TRAINED, data) + factors + 4,
        "videos": 4 * 4 * 24 * 24 * 3,  # 16 clips on 4 rows of devices
    }


def test_nothing_of_the_model_is_made(planned):
    assert planned[1]["live_bytes"] == 0


@pytest.mark.parametrize("step", ["stage1", "stage2"])
def test_steps_lower_for_tpu_and_cuda(planned, step):
    """jax.export refuses what is not promised to stay as it is, such as unknown custom calls."""
    assert planned[1][step]["exported"] == ["tpu", "cuda"]


@pytest.mark.skipif(keras.config.backend() != "jax", reason="simulates devices of JAX")
def test_devices_cannot_change_once_jax_has_started():
    import jax

    count = jax.device_count()
    simulate_devices(count)
    with pytest.raises(ValueError, match=f"started with {count} devices, not {count + 1}"):
        simulate_devices(count + 1)


def test_another_backend_is_refused(monkeypatch):
    monkeypatch.setattr(keras.config, "backend", lambda: "torch")
    with pytest.raises(ValueError, match="'torch'. Set KERAS_BACKEND=jax"):
        simulate_devices(1)
