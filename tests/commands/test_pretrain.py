import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_videoprism.commands.pretrain import _fit, pretrain


def test_bad_arguments_are_told_before_any_work(tmp_path):
    settings = {"preset": "videoprism_tiny", "output": tmp_path / "out", "steps": 2}
    with pytest.raises(ValueError, match="frames must be one value or one for each of the 2"):
        pretrain(1, ["a", "b"], frames=(8, 8, 1), **settings)
    with pytest.raises(ValueError, match="teacher"):
        pretrain(2, ["a"], **settings)
    (tmp_path / "out").mkdir()
    with pytest.raises(ValueError, match="exists"):
        pretrain(1, ["a"], **settings)


@pytest.mark.parametrize(("steps", "expected"), [(3, [3]), (7, [4, 8]), (8, [4, 8])])
def test_no_step_is_left_out(steps, expected):
    """Steps that fill no whole number of epochs are rounded up, not down."""
    stage = keras.Sequential([keras.layers.Dense(1)])
    stage.compute_loss = lambda x, y, y_pred, sample_weight=None, training=True: y_pred.mean()
    batches = tf.data.Dataset.from_tensors(np.ones((2, 3), "float32")).repeat()
    curves = _fit(stage, lambda start: batches, keras.optimizers.SGD(0.1), steps, 4, stage)
    assert curves["step"] == expected
    assert int(stage.optimizer.iterations.numpy()) == expected[-1]
