"""Each planted fault is found, and nothing else."""

import json

import numpy as np
import pytest
import tensorflow as tf

from keras_videoprism.data.index import SUMMARY_FILE
from keras_videoprism.data.manifest import read_manifest
from keras_videoprism.data.schema import encode_clip
from keras_videoprism.data.validation.validate import validate_records
from keras_videoprism.data.write import write_records

pytestmark = pytest.mark.records


@pytest.fixture
def planted(tmp_path):
    """planted(change, **arguments): a folder of two good clips and one with a fault between."""

    def write(change=None, **arguments):
        frames = np.full((2, 8, 8, 3), 90, np.uint8)
        clips = []
        for number in range(3):
            good = {"file": f"{number}.mp4", "clip_id": number, "captions": ["a"], "labels": [1]}
            fault = arguments if number == 1 else {}
            times = fault.pop("timestamps", [0.0, 0.5])
            clips.append(encode_clip(frames, times, source="s", **{**good, **fault}))
        if change is not None:
            example = tf.train.Example.FromString(clips[1])
            change(example.features.feature)
            clips[1] = example.SerializeToString()
        with tf.io.TFRecordWriter(str(tmp_path / "s.tfrecord")) as writer:
            for clip in clips:
                writer.write(clip)
        summary = {
            "schema_version": 1,
            "num_captioned": 3,
            "num_labelled": 3,
            "max_labels_per_clip": 1,
            "num_classes": 2,
            "shards": [{"file": "s.tfrecord", "num_clips": 3}],
        }
        (tmp_path / SUMMARY_FILE).write_text(json.dumps(summary))
        return tmp_path

    return write


def test_what_the_writer_wrote_is_right(video_folder, tmp_path):
    write_records(read_manifest(video_folder), tmp_path / "out", num_frames=3, short_side=24)
    steps = []
    found = validate_records(
        tmp_path / "out", 3, require_caption=True, progress=lambda *step: steps.append(step)
    )
    assert found.num_records == 6 and found.anomalies == []
    assert found.statistics["frames"] == {"min": 3, "mean": 3.0, "max": 3}
    assert found.statistics["height"]["max"] == 24 and steps[-1] == (6, 6)


def frames(*images):
    def change(features):
        features["frames"].bytes_list.value[:] = images

    return change


def set_int(name, *values):
    def change(features):
        features[name].int64_list.value[:] = values

    return change


def caption(text):
    def change(features):
        features["captions"].bytes_list.value[:] = [text]

    return change


FAULTS = [
    ({"captions": []}, None, "no caption"),
    ({"captions": [" "]}, None, "a caption is empty"),
    ({"captions": ["x" * 10_001]}, None, "a caption has 10001 characters"),
    ({"captions": ["x"], "prompts": [" "]}, None, "a prompt is empty"),
    ({"labels": [7]}, None, "not all in 0 to 1"),
    ({"labels": [-1]}, None, "not all 0 or more"),
    ({"labels": [1, 1]}, None, "repeat"),
    ({"timestamps": [0.5, 0.5]}, None, "timestamps do not ascend"),
    ({"clip_id": 0}, None, "occurs twice"),
    ({}, frames(b"x", b"y"), "frame 0 is no JPEG"),
    ({}, set_int("height", 9), "the record says (9, 8, 3)"),
    ({}, set_int("schema_version", 2), "schema version 2"),
    ({}, caption(b"\xff"), "not UTF-8"),
    ({}, lambda features: features["width"].Clear(), "width"),
]


@pytest.mark.parametrize(("arguments", "change", "reason"), FAULTS, ids=lambda x: str(x)[:24])
def test_planted_fault(planted, arguments, change, reason):
    found = validate_records(planted(change, **arguments), num_classes=2, require_caption=True)
    (anomaly,) = found.anomalies
    assert reason in anomaly.reason
    assert anomaly[:3] == ("s.tfrecord", 1, "1.mp4")


def test_damaged_byte(planted):
    folder = planted()
    content = bytearray((folder / "s.tfrecord").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "s.tfrecord").write_bytes(content)
    (anomaly,) = validate_records(folder).anomalies
    assert "wrong length or checksum" in anomaly.reason and anomaly.record == 1


def test_bytes_that_are_no_record(planted):
    folder = planted()
    shard = folder / "s.tfrecord"
    records = list(tf.data.TFRecordDataset(str(shard)).as_numpy_iterator())
    with tf.io.TFRecordWriter(str(shard)) as writer:
        for record in (records[0], b"no record", records[2]):
            writer.write(record)
    (anomaly,) = validate_records(folder).anomalies
    assert "not a tf.train.Example" in anomaly.reason and anomaly.record == 1
