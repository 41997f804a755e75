import json
import logging
import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from safetensors import safe_open

from keras_videoprism.training.checkpoints import (
    Checkpoint,
    Counting,
    Progress,
    checkpoints_in,
    load_checkpoint,
    save_checkpoint,
    variables_of,
)

STAGES = pytest.mark.parametrize("stage", ["stage1", "stage2"])
EPOCH = 4


def values_of(model: keras.Model) -> dict[str, np.ndarray]:
    return {
        name: np.array(keras.ops.convert_to_numpy(variable))
        for name, variable in variables_of(model).items()
    }


def assert_equal(model: keras.Model, expected: dict[str, np.ndarray]) -> None:
    found = values_of(model)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


class Small(keras.Model):
    """One weight that moves by 1 in each step; its metric is the mean of the steps' numbers."""

    def __init__(self, shape: tuple[int, ...] = (3,), dtype: str = "float32"):
        super().__init__(dtype=dtype)
        self.w = self.add_weight(shape=shape, name="w", initializer="zeros", dtype=dtype)
        self.built = True
        self.compile(keras.optimizers.SGD(1.0, momentum=0.5))

    def call(self, x):
        return x * keras.ops.sum(self.w)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return keras.ops.mean(y_pred)


def numbers(start: int = 0) -> tf.data.Dataset:
    """Batches [2, 1]; that of step n holds n."""
    return tf.data.Dataset.counter(start).map(lambda n: tf.fill([2, 1], tf.cast(n, "float32")))


@pytest.fixture
def saved(tmp_path) -> Callable[..., keras.Model]:
    """Function: step -> a checkpoint in `tmp_path`, of a model whose weight is the step."""

    def save(step: int, keep: int = 9, **settings) -> keras.Model:
        model = Small()
        model.w.assign(np.full(3, step))
        save_checkpoint(tmp_path, model, Progress(step, {"loss": [1.0]}), settings, keep)
        return model

    return save


@pytest.fixture
def batches(batch) -> Callable[[int], tf.data.Dataset]:
    """Function: first step -> endless batches, the same clips in another order in each step."""
    clips = batch(4)

    def make(start: int) -> tf.data.Dataset:
        orders = tf.data.Dataset.counter(start).map(
            lambda n: (tf.range(4) + tf.cast(n, "int32")) % 4
        )
        return orders.map(lambda rows: {key: tf.gather(clips[key], rows) for key in clips})

    return make


class Stop(keras.callbacks.Callback):
    """SIGTERM in a step of the run."""

    def __init__(self, counting: Counting, step: int):
        super().__init__()
        self.counting, self.step = counting, step

    def on_train_batch_begin(self, batch, logs=None):
        if self.counting.step == self.step:
            os.kill(os.getpid(), signal.SIGTERM)


def train(model: keras.Model, batches: Callable, folder: Path, stop: int | None = None) -> Counting:
    """Two epochs, or what is left of them."""
    counting = Checkpoint(folder, model, save_every=2)
    callbacks = [counting] if stop is None else [counting, Stop(counting, stop)]
    while counting.step < 2 * EPOCH:
        epoch, done = divmod(counting.step, EPOCH)
        model.fit(
            batches(counting.step),
            steps_per_epoch=EPOCH - done,
            initial_epoch=epoch,
            epochs=epoch + 1 if done else 2,
            shuffle=False,
            callbacks=callbacks,
            verbose=0,
        )
    return counting


def assert_stopped_run_goes_on(
    make: Callable, batches: Callable, folder: Path, stops: list
) -> None:
    """Weights, optimizer, counters, metrics and curves are bit-equal wherever SIGTERM comes."""
    model = make()
    curves = train(model, batches, folder / "whole").curves
    expected = values_of(model)
    assert curves["step"] == [EPOCH, 2 * EPOCH] and len(set(curves["loss"])) == 2
    for stop in stops:
        with pytest.raises(SystemExit) as exit:
            train(make(), batches, folder / str(stop), stop)
        assert exit.value.code == 143
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
        model = make()
        # The step in progress was finished.
        assert load_checkpoint(folder / str(stop), model).step == stop + 1
        assert train(make(), batches, folder / str(stop)).curves == curves
        load_checkpoint(folder / str(stop), model)
        assert_equal(model, expected)


@pytest.mark.backends
def test_a_stopped_run_goes_on_from_any_step(tmp_path):
    assert_stopped_run_goes_on(Small, numbers, tmp_path, list(range(2 * EPOCH - 1)))


@pytest.mark.backends
@STAGES
def test_a_stopped_run_of_a_stage_goes_on(stages, batches, stage, tmp_path):
    def make() -> keras.Model:
        model = stages[stage]()
        model.compile(keras.optimizers.AdamW(0.01))
        return model

    assert_stopped_run_goes_on(make, batches, tmp_path, [2])


