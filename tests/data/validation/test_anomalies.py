"""Each planted anomaly is found by TensorFlow Data Validation, and none in a clean corpus."""

import numpy as np
import pytest

from keras_videoprism.data.validation.anomalies import find_anomalies, infer_schema
from keras_videoprism.data.validation.statistics import generate_statistics, load_schema

pytestmark = pytest.mark.records
pytest.importorskip("tensorflow_data_validation")


def clip(frames, height, width):
    """Another clip in place of 4 frames of 16 x 24."""
    videos = np.zeros((frames, height, width, 3), np.uint8)
    return {"frames": videos, "timestamps": np.arange(frames) / 2}


def make_float(features):
    features["height"].float_list.value[:] = [16.0]


SMALL, BIG = "INT_TYPE_SMALL_INT", "INT_TYPE_BIG_INT"
LACKING = "FEATURE_TYPE_LOW_FRACTION_PRESENT"
UNKNOWN = "ENUM_TYPE_UNEXPECTED_STRING_VALUES"
L_INFTY, JENSEN_SHANNON = "L_INFTY", "JENSEN_SHANNON_DIVERGENCE"

# What is planted, and all anomalies that it makes: the feature, and TFDV's name of what is wrong.
PLANTED = {
    "missing caption": (
        {"change": {"captions": []}},
        {
            "caption_characters": LACKING,
            "caption_words": LACKING,
            "num_captions": SMALL,
        },
    ),
    "frame count": ({"change": clip(3, 16, 24)}, {"num_frames": SMALL}),
    "image size": ({"change": clip(4, 16, 48)}, {"width": BIG}),
    "label out of range": ({"change": {"labels": [5]}}, {"label": BIG}),
    "empty text": (
        {"change": {"captions": [" "]}},
        {"caption_characters": SMALL, "caption_words": SMALL},
    ),
    "wrong type": ({"edit": make_float}, {"height": LACKING}),
    "new source": ({"change": {"source": "phone"}}, {"source": UNKNOWN}),
    "drift": (
        {"change": {"labels": [0], "captions": ["a star"]}, "every": 2},
        {
            "label": f"COMPARATOR_{L_INFTY}_HIGH",
            "caption_words": f"COMPARATOR_{JENSEN_SHANNON}_HIGH",
        },
    ),
}


@pytest.fixture(scope="module")
def clean(write_corpus, tmp_path_factory):
    return generate_statistics(write_corpus(tmp_path_factory.mktemp("clean")))


@pytest.mark.parametrize("plan", PLANTED)
def test_a_planted_anomaly_is_found(plan, clean, write_corpus, tmp_path):
    arguments, expected = PLANTED[plan]
    statistics = generate_statistics(write_corpus(tmp_path, **arguments))
    anomalies, distances = find_anomalies(statistics, infer_schema(clean), previous=clean)
    assert {anomaly.feature: anomaly.kind for anomaly in anomalies} == expected
    assert len(anomalies) == len(expected)
    if plan == "drift":
        # Label 0 goes from 1/5 to 1/2 + 1/2 * 1/5. Of the lengths 3 and 5, each in one half of
        # the clips, 5 becomes 2: half of the mass lies apart.
        measured = {distance.feature: distance for distance in distances}
        assert measured["label"] == ("label", "drift", L_INFTY, pytest.approx(0.4), 0.1)
        assert measured["caption_words"][2:4] == (JENSEN_SHANNON, pytest.approx(0.5))


def test_a_clean_corpus_has_no_anomaly(clean):
    for schema in (None, infer_schema(clean)):
        anomalies, distances = find_anomalies(clean, schema, previous=clean, serving=clean)
        assert anomalies == []
        assert {distance.comparison for distance in distances} == {"drift", "skew"}
        assert all(distance.value == 0 for distance in distances)


def test_the_inferred_schema_narrows_the_general_one(clean):
    general = {feature.name: feature for feature in load_schema().feature}
    inferred = {feature.name: feature for feature in infer_schema(clean).feature}
    assert inferred.keys() == general.keys()
    assert not general["label"].int_domain.HasField("max")
    assert (inferred["label"].int_domain.min, inferred["label"].int_domain.max) == (0, 4)
    assert inferred["label"].drift_comparator == general["label"].drift_comparator
    assert not general["fps"].HasField("presence")
    assert inferred["fps"].presence.min_fraction == 1
    assert not inferred["fps"].int_domain.HasField("max")
