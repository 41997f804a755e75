"""A record becomes a row of small features, whatever is wrong with it."""

import numpy as np
import pytest
import tensorflow as tf

from keras_videoprism.data.schema import encode_clip
from keras_videoprism.data.validation.clip_features import FEATURES, clip_features, feature_batches

pytestmark = pytest.mark.records
pytest.importorskip("pyarrow")


def record(**arguments):
    clip = {
        "frames": np.zeros((3, 4, 6, 3), np.uint8),
        "timestamps": [1.0, 2.0, 3.0],
        "file": "a.mp4",
        "source": "web",
        "clip_id": 1,
        "captions": [" a  red star ", "été"],
        "labels": [4, 7],
    }
    return encode_clip(**{**clip, **arguments})


def test_features_of_a_clip():
    features = clip_features(record())
    assert features == {
        "schema_version": [1],
        "num_frames": [3],
        "height": [4],
        "width": [6],
        "seconds": [2],
        "fps": [1],
        "num_captions": [2],
        "caption_characters": [11, 3],
        "caption_words": [3, 1],
        "label": [4, 7],
        "source": [b"web"],
    }
    assert features.keys() == set(FEATURES)
    assert {type(values) for values in features.values()} == {list}  # nothing holds the frames


def test_what_is_missing_or_of_another_type_is_empty():
    empty = clip_features(b"")
    assert [name for name in FEATURES if empty[name]] == ["num_frames", "seconds", "num_captions"]
    example = tf.train.Example.FromString(record())
    example.features.feature["height"].float_list.value[:] = [4.0]
    assert clip_features(example.SerializeToString())["height"] == []


def test_batches_leave_out_what_cannot_be_read(tmp_path):
    shard = tmp_path / "s.tfrecord"
    clips = [record(labels=[]), b"no record", record(), record(), record()]
    with tf.io.TFRecordWriter(str(shard)) as writer:
        for clip in clips:
            writer.write(clip)
    content = bytearray(shard.read_bytes())
    content[-9] ^= 1  # within the last record
    shard.write_bytes(content)
    batches = list(feature_batches(str(shard), batch_size=2))
    assert [batch.num_rows for batch in batches] == [2, 1]
    assert batches[0].schema.names == list(FEATURES)
    assert batches[0].to_pydict()["label"] == [None, [4, 7]]
    assert batches[1].to_pydict()["source"] == [[b"web"]]
