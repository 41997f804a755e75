"""Records are written and checked by commands, without keras and with or without TFDV."""

import json

import pytest

from keras_videoprism.__main__ import main
from keras_videoprism.commands import records
from keras_videoprism.data import read_records

pytestmark = pytest.mark.records


@pytest.fixture
def without_tfdv(monkeypatch):
    monkeypatch.setattr(records, "find_spec", lambda name: None)


def test_records_are_written_checked_and_read(video_folder, without_tfdv, tmp_path, capsys):
    call = ["write-records", str(video_folder), str(tmp_path / "out"), "--num-frames", "3"]
    assert main(call) == 0
    assert "6 clips written" in capsys.readouterr().out
    assert main(["validate-records", str(tmp_path / "out"), "--num-classes", "3"]) == 0
    printed = capsys.readouterr()
    assert "6 records, 0 anomalies." in printed.out
    assert printed.err.endswith(records.NOT_CHECKED + "\n")
    batch = next(iter(read_records(tmp_path / "out", batch_size=6, num_frames=2, image_size=24)))
    assert batch["videos"].shape == (6, 2, 24, 24, 3)


def test_what_was_asked_for_but_not_checked_is_a_failure(
    write_corpus, without_tfdv, tmp_path, capsys
):
    folder = str(write_corpus(tmp_path))
    assert main(["validate-records", folder, "--against", folder]) == 1
    assert "make records-env" in capsys.readouterr().err
    assert main(["validate-records", folder, "--report", str(tmp_path / "report")]) == 0
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert report["num_records"] == 60 and "features" not in report


def test_a_corpus_is_held_against_another(write_corpus, tmp_path, capsys):
    pytest.importorskip("tensorflow_data_validation")
    for name in ("good", "bad"):
        (tmp_path / name).mkdir()
    good = str(write_corpus(tmp_path / "good"))
    bad = str(write_corpus(tmp_path / "bad", {"labels": [9], "captions": [" "]}))
    first, second = tmp_path / "report1", tmp_path / "report2"
    assert main(["validate-records", good, "--report", str(first)]) == 0
    assert "11 features, 0 anomalies." in capsys.readouterr().out
    call = ["validate-records", bad, "--against", good, "--serving", good]
    assert main([*call, "--schema", str(first / "schema.pbtxt"), "--report", str(second)]) == 1
    printed = capsys.readouterr()
    assert "drift\tlabel\tL_INFTY 0.0167\tlimit 0.1" in printed.out
    assert "feature label: Unexpectedly large value: 9." in printed.err
    assert "s.tfrecord record 30 (30.mp4): a caption is empty" in printed.err
    report = json.loads((second / "report.json").read_text())
    assert {anomaly["feature"] for anomaly in report["feature_anomalies"]} == {
        "label",
        "caption_characters",
        "caption_words",
    }
    assert "Unexpectedly large value: 9." in (second / "report.html").read_text()


def test_a_wrong_schema_is_a_wrong_call(write_corpus, tmp_path, capsys):
    pytest.importorskip("tensorflow_data_validation")
    (tmp_path / "schema").write_text("label: 3")
    call = ["validate-records", str(write_corpus(tmp_path)), "--schema", str(tmp_path / "schema")]
    assert main(call) == 2
    assert "not a schema" in capsys.readouterr().err
