import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keras_videoprism.commands.result_page import (
    draw_bars,
    draw_frames,
    draw_matrix,
    write_result_page,
)

RESULT = {
    "title": "Kinetics-400 <frozen>",
    "method": "frozen",
    "preset": "videoprism_b",
    "metrics": {"top-1": 0.8286, "top-5": 0.951},
    "headline": "top-1",
    "num_examples": 6,
    "excluded": [],
    "paper": [{"method": "frozen", "model": "VideoPrism-B", "value": 84.2, "source": "Table 2"}],
    "settings": {"num_frames": 16},
}
NAMES = ["run", "jump & hop", "sleep"]
# Right, right, a tie with another class, wrong, wrong with the lowest probability, right.
SCORES = [
    [0.9, 0.1, 0.0],
    [0.2, 0.7, 0.1],
    [0.4, 0.4, 0.2],
    [0.3, 0.6, 0.1],
    [0.95, 0.05, 0.0],
    [0.8, 0.1, 0.1],
]
LABELS = [0, 1, 1, 0, 1, 0]
# Two rows of right scores, one without a label, two where one class is missed, one with two.
MANY = [[1, 0, 0], [0, 1, 0], [0, 0, 0], [1, 1, 0], [0, 1, 0], [1, 1, 0]]


def write(path: Path, result: dict[str, Any] | None = None, **arguments: Any) -> str:
    write_result_page(path / "page.html", {**RESULT, **(result or {})}, **arguments)
    return (path / "page.html").read_text()


def cells(page: str) -> list[list[str]]:
    """The rows of all tables."""
    rows = re.findall(r"<tr>(.*?)</tr>", page)
    return [re.findall(r"<td>(.*?)</td>", row) for row in rows]


def captions(page: str) -> list[tuple[str, str]]:
    """Name and verdict of each of the hardest clips."""
    return re.findall(r"<figcaption><b>(.*?)</b><small>(.*?)</small>", page)


def test_without_scores_there_are_only_tables(tmp_path):
    page = write(tmp_path)
    assert "<img" not in page and "Hardest" not in page
    assert "<title>Kinetics-400 &lt;frozen&gt;</title>" in page and "82.9 %" in page
    assert ["this run", "frozen", "videoprism_b", "82.9", "6 examples"] in cells(page)
    assert ["paper", "frozen", "VideoPrism-B", "84.2", "Table 2"] in cells(page)
    assert ["top-5", "95.10"] in cells(page) and ["num_frames", "16"] in cells(page)
    assert "Nothing: all 6 examples count." in page
    assert "http://" not in page and "https://" not in page and "<script" not in page
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


def test_cider_is_no_share_and_sections_come_before_the_settings(tmp_path):
    metrics = {"cider": 1.034, "bleu4": 0.25}
    page = write(tmp_path, {"metrics": metrics, "headline": "cider"}, sections=["<p>said</p>"])
    assert "103.4</b> cider" in page and ["cider", "103.40"] in cells(page)
    assert page.index("Left out") < page.index("<p>said</p>") < page.index("Settings")


def test_what_the_paper_lacks_is_said(tmp_path):
    assert "The paper has no number for this." in write(tmp_path, {"paper": []})


def test_exclusions_are_counted_and_named(tmp_path):
    missing = {"reason": "no <file>", "count": 12, "examples": [f"{i}.mp4" for i in range(11)]}
    short = {"reason": "too short", "count": 1, "examples": ["x.mp4"]}
    page = write(tmp_path, {"excluded": [missing, short]})
    assert "13 of 19 examples are not in the numbers above." in page
    shown = ", ".join(f"{i}.mp4" for i in range(10))
    assert ["no &lt;file&gt;", "12", f"{shown} and 2 more"] in cells(page)
    assert ["too short", "1", "x.mp4"] in cells(page)


def test_classes_of_single_labels(tmp_path):
    """Recall is 2/3 and 1/3; the tie counts as a mistake, as it does in the metrics."""
    page = write(tmp_path, scores=SCORES, labels=LABELS, class_names=NAMES)
    assert page.count("<img") == 2  # bars and matrix; no frames are given
    assert ["jump &amp; hop", "3", "33.3"] in cells(page) and ["run", "3", "66.7"] in cells(page)
    assert "Mean of 2 classes: 50.0 %. Without a clip, and so without a value (1): sleep." in page
    names, verdicts = zip(*captions(page), strict=True)
    assert names == ("4", "3", "2", "1", "5", "0")  # by the probability of the right class
    assert verdicts[0] == "Shows jump &amp; hop (5.0 %). Taken for run (95.0 %)."
    assert verdicts[2] == "Shows jump &amp; hop (40.0 %). Taken for run (40.0 %)."


