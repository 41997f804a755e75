"""Each planted anomaly is found by TensorFlow Data Validation, and nothing in a clean corpus."""

import json

import numpy as np
import pytest
import tensorflow as tf

from keras_videoprism.data.anomalies import find_anomalies, infer_schema
from keras_videoprism.data.index import SUMMARY_FILE
from keras_videoprism.data.schema import encode_clip
from keras_videoprism.data.statistics import generate_statistics, load_schema

pytestmark = pytest.mark.records
pytest.importorskip("tensorflow_data_validation")

NUM_CLIPS = 60


def clean_clip(number: int) -> dict:
    return {
        "frames": np.full((4, 16, 24, 3), 90, np.uint8),
        "timestamps": np.arange(4) / 8,
        "file": f"{number}.mp4",
        "clip_id": number,
        "source": ("web", "studio")[number % 2],
        "captions": [("a red star", "two blue rings turn around")[number % 2]],
        "labels": [number % 5],
    }


def write_corpus(folder, change=None, every=NUM_CLIPS, edit=None):
    """A record folder; in one of `every` clips `change` is put in, or the Example edited."""
    with tf.io.TFRecordWriter(str(folder / "s.tfrecord")) as writer:
        for number in range(NUM_CLIPS):
            planted = number % every == every // 2
            record = encode_clip(**{**clean_clip(number), **(change or {} if planted else {})})
            if planted and edit is not None:
                example = tf.train.Example.FromString(record)
                edit(example.features.feature)
                record = example.SerializeToString()
            writer.write(record)
    counts = dict.fromkeys(("num_captioned", "num_labelled", "num_classes"), 5)
    summary = {"schema_version": 1, "max_labels_per_clip": 1, **counts}
    summary["shards"] = [{"file": "s.tfrecord", "num_clips": NUM_CLIPS}]
    (folder / SUMMARY_FILE).write_text(json.dumps(summary))
    return folder


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    return generate_statistics(write_corpus(tmp_path_factory.mktemp("clean")))


def make_float(features):
    features["height"].float_list.value[:] = [16.0]


PLANTED = {
    "no caption": ({"change": {"captions": []}}, "num_captions", "INT_TYPE_SMALL_INT"),
    "frame count": (
        {"change": {"frames": np.zeros((3, 16, 24, 3), np.uint8), "timestamps": [0, 1, 2]}},
        "num_frames",
        "INT_TYPE_SMALL_INT",
    ),
    "image size": (
        {"change": {"frames": np.zeros((4, 16, 48, 3), np.uint8)}},
        "width",
        "INT_TYPE_BIG_INT",
    ),
    "label": ({"change": {"labels": [5]}}, "label", "INT_TYPE_BIG_INT"),
    "empty text": ({"change": {"captions": [" "]}}, "caption_words", "INT_TYPE_SMALL_INT"),
    "wrong type": ({"edit": make_float}, "height", "FEATURE_TYPE_LOW_FRACTION_PRESENT"),
    "missing feature": (
        {"edit": lambda f: f.pop("width")},
        "width",
        "FEATURE_TYPE_LOW_FRACTION_PRESENT",
    ),
    "new source": ({"change": {"source": "phone"}}, "source", "ENUM_TYPE_UNEXPECTED_STRING_VALUES"),
    "drift of labels": (
        {"change": {"labels": [0]}, "every": 2},
        "label",
        "COMPARATOR_L_INFTY_HIGH",
    ),
    "drift of lengths": (
        {"change": {"captions": ["a star"]}, "every": 2},
        "caption_words",
        "COMPARATOR_JENSEN_SHANNON_DIVERGENCE_HIGH",
    ),
}


def test_a_clean_corpus_has_no_anomaly(clean):
    assert find_anomalies(clean)[0] == []
    anomalies, distances = find_anomalies(clean, infer_schema(clean), previous=clean, serving=clean)
    assert anomalies == []
    assert len(distances) == 19 and all(distance.value == 0 for distance in distances)


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_anomaly_is_found(name, clean, tmp_path):
    plan, feature, kind = PLANTED[name]
    statistics = generate_statistics(write_corpus(tmp_path, **plan))
    anomalies, _ = find_anomalies(statistics, infer_schema(clean), previous=clean)
    print(infer_schema(clean))
    print(anomalies)
    assert (feature, kind) in [anomaly[:2] for anomaly in anomalies]
