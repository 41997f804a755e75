"""Statistics count what is in the records; schemas are read and written as text."""

import numpy as np
import pytest

from keras_videoprism.data.validation.anomalies import find_anomalies, infer_schema
from keras_videoprism.data.validation.statistics import (
    generate_statistics,
    load_schema,
    save_schema,
    summarize,
)

pytestmark = pytest.mark.records
tfdv = pytest.importorskip("tensorflow_data_validation")


def test_counts(write_corpus, tmp_path):
    change = {"labels": [3, 9], "captions": ["one", "a red star"]}
    folder = write_corpus(tmp_path, change)  # in clip 30, else label 0 and "a red star"
    statistics = generate_statistics(folder, output=tmp_path / "statistics.pb")
    assert tfdv.load_stats_binary(str(tmp_path / "statistics.pb")) == statistics
    features = summarize(statistics)
    assert features["num_frames"] == {"clips": 60, "missing": 0, "values": [(4, 60)]}
    assert features["fps"]["values"] == [(2, 60)]
    assert features["seconds"]["values"] == [(2, 60)]  # 1.5, rounded to even
    assert features["caption_words"]["values"] == [(1, 1), (3, 30), (5, 30)]
    assert features["label"]["values"] == [(0, 11), (1, 12), (2, 12), (3, 13), (4, 12), (9, 1)]
    assert features["source"]["values"] == [("studio", 30), ("web", 30)]


def test_images_without_texts_and_labels(write_corpus, tmp_path):
    image = {"frames": np.zeros((1, 16, 24, 3), np.uint8), "timestamps": [0.0]}
    write_corpus(tmp_path, {**image, "captions": [], "labels": []}, every=1)
    statistics = generate_statistics(tmp_path)
    features = summarize(statistics)
    assert features["fps"] == {"clips": 0, "missing": 60, "values": []}
    assert features["num_captions"]["values"] == [(0, 60)]
    for schema in (load_schema(), infer_schema(statistics)):
        assert find_anomalies(statistics, schema)[0] == []


def test_a_folder_that_is_none(tmp_path):
    with pytest.raises(ValueError, match="not a finished record folder"):
        generate_statistics(tmp_path)


def test_schemas_are_text(tmp_path):
    schema = load_schema()
    save_schema(schema, tmp_path / "new" / "schema.pbtxt")
    assert load_schema(tmp_path / "new" / "schema.pbtxt") == schema
    (tmp_path / "wrong").write_text("features: 3")
    with pytest.raises(ValueError, match="wrong: not a schema"):
        load_schema(tmp_path / "wrong")