def test_classes_of_several_labels(tmp_path):
    scores = np.where(MANY, 0.9, 0.1)
    scores[3] = [0.2, 0.9, 0.6]  # the highest loss: a class missed and one too many
    scores[2] = [0.1, 0.6, 0.1]  # has no class
    page = write(tmp_path, scores=scores, labels=MANY, class_names=NAMES)
    assert page.count("<img") == 1 and "Confusion matrix" not in page
    assert ["run", "3", "100.0"] in cells(page) and ["jump &amp; hop", "4", "100.0"] in cells(page)
    assert "(1): sleep." in page
    names, verdicts = zip(*captions(page), strict=True)
    assert names[:2] == ("3", "2")
    assert verdicts[0] == (
        "Shows run (20.0 %), jump &amp; hop (90.0 %). Taken for jump &amp; hop (90.0 %), "
        "sleep (60.0 %)."
    )
    assert verdicts[1] == "Shows no class. Taken for jump &amp; hop (60.0 %)."


def test_thumbnails_are_of_the_hardest_clips(tmp_path):
    asked = []

    def frames_of(positions: list[int]) -> list[np.ndarray]:
        asked.extend(positions)
        return [np.full((8, 6, 9, 3), 20 * position, np.uint8) for position in positions]

    names = [f"clip <{i}>" for i in range(6)]
    arguments = {"scores": SCORES, "labels": LABELS, "frames_of": frames_of}
    page = write(tmp_path, clip_names=names, **arguments)
    assert asked == [4, 3, 2, 1, 5, 0] and page.count("<img") == 2 + 6
    assert captions(page)[0][0] == "clip &lt;4&gt;"
    with pytest.raises(ValueError, match="gave 2 clips for 6 positions"):
        write(
            tmp_path, **{**arguments, "frames_of": lambda positions: [np.zeros((1, 2, 2, 3))] * 2}
        )


def test_many_classes_have_a_table_of_pairs(tmp_path):
    """Class 7 is taken for class 9 three times of four, class 5 for class 6 once of two."""
    labels = np.array([7, 7, 7, 7, 5, 5])
    found = np.array([9, 9, 9, 7, 6, 5])
    scores = np.eye(1000, dtype="float32")[found]
    page = write(tmp_path, scores=scores, labels=labels)
    pairs = [row for row in cells(page) if len(row) == 4]
    assert pairs == [["7", "9", "3", "75"], ["5", "6", "1", "50"]]
    assert "without a value (998): 0, 1, 2, 3, 4, 6, 8," in page
    assert len(captions(page)) == 6


def test_pictures_name_as_many_classes_as_are_readable():
    for count, named in ((3, True), (41, False)):
        matrix = np.diag(np.arange(count))
        names = [f"class {i}" for i in range(count)]
        ticks = draw_matrix(matrix, names).axes[0].get_yticklabels()
        assert [tick.get_text() for tick in ticks] == (names if named else [])
        axes = draw_bars(np.linspace(0, 1, count), names, "recall (%)").axes[0]
        bars = axes.patches[0].get_width() if named else axes.patches[0].get_data().values[-1]
        assert bars == (0.0 if named else 100.0)
    written = [
        text.get_text() for text in draw_matrix(np.array([[3, 1], [0, 0]]), "ab").axes[0].texts
    ]
    assert written == ["75", "25"]  # a class without a clip has no shares


@pytest.mark.parametrize(("num_frames", "shown"), [(1, [0]), (3, [0, 1, 2]), (10, [0, 2, 5, 7])])
def test_frames_are_side_by_side(num_frames, shown):
    frames = np.arange(num_frames, dtype=np.uint8)[:, None, None, None]
    frames = np.broadcast_to(frames, (num_frames, 4, 6, 3))
    (image,) = draw_frames(frames).axes[0].images
    strip = np.asarray(image.get_array())
    assert strip.shape == (4, 6 * len(shown), 3)
    assert strip[0, ::6, 0].tolist() == shown


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"headline": "map"}, "'map' is none of the metrics"),
        ({"metrics": {"top-1": float("nan")}}, r"in \[0, 1\].*nan"),
        ({"metrics": {"top-1": 82.9}}, r"in \[0, 1\].*82.9"),
        ({"metrics": {"cider": 40.3}, "headline": "cider"}, r"CIDEr in \[0, 10\].*40.3"),
    ],
)
def test_bad_results(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        write(tmp_path, change)
    with pytest.raises(ValueError, match="has no excluded, paper"):
        partial = {key: value for key, value in RESULT.items() if key not in ("excluded", "paper")}
        write_result_page(tmp_path / "page.html", partial)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scores": SCORES[:5]}, r"each of the 6 examples.*\(5, 3\)"),
        ({"scores": np.array(SCORES) * 3 - 1}, "must be probabilities.*softmax"),
        ({"scores": np.full((6, 3), np.nan)}, "must be probabilities.*nan"),
        ({"labels": None}, r"labels must be \[N\] or \[N, C\]"),
        ({"labels": LABELS[:5]}, r"not \(5,\)"),
        ({"labels": [0, 1, 1, 0, 3, 0]}, r"\[0, 3\)"),
        ({"labels": np.array(MANY) * 2}, "0 and 1"),
        ({"class_names": ["a", "b"]}, "class_names must be 3 names. Received 2"),
        ({"clip_names": ["a", "b"]}, "clip_names must be 6 names. Received 2"),
    ],
)
def test_scores_labels_and_names_must_belong_together(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        write(tmp_path, **{"scores": SCORES, "labels": LABELS, **change})
    assert not list(tmp_path.iterdir())
