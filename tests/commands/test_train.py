import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_videoprism.commands.frozen_probe import FrozenProbe
from keras_videoprism.commands.run_page import RunPage
from keras_videoprism.commands.train import fit, run_callbacks, whole_epochs
from keras_videoprism.models import VideoPrism
from keras_videoprism.training.callbacks import StepLog


@pytest.mark.parametrize(("steps", "expected"), [(3, [3]), (7, [4, 8]), (8, [4, 8])])
def test_no_step_is_left_out(steps, expected):
    """Steps that fill no whole number of epochs are rounded up, not down."""
    stage = keras.Sequential([keras.layers.Dense(1)])
    stage.step = keras.Variable(0, trainable=False)  # a `Stage` counts its steps
    stage.compute_loss = lambda x, y, y_pred, sample_weight=None, training=True: y_pred.mean()
    batches = tf.data.Dataset.from_tensors(np.ones((2, 3), "float32")).repeat()
    curves = fit(stage, lambda start: batches, keras.optimizers.SGD(0.1), steps, 4, stage)
    assert curves["step"] == expected
    assert int(stage.optimizer.iterations.numpy()) == expected[-1]


def test_whole_epochs():
    assert whole_epochs(250) == (3, 84)
    assert whole_epochs(40) == (1, 40)


def test_what_watches_a_run(tmp_path, monkeypatch):
    encoder = VideoPrism.from_preset("videoprism_tiny", load_weights=False)
    start = (tmp_path, lambda start: iter(()), 30, encoder)
    log, page = run_callbacks(*start, peak_flops=1e12)
    assert isinstance(log, StepLog) and isinstance(page, RunPage)
    assert (log.every, log.peak_flops, log.path) == (30, 1e12, tmp_path / "steps.csv")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert [type(each) for each in run_callbacks(*start)] == [StepLog]
    assert FrozenProbe not in [type(each) for each in run_callbacks(*start)]


def test_a_probe_that_cannot_be_run(tmp_path):
    encoder = VideoPrism.from_preset("videoprism_tiny", load_weights=False)
    start = (tmp_path, lambda start: iter(()), 30, encoder)
    with pytest.raises(
        ValueError, match=r"needs two record folders.*received \['a', 'b'\] and None"
    ):
        run_callbacks(*start, probe=["a", "b"])
    with pytest.raises(ValueError, match=r"received \['a'\] and 3"):
        run_callbacks(*start, probe=["a"], probe_classes=3)