def test_all_variables_are_saved(stage2, tmp_path):
    """Those of the frozen teacher, the counters, the optimizer and the metrics too."""
    model = stage2()
    model.compile(keras.optimizers.Adam(0.1))
    rng = np.random.default_rng(0)
    for variable in variables_of(model).values():
        variable.assign(rng.integers(1, 99, variable.shape))
    expected = values_of(model)
    for part in ("teacher", "optimizer/iteration", "model/step#1", "residual_cosine", "momentum"):
        assert part == "teacher" or any(part in name for name in expected), part
    assert len(expected) == len(model.variables + model.optimizer.variables) + len(
        model.metrics_variables
    )
    save_checkpoint(tmp_path, model, Progress(5, {"loss": [2.0, 0.1]}))
    other = stage2()
    other.compile(keras.optimizers.Adam(0.1))
    assert load_checkpoint(tmp_path, other) == (5, {"loss": [2.0, 0.1]})
    assert_equal(other, expected)


@pytest.mark.backends
def test_bfloat16_is_saved_without_loss(tmp_path):
    model, other = Small(dtype="bfloat16"), Small(dtype="bfloat16")
    model.w.assign(np.array([1 / 3, 1e30, -7e-9]))
    save_checkpoint(tmp_path, model, Progress(1, {}))
    load_checkpoint(tmp_path, other)
    assert other.w.dtype == "bfloat16"
    assert_equal(other, values_of(model))
    with pytest.raises(ValueError, match=r"w#1: bfloat16 \[3\] there, float32 \[3\] in the model"):
        load_checkpoint(tmp_path, Small())


def test_nothing_saved_is_step_0(tmp_path):
    assert load_checkpoint(tmp_path / "none", Small()) == (0, {})


def test_the_newest_is_loaded_and_k_stay(saved, tmp_path):
    for step in (8, 9, 10, 11):
        saved(step, keep=3)
    assert [path.stem[-2:] for path in checkpoints_in(tmp_path)] == ["09", "10", "11"]
    model = Small()
    assert load_checkpoint(tmp_path, model).step == 11
    assert model.w.numpy().tolist() == [11, 11, 11]


def test_each_changed_byte_is_found(saved, tmp_path, caplog):
    saved(1)
    saved(2)
    file = checkpoints_in(tmp_path)[1]
    whole, model = file.read_bytes(), Small()
    for place in range(len(whole)):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 11]) + whole[place + 1 :])
        assert load_checkpoint(tmp_path, model).step == 1, place
    assert "step-00000002.safetensors is damaged" in caplog.text


@pytest.mark.parametrize("length", [0, 7, 200, -1])
def test_a_cut_file_is_found(saved, tmp_path, length):
    saved(1)
    saved(2)
    file = checkpoints_in(tmp_path)[1]
    file.write_bytes(file.read_bytes()[:length])
    model = Small()
    assert load_checkpoint(tmp_path, model).step == 1
    assert model.w.numpy().tolist() == [1, 1, 1]
    save_checkpoint(tmp_path, model, Progress(2, {}), keep=1)  # in the damaged one's place
    assert load_checkpoint(tmp_path, model).step == 2


def test_a_damaged_newer_one_does_not_push_out_whole_ones(saved, tmp_path):
    for step in (1, 2, 5):
        saved(step)
    checkpoints_in(tmp_path)[2].write_bytes(b"")
    saved(3, keep=2)
    assert [path.stem[-1] for path in checkpoints_in(tmp_path)] == ["2", "3"]


def test_none_whole_is_an_error(saved, tmp_path):
    saved(1)
    checkpoints_in(tmp_path)[0].write_bytes(b"")
    with pytest.raises(ValueError, match="no checkpoint in .* is whole; remove it"):
        load_checkpoint(tmp_path, Small())


def test_another_model_is_refused_and_stays_as_it_is(saved, tmp_path):
    saved(4)
    other = Small(shape=(2, 2))
    with pytest.raises(ValueError) as error:
        load_checkpoint(tmp_path, other)
    assert "2 of its variables differ" in str(error.value)
    assert "model/w#1: float32 [3] there, float32 [2, 2] in the model" in str(error.value)
    assert not other.w.numpy().any()


def test_another_stage_is_refused(stages, tmp_path):
    models = [stages[name]() for name in ("stage1", "stage2")]
    for model in models:
        model.compile(keras.optimizers.SGD(0.1))
    save_checkpoint(tmp_path, models[0], Progress(1, {}))
    with pytest.raises(ValueError) as error:
        load_checkpoint(tmp_path, models[1])
    assert "is of another model" in str(error.value) and ": nothing there, " in str(error.value)
    assert len(str(error.value).splitlines()) == 12


