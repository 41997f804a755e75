"""Small examples in each data set's own format, made by hand."""

import json

import pytest

from keras_videoprism.data.annotations.behaviour import calms21, crim13, kabr, read_behaviours

VOCAB = {"attack": 0, "investigation": 1, "mount": 2, "other": 3}
SEQUENCE = "task1/train/mouse001_task1_annotator1"


def calms21_file(path, labels, sequence=SEQUENCE):
    entry = {"keypoints": [], "annotations": labels, "metadata": {"vocab": VOCAB}}
    path.write_text(json.dumps({"annotator-id_0": {sequence: entry}}))
    return path


def test_calms21(tmp_path):
    labels = [3] * 8 + [0] + [3] * 7 + [1] * 16 + [2] * 5  # 37 frames: two windows of 16
    file = calms21_file(tmp_path / "train.json", labels)
    first, second = calms21(file, "mice")
    assert first.name == f"{SEQUENCE}.mp4"
    assert (first.labels, second.labels) == ((0,), (1,))  # frames 8 and 24
    assert (first.start, second.start) == (0.0, 15.5 / 30) and second.end == 31.5 / 30
    assert len(calms21(file, "mice", step=1)) == 37 - 16 + 1


@pytest.mark.parametrize(
    "content, error",
    [
        ([], r"bad.json: has \[\] and no object"),
        ({"annotator-id_0": [1]}, "bad.json: has"),
        ({"annotator-id_0": {"a": {"annotations": [0]}}}, "bad.json, entry 1: no value 'metadata'"),
        ({}, "bad.json: no clip"),
    ],
)
def test_calms21_wrong_file(tmp_path, content, error):
    (tmp_path / "bad.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=error):
        calms21(tmp_path / "bad.json", "mice")


def test_calms21_wrong_values(tmp_path):
    with pytest.raises(ValueError, match=r"entry 1: labels \[7\] are not in the vocabulary"):
        calms21(calms21_file(tmp_path / "a.json", [3, 7] * 20), "mice")
    with pytest.raises(ValueError, match="entry 1: the file '../a.mp4' is outside"):
        calms21(calms21_file(tmp_path / "a.json", [3] * 20, "../a"), "mice")


STREAMS = """Caltech Behavior Annotator - Annotation File

Configuration file:
other o
approach a
attack t

S1:   start    end     type
-----------------------------
         1       8    other
         9      20    attack

S2:   start    end     type
-----------------------------
         1       4    other
         5      20    approach

"""


def test_crim13(tmp_path):
    (tmp_path / "set1").mkdir()
    (tmp_path / "set1" / "b.txt").write_text("\ufeff" + STREAMS, encoding="utf-8")
    (tmp_path / "set1" / "c.txt").write_text(STREAMS.replace("\n", "\r\n"))
    first, second = crim13(tmp_path, "crim", suffix="_side.mp4", num_frames=16)
    assert (first.name, second.name) == ("set1/b_side.mp4", "set1/c_side.mp4")
    assert first.labels == (1, 2) and first.end == 15.5 / 25  # frame 9 of 1 to 16 in both streams
    first, *_ = crim13(tmp_path, "crim", num_frames=4, classes=["attack", "approach", "other"])
    assert first.labels == (2,)
    with pytest.raises(ValueError, match="entry 1: no value 'approach'"):
        crim13(tmp_path, "crim", num_frames=4, classes=["attack", "other"])
    with pytest.raises(ValueError, match="no clip"):
        crim13(tmp_path / "set1" / "none", "crim")


def test_read_behaviours(tmp_path):
    (tmp_path / "a.txt").write_text(STREAMS)
    names, streams = read_behaviours(tmp_path / "a.txt")
    assert names == ["other", "approach", "attack"]
    assert streams == [["other"] * 8 + ["attack"] * 12, ["other"] * 4 + ["approach"] * 16]


@pytest.mark.parametrize(
    "old, new, error",
    [
        ("Caltech", "Bento", "not a file of the Caltech Behavior Annotator"),
        ("S1:", "1:", "not a stream"),
        ("-----------------------------", "start", "not a stream"),
        (" 9      20 ", " 10     20 ", "does not follow frame 8"),
        (" 9      20 ", " 8      20 ", "does not follow frame 8"),
        (" 9      20 ", " 9      7 ", "does not follow frame 8"),
        (" 9      20 ", " 9      99999999999 ", "does not follow frame 8"),
        (" 9      20 ", " 9      21 ", r"streams end at the frames \[21, 20\]"),
        ("20    attack", "20    sleep", "unknown behaviour"),
        ("20    attack", "20", "not enough values"),
        (" 1       8 ", " 0       8 ", "does not follow frame 0"),
    ],
)
def test_crim13_is_strict(tmp_path, old, new, error):
    assert old in STREAMS
    (tmp_path / "a.txt").write_text(STREAMS.replace(old, new))
    with pytest.raises(ValueError, match=rf"entry 1: .*{error}.*a\.txt"):
        crim13(tmp_path, "crim")


def kabr_file(path, frames, header="original_vido_id video_id frame_id path labels"):
    lines = [f"{scene} 1 {number} {scene}/{number}.jpg {label}" for scene, number, label in frames]
    path.write_text("\n".join([header, *lines, ""]))
    return path


def test_kabr(tmp_path):
    frames = [("ZG0001.1", number, 5 if number == 41 else 0) for number in range(1, 100)]
    frames += [("G0002", 1, '"3"')]
    first, second = kabr(kabr_file(tmp_path / "val.csv", frames), "kabr")
    assert first.name == "ZG0001.1.mp4" and first.labels == (5,)  # the centre of frames 1 to 80
    assert (first.start, first.end) == (0.0, 79.5 / 30)
    assert second.name == "G0002.mp4" and second.labels == (3,)


@pytest.mark.parametrize(
    "frames, error",
    [
        ([("a", 1, 0), ("a", 3, 0)], "numbered from 1 without a gap"),
        ([("a", 2, 0)], "numbered from 1 without a gap"),
        ([("a", 1, 0), ("b", 1, 0), ("a", 2, 0)], "entry 3: the frames of a.mp4"),
        ([("a", 1, '"1,2"')], "invalid literal"),
        ([("a", 1, "")], "entry 1: invalid literal"),
        ([("../a", 1, 0)], "outside"),
    ],
)
def test_kabr_wrong_values(tmp_path, frames, error):
    with pytest.raises(ValueError, match=rf"val\.csv, entry \d: .*{error}|{error}"):
        kabr(kabr_file(tmp_path / "val.csv", frames), "kabr")


def test_kabr_wrong_file(tmp_path):
    file = kabr_file(tmp_path / "val.csv", [("a", 1, 0)], "video video_id frame_id path labels")
    with pytest.raises(ValueError, match="val.csv, entry 1: no value 'original_vido_id'"):
        kabr(file, "kabr")
