import keras
import numpy as np
import pytest

from keras_videoprism.layers.transformer import Transformer
from keras_videoprism.training import Stage1Model, Stage2Model
from keras_videoprism.training.train_step import peak_device_bytes

pytestmark = pytest.mark.backends

STAGES = pytest.mark.parametrize("stage", ["stage1", "stage2"])


class KerasStage1(Stage1Model):
    train_step = keras.Model.train_step


class KerasStage2(Stage2Model):
    train_step = keras.Model.train_step


KERAS = {"stage1": KerasStage1, "stage2": KerasStage2}


def train(model: keras.Model, batch: dict, optimizer: keras.Optimizer | None = None) -> dict:
    """One step; the logs."""
    if optimizer is not None or not model.compiled:
        model.compile(optimizer or keras.optimizers.SGD(1.0))
    logs = model.train_on_batch(batch, return_dict=True)
    return {name: float(value) for name, value in logs.items()}


def weights_of(model: keras.Model) -> dict[str, np.ndarray]:
    values = [keras.ops.convert_to_numpy(weight) for weight in model.trainable_variables]
    paths = [weight.path.removeprefix(f"{model.name}/") for weight in model.trainable_variables]
    return dict(zip(paths, values, strict=True))


def assert_same(weights: dict, expected: dict, atol: float) -> None:
    assert weights.keys() == expected.keys() and len(weights) > 10
    for path, value in weights.items():
        np.testing.assert_allclose(value, expected[path], atol=atol, err_msg=path)


@STAGES
def test_one_step_equals_keras_own_step(stages, batch, stage):
    model, keras_model = stages[stage](), stages[stage](KERAS[stage])
    before = weights_of(model)
    assert_same(weights_of(keras_model), before, atol=0)
    logs, keras_logs = (
        train(each, batch(4), keras.optimizers.Adam(0.01)) for each in (model, keras_model)
    )
    assert_same(weights_of(model), weights_of(keras_model), atol=1e-6)
    moved = [np.abs(value - before[path]).max() for path, value in weights_of(model).items()]
    assert np.mean(np.array(moved) > 1e-3) > 0.8
    for name, value in keras_logs.items():
        assert logs[name] == pytest.approx(value, abs=1e-5), name
    for mine, theirs in zip(
        model.optimizer.variables, keras_model.optimizer.variables, strict=True
    ):
        mine, theirs = keras.ops.convert_to_numpy(mine), keras.ops.convert_to_numpy(theirs)
        np.testing.assert_allclose(mine, theirs, atol=1e-6)


@STAGES
def test_micro_batches_give_the_gradient_of_the_whole_batch(stages, batch, stage):
    whole, parts = stages[stage](), stages[stage](num_micro_batches=4)
    before = weights_of(whole)
    logs, part_logs = train(whole, batch(8)), train(parts, batch(8))
    assert_same(weights_of(parts), weights_of(whole), atol=1e-5)
    moved = [np.abs(value - before[path]).max() for path, value in weights_of(whole).items()]
    assert np.median(moved) > 1e-3
    assert part_logs["loss"] == pytest.approx(logs["loss"], abs=1e-5)
    assert part_logs["gradient_norm"] == pytest.approx(logs["gradient_norm"], rel=1e-4)
    if stage == "stage1":  # the temperature is among the trainable variables, and learned
        assert "log_logit_scale" in before
        assert logs["temperature"] != pytest.approx(0.07, abs=1e-5)


@STAGES
@pytest.mark.parametrize("num_micro_batches", [1, 2])
def test_remat_changes_no_gradient(stages, batch, stage, num_micro_batches):
    kept, again = stages[stage](), stages[stage](num_micro_batches=num_micro_batches, remat=True)
    logs, remat_logs = train(kept, batch(4)), train(again, batch(4))
    assert_same(weights_of(again), weights_of(kept), atol=1e-5)
    assert remat_logs["loss"] == pytest.approx(logs["loss"], abs=1e-5)
    stacks = [layer for layer in again._flatten_layers() if isinstance(layer, Transformer)]
    assert sum(stack.remat for stack in stacks) == {"stage1": 3, "stage2": 4}[stage]


@STAGES
@pytest.mark.parametrize("num_micro_batches", [1, 2])
def test_broken_gradients_are_skipped_and_counted(stages, batch, stage, num_micro_batches):
    model = stages[stage](num_micro_batches=num_micro_batches)
    before = weights_of(model)
    broken = batch(4)
    broken["videos"][1, 2, 3] = np.nan
    logs = train(model, broken, keras.optimizers.Adam(0.01))
    assert not np.isfinite(logs["gradient_norm"])
    assert logs["skipped_steps"] == 1
    assert_same(weights_of(model), before, atol=0)
    assert int(model.optimizer.iterations) == 0
    logs = train(model, batch(4))
    assert np.isfinite(logs["gradient_norm"]) and logs["skipped_steps"] == 1
    assert int(model.step) == 2
    assert max(np.abs(weights_of(model)[path] - before[path]).max() for path in before) > 1e-3


@STAGES
def test_each_step_has_its_own_masks(stages, batch, stage):
    """Without learning, only the masks (and the permutation) can change the loss."""
    model = stages[stage]()
    model.compile(keras.optimizers.SGD(0.0))
    losses = []
    for _ in range(3):
        model.reset_metrics()
        losses.append(train(model, batch(4))["loss"])
    assert int(model.step) == 3
    assert len(set(losses)) == 3
    model.step.assign(1)
    model.reset_metrics()
    assert train(model, batch(4))["loss"] == pytest.approx(losses[1], abs=1e-6)


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="counted by JAX's devices alone")
def test_peak_device_bytes(monkeypatch):
    import jax

    class Device:
        def memory_stats(self) -> dict:
            return {"bytes_in_use": 5, "peak_bytes_in_use": 7}

    assert peak_device_bytes() is None  # a CPU has no memory of its own
    monkeypatch.setattr(jax, "local_devices", lambda: [Device()])
    assert peak_device_bytes() == 7