def test_other_settings_are_listed(saved, tmp_path, caplog):
    saved(4, steps=10, seed=3, frames=(8, 1))
    settings = {"steps": 20, "seed": 3, "frames": [8, 1], "init": True}
    with pytest.raises(ValueError) as error:
        load_checkpoint(tmp_path, Small(), settings)
    assert "steps: 10 before, 20 now" in str(error.value)
    assert "init: None before, True now" in str(error.value)
    assert "seed" not in str(error.value) and "frames" not in str(error.value)
    model = Small()
    assert load_checkpoint(tmp_path, model, settings, force=True).step == 4
    assert "steps: 10 before, 20 now" in caplog.text


def test_the_header_can_be_read_without_this_package(saved, tmp_path):
    saved(4, steps=10)
    with safe_open(checkpoints_in(tmp_path)[0], framework="numpy") as file:
        run = json.loads(file.metadata()["run"])
        assert file.get_tensor("model/w#1").tolist() == [4, 4, 4]
    assert run["step"] == 4 and run["settings"] == {"steps": 10}
    assert run["variables"]["model/w#1"] == "float32 [3]"


def test_a_full_disk_leaves_the_older_ones(saved, tmp_path):
    saved(1, keep=1)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, before[1]))  # Python ignores the signal
    try:
        with pytest.raises(OSError, match="step-00000002.* cannot be written"):
            saved(2, keep=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001.safetensors"]
    assert load_checkpoint(tmp_path, Small()).step == 1


def test_saves_every_n_steps_and_at_the_end(tmp_path):
    model = Small()
    checkpoint = Checkpoint(tmp_path, model, save_every=3, keep=9)
    model.fit(numbers(), steps_per_epoch=4, epochs=2, callbacks=[checkpoint], shuffle=False)
    assert [int(path.stem[-2:]) for path in checkpoints_in(tmp_path)] == [3, 6, 8]
    assert checkpoint.curves["step"] == [4, 8]
    assert checkpoint.step == 8


def test_a_second_sigterm_acts_at_once(tmp_path, caplog):
    model = Small()
    checkpoint = Checkpoint(tmp_path, model)
    before = signal.signal(signal.SIGTERM, lambda *_: caught.append(checkpoint.step))
    caught: list[int] = []
    caplog.set_level(logging.WARNING)

    class Twice(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if batch == 2:
                os.kill(os.getpid(), signal.SIGTERM)
                assert caught == []
                os.kill(os.getpid(), signal.SIGTERM)
                assert caught == [2]

    try:
        with pytest.raises(SystemExit):
            model.fit(numbers(), steps_per_epoch=4, callbacks=[checkpoint, Twice()], shuffle=False)
        assert "SIGTERM: saved step 3 in" in caplog.text
        Checkpoint(tmp_path, Small())
        assert "goes on after step 3" in caplog.text
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("wrong", [{"save_every": 0}, {"keep": 0}])
def test_numbers_below_1_are_refused(tmp_path, wrong):
    with pytest.raises(ValueError, match="must be at least 1"):
        Checkpoint(tmp_path, Small(), **wrong)


def test_another_callback_may_stop_within_an_epoch(tmp_path):
    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = batch == 1

    model = Small()
    checkpoint = Checkpoint(tmp_path, model)
    model.fit(numbers(), steps_per_epoch=4, callbacks=[checkpoint, Stop()], shuffle=False)
    assert checkpoint.step == load_checkpoint(tmp_path, model).step == 2


def test_frozen_parts_are_not_saved(tmp_path):
    """They keep what they have, also when the rest is loaded."""

    def make(value: float) -> tuple[keras.Model, keras.layers.Layer]:
        frozen = keras.layers.Dense(2, trainable=False, name="frozen")
        model = keras.Sequential([keras.Input((2,)), frozen, keras.layers.Dense(1, name="head")])
        model.compile(keras.optimizers.SGD(1.0))
        for variable in model.variables:
            variable.assign(np.full(variable.shape, value))
        return model, frozen

    model, frozen = make(3.0)
    path = save_checkpoint(tmp_path, model, Progress(1, {}), frozen=[frozen])
    with safe_open(path, framework="numpy") as file:
        names = " ".join(file.keys())
    assert "head/kernel" in names and "frozen" not in names
    other, frozen = make(5.0)
    load_checkpoint(tmp_path, other, frozen=[frozen])
    kernels = [keras.ops.convert_to_numpy(layer.kernel)[0, 0] for layer in other.layers]
    assert kernels == [5.0, 3.0]
    with pytest.raises(ValueError, match="is of another model"):
        load_checkpoint(tmp_path, other)
