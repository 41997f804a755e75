import keras
import numpy as np
import pytest

from keras_videoprism.training.recipes import (
    WarmupLinearDecay,
    stage1_optimizer,
    stage2_optimizer,
)


def rate_at(optimizer: keras.Optimizer, step: int) -> float:
    optimizer.iterations.assign(step)
    return float(optimizer.learning_rate)


@pytest.mark.backends
@pytest.mark.parametrize(
    ("step", "rate"),
    [(0, 0.0), (10_000, 2.5e-4), (20_000, 5e-4), (110_000, 2.5e-4), (200_000, 0.0), (300_000, 0.0)],
)
def test_stage1_schedule(step, rate):
    """Table 10: linear warm-up over 20,000 of 200,000 steps to 5e-4, linear decay to 0."""
    assert rate_at(stage1_optimizer(), step) == pytest.approx(rate, abs=1e-8)


@pytest.mark.backends
@pytest.mark.parametrize(
    ("step", "rate"),
    [
        (0, 0.0),
        (12_500, 2.5e-4),
        (25_000, 5e-4),
        (162_500, (5e-4 + 1e-5) / 2),
        (300_000, 1e-5),
        (400_000, 1e-5),
    ],
)
def test_stage2_schedule(step, rate):
    """Table 10: linear warm-up over 25,000 of 300,000 steps to 5e-4, cosine decay to 1e-5."""
    assert rate_at(stage2_optimizer(), step) == pytest.approx(rate, abs=1e-8)


def test_linear_decay_to_another_end_is_saved_and_loaded():
    schedule = WarmupLinearDecay(1.0, total_steps=12, warmup_steps=2, end=0.5)
    config = keras.optimizers.schedules.serialize(schedule)
    for each in (schedule, keras.optimizers.schedules.deserialize(config)):
        rates = [float(each(step)) for step in (0, 1, 2, 7, 12, 99)]
        np.testing.assert_allclose(rates, [0, 0.5, 1.0, 0.75, 0.5, 0.5], atol=1e-6)


@pytest.mark.parametrize("make", [stage1_optimizer, stage2_optimizer])
@pytest.mark.parametrize("warmup_steps", [-1, 10, 11])
def test_warmup_must_end_before_the_run(make, warmup_steps):
    with pytest.raises(ValueError, match=f"warmup_steps={warmup_steps}, total_steps=10"):
        make(total_steps=10, warmup_steps=warmup_steps)


def test_no_warmup():
    assert rate_at(stage1_optimizer(total_steps=10, warmup_steps=0), 0) == pytest.approx(5e-4)
    assert rate_at(stage2_optimizer(total_steps=10, warmup_steps=0), 0) == pytest.approx(5e-4)


@pytest.mark.parametrize("make", [stage1_optimizer, stage2_optimizer])
def test_only_kernels_decay(make):
    """With zero gradients, decay alone changes a variable."""
    optimizer = make(learning_rate=0.1, total_steps=10, warmup_steps=0, weight_decay=0.5)
    assert isinstance(optimizer, keras.optimizers.Adafactor)
    names = ["kernel", "bias", "gamma", "beta", "per_dim_scale", "log_logit_scale"]
    variables = [keras.Variable(np.ones((2, 2), "float32"), name=name) for name in names]
    optimizer.apply([np.zeros((2, 2), "float32")] * len(variables), variables)
    values = {v.name: float(keras.ops.convert_to_numpy(v)[0, 0]) for v in variables}
    assert values.pop("kernel") == pytest.approx(0.95, abs=1e-5)
    assert values == dict.fromkeys(names[1:], 1.0)
