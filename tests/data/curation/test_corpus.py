import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from keras_videoprism.data.curation.corpus import describe_corpus, summarise
from keras_videoprism.data.manifest import Row, read_manifest

pytest.importorskip("cv2")


@pytest.fixture(scope="module")
def rows(video_folder, tmp_path_factory):
    """Six videos and a damaged one."""
    folder = tmp_path_factory.mktemp("corpus") / "videos"
    shutil.copytree(video_folder, folder)
    (folder / "broken.mp4").write_bytes(b"no video")
    return [*read_manifest(folder), Row(folder / "broken.mp4", "broken.mp4", ("a broken file",))]


def test_what_is_measured(rows):
    steps = []
    report = describe_corpus(
        rows,
        embed=lambda frames: np.array([0.6, 0.8]),
        embed_texts=lambda texts: np.array([[1.0, 0.0]] * len(texts)),
        progress=lambda *step: steps.append(step),
    )
    assert json.loads(json.dumps(report)) == report
    assert (report["clips"], report["measured"]) == (7, 6)
    assert [file for file, _ in report["failed"]] == ["broken.mp4"]
    assert report["statistics"]["duration"]["mean"] == 1.5
    assert report["statistics"]["caption length"]["mean"] == 5  # "A red square, moving right!"
    assert report["table_8"]["grounding"] == pytest.approx(0.6)
    assert 0.1 < report["table_8"]["optical flow"] < 12  # the square moves by 12 pixels of 256
    assert report["table_8"]["noun/verb ratio"] is None
    assert "no WordNet" in report["not_measured"]["noun/verb ratio"]
    assert "grounding" not in report["not_measured"]
    assert steps[-1] == (14, 14) and steps == sorted(steps)


def test_reasons(rows):
    silent = [row._replace(captions=()) for row in rows]
    report = describe_corpus(silent, reasons={"clips with people": "lost"}, sample=3)
    assert report["statistics"].keys() == {"duration", "optical flow"}
    assert report["not_measured"]["grounding"] == "no clip has a caption"
    assert report["not_measured"]["clips with people"] == "no clip has a caption"
    report = describe_corpus(rows[:1], reasons={"clips with people": "lost"})
    assert report["not_measured"]["clips with people"] == "lost"
    assert "two towers" in report["not_measured"]["grounding"]


def test_a_sample_is_drawn_by_its_seed(rows):
    drawn = [describe_corpus(rows[:6], sample=2, seed=seed)["statistics"] for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] and drawn[0]["duration"]["count"] == 2
    with pytest.raises(ValueError, match="sample=0"):
        describe_corpus(rows, sample=0)
    with pytest.raises(ValueError, match="none of 1 clips can be read"):
        describe_corpus(rows[-1:])


def test_words_of_captions(rows, monkeypatch):
    """Counts by hand: clips with people of those with captions, nouns over verbs of all."""
    counts = {"a": (2, 1, True), "b": (4, 2, False)}

    class Counts(tuple):
        people = property(lambda self: self[2])

    monkeypatch.setattr(
        "keras_videoprism.data.curation.corpus.analyse_caption",
        lambda text, _: Counts(counts[text]),
    )
    captions = (("a", "b"), ("b",), ())
    chosen = [row._replace(captions=c) for row, c in zip(rows, captions, strict=False)]
    table = describe_corpus(chosen, wordnet=object())["table_8"]
    assert table["noun/verb ratio"] == 10 / 5 and table["clips with people"] == 50


def test_summary():
    values = [1.0, 2.0, 3.0, 4.0]
    summary = summarise(values, "seconds")
    assert (summary["mean"], summary["median"], summary["max"]) == (2.5, 2.5, 4.0)
    assert sum(summary["histogram"]["counts"]) == 4 and not summary["histogram"]["clipped"]
    words = summarise([3, 3, 5], "words")["histogram"]
    assert words["edges"][0] == 2.5 and words["counts"] == [2, 0, 1]
    tail = summarise([*np.linspace(0, 1, 200), 90.0], "seconds")["histogram"]
    assert tail["clipped"] and tail["edges"][-1] < 2 and sum(tail["counts"]) == 201
    assert summarise([2.0], "seconds")["histogram"]["counts"].count(1) == 1


def test_long_clips_show_their_first_seconds():
    from keras_videoprism.data.curation.corpus import _first_seconds

    row = Row(Path("a"), "a")
    assert _first_seconds(row).end == 10
    assert _first_seconds(row._replace(start=3.0)).end == 13
    assert _first_seconds(row._replace(start=3.0, end=5.0)).end == 5
