import tensorflow as tf

from keras_videoprism.commands.event_file import EventFile


def test_rows_are_scalars(tmp_path):
    write = EventFile(tmp_path / "run")
    assert not (tmp_path / "run").exists()
    write({"step": 10, "loss": 0.5, "loss/web": ""})
    write({"step": 20, "loss": 0.25, "loss/web": 2.0})
    (file,) = (tmp_path / "run").iterdir()
    events = [event for event in tf.compat.v1.train.summary_iterator(str(file))]
    found = [
        (event.step, value.tag, float(tf.make_ndarray(value.tensor)))
        for event in events
        for value in event.summary.value
    ]
    kinds = [v.metadata.plugin_data.plugin_name for event in events for v in event.summary.value]
    assert kinds == ["scalars"] * 3
    assert found == [(10, "loss", 0.5), (20, "loss", 0.25), (20, "loss/web", 2.0)]
