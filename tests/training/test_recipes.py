import keras
import numpy as np
import pytest

from keras_videoprism.training.recipes import (
    WarmupLinearDecay,
    captioner_optimizer,
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


@pytest.mark.backends
@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (stage1_optimizer, keras.optimizers.Adafactor),
        (stage2_optimizer, keras.optimizers.Adafactor),
        (captioner_optimizer, keras.optimizers.AdamW),
    ],
)
def test_only_kernels_decay(make, kind):
    """With zero gradients, decay alone changes a variable."""
    optimizer = make(learning_rate=0.1, total_steps=10, warmup_steps=0, weight_decay=0.5)
    assert isinstance(optimizer, kind)
    names = ["kernel", "bias", "gamma", "beta", "per_dim_scale", "log_logit_scale"]
    names += ["position_table", "mask_token", "latents"]
    variables = [keras.Variable(np.ones((2, 2), "float32"), name=name) for name in names]
    gradients = [keras.ops.zeros((2, 2)) for _ in variables]
    optimizer.apply(gradients, variables)
    values = {v.name: float(keras.ops.convert_to_numpy(v)[0, 0]) for v in variables}
    assert values.pop("kernel") == pytest.approx(0.95, abs=1e-5)
    assert values == dict.fromkeys(names[1:], 1.0)


@pytest.mark.backends
def test_captioner_schedule_and_step():
    """Appendix G: 10,000 of 200,000 steps to 5e-4; Adam by hand, and decay apart from it."""
    optimizer = captioner_optimizer()
    rates = [rate_at(optimizer, step) for step in (0, 5_000, 10_000, 105_000, 200_000)]
    assert rates == pytest.approx([0.0, 2.5e-4, 5e-4, 2.5e-4, 0.0], abs=1e-8)
    optimizer = captioner_optimizer(0.1, 10, 0, weight_decay=0.5)
    kernel = keras.Variable([2.0], name="kernel")
    optimizer.apply([keras.ops.convert_to_tensor([4.0])], [kernel])
    # The first step of Adam is the rate times the sign; decay takes the rate times 0.5 of 2.
    (moved,) = keras.ops.convert_to_numpy(kernel)
    assert moved == pytest.approx(2.0 - 0.1 - 0.1, abs=1e-5)
    assert (optimizer.beta_1, optimizer.beta_2) == (0.9, 0.999)
    assert not (optimizer.use_ema or optimizer.clipnorm or optimizer.global_clipnorm)
