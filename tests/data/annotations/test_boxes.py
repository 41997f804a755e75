"""Small examples in each data set's own format, made by hand."""

import json

import pytest

from keras_videoprism.data.annotations.boxes import (
    Box,
    ava,
    ava_kinetics,
    chimpact,
    chimpact_split,
)

BOX = "0.077,0.151,0.283,0.811"


def write(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def test_ava(tmp_path):
    file = write(
        tmp_path / "ava_val.csv",
        f"\ufeff-5KQ66BBWC4,0902,{BOX},80,1\n-5KQ66BBWC4,0902,{BOX},9,1\n"
        f'"-5KQ66BBWC4",0902,0.332,0.194,0.481,0.891,12,0\n-5KQ66BBWC4,0903,{BOX},9,1\n',
    )
    first, second = ava(file, "ava")
    assert first.row.name == "-5KQ66BBWC4.mp4" and first.time == 902
    assert (first.row.start, first.row.end) == (902 - 32 / 30, 902 + 32 / 30)
    assert first.row.labels == (8, 11, 79)
    assert first.boxes == (
        Box((0.077, 0.151, 0.283, 0.811), (8, 79), 1),
        Box((0.332, 0.194, 0.481, 0.891), (11,), 0),
    )
    excluded = write(tmp_path / "excluded.csv", "-5KQ66BBWC4,0903\nother,0902\n")
    assert ava(file, "ava", excluded=excluded) == [first]
    cut, _ = ava(file, "ava", offset=901.5, duration=2.0)
    assert (cut.time, cut.row.start, cut.row.end) == (0.5, 0.0, 1.5)  # no second before the file
    with pytest.raises(ValueError, match="entry 1: needs time >= 0"):
        ava(file, "ava", offset=902.5)
    with pytest.raises(ValueError, match="duration > 0"):
        ava(file, "ava", duration=0)


@pytest.mark.parametrize(
    "line, error",
    [
        (f"a,902,{BOX},81,0", "actions are 1 to 80"),
        (f"a,902,{BOX},0,0", "actions are 1 to 80"),
        ("a,902,0.5,0.1,0.4,0.9,1,0", "is empty or leaves the frame"),
        ("a,902,0.1,0.5,0.4,0.5,1,0", "is empty or leaves the frame"),
        ("a,902,0.1,0.1,0.4,1.1,1,0", "is empty or leaves the frame"),
        ("a,902,-0.1,0.1,0.4,0.9,1,0", "is empty or leaves the frame"),
        ("a,902,nan,0.1,0.4,0.9,1,0", "is empty or leaves the frame"),
        ("a,902,0.1,0.1", "no value 'x2'"),
        ("a,soon", "could not convert"),
        (f"a,-1,{BOX},1,0", "time >= 0"),
        (f"../a,902,{BOX},1,0", "outside"),
    ],
)
def test_ava_wrong_lines(tmp_path, line, error):
    file = write(tmp_path / "ava.csv", f"a,1,{BOX},1,0\n{line}\n")
    with pytest.raises(ValueError, match=rf"ava\.csv, entry 2: .*{error}"):
        ava(file, "ava")


def test_ava_wrong_file(tmp_path):
    with pytest.raises(ValueError, match="ava.csv, line 1: more values than the 8 columns"):
        ava(write(tmp_path / "ava.csv", f"a,902,{BOX},1,0,0.9\n"), "ava")


def test_ava_kinetics(tmp_path):
    file = write(tmp_path / "kinetics_val.csv", f"x_y,24.5,{BOX},9\nx_y,24.5,{BOX},4\nabc,5.25\n")
    first, empty = ava_kinetics(file, "k700")
    assert first.row.name == "x_y.mp4" and first.time == 24.5 and first.row.labels == (3, 8)
    assert first.boxes == (Box((0.077, 0.151, 0.283, 0.811), (3, 8), None),)
    assert empty.boxes == () and empty.row.labels == () and empty.time == 5.25
    clips = "label,youtube_id,time_start,time_end,split\nyoga,x_y,20,30,val\nyoga,abc,0,{},val\n"
    first, empty = ava_kinetics(file, "k", clips=write(tmp_path / "c.csv", clips.format(10)))
    assert first.row.name == "yoga/x_y_000020_000030.mp4" and first.time == 4.5
    with pytest.raises(ValueError, match="entry 2: the key frame is not between 0.0 and 5.0 s"):
        ava_kinetics(file, "k", clips=write(tmp_path / "c.csv", clips.format(5)))
    with pytest.raises(ValueError, match="entry 1: no value 'x_y'"):
        clips = write(tmp_path / "c.csv", clips.format(10).replace("x_y", "z"))
        ava_kinetics(file, "k", clips=clips)


NAME = "Azibo_ObsChimp_2015_11_25_d_clip_1000_2000"


def labels(**changes):
    chimp = {"image_id": 8, "bbox": [320, 90, 640, 720], "bbox_id": 4, "behaviors": [20, 0]}
    images = [
        {"id": 7, "file_name": "clip/000000.jpg", "width": 1280, "height": 720},
        {"id": 8, "file_name": "clip/000012.jpg", "width": 1280, "height": 720},
    ]
    return {"images": images, "annotations": [chimp | changes]}


def test_chimpact(tmp_path):
    write(tmp_path / f"{NAME}.json", labels())
    write(tmp_path / f"{NAME.replace('d_clip', 'x_clip')}.json", labels())
    empty, full = chimpact(tmp_path, "chimps", "test")
    assert full.row.name == f"{NAME}.mp4" and full.time == 120 / 25 and empty.time == 0
    assert full.row.labels == (0, 20) and empty.boxes == ()
    assert (full.row.start, full.row.end) == pytest.approx((4.8 - 1.28, 4.8 + 1.28))
    assert full.boxes == (Box((0.25, 0.125, 0.75, 1.0), (0, 20), 4),)  # cut at the lower border
    assert len(chimpact(tmp_path, "chimps", "train")) == 2
    with pytest.raises(ValueError, match="no clip"):
        chimpact(tmp_path, "chimps", "val")
    with pytest.raises(ValueError, match="split must be"):
        chimpact(tmp_path, "chimps", "validation")


@pytest.mark.parametrize(
    "changes, error",
    [
        ({"bbox": [1280, 0, 10, 10]}, "is empty or leaves the frame"),
        ({"bbox": [0, 0, 10]}, "not enough values"),
        ({"behaviors": [23]}, "behaviors are 0 to 22"),
        ({"behaviors": None}, "not iterable"),
    ],
)
def test_chimpact_wrong_boxes(tmp_path, changes, error):
    write(tmp_path / f"{NAME}.json", labels(**changes))
    with pytest.raises(ValueError, match=rf"{NAME}.json, entry 2: .*{error}"):
        chimpact(tmp_path, "chimps", "test")


def test_chimpact_wrong_files(tmp_path):
    write(tmp_path / f"{NAME}.json", {"images": []})
    with pytest.raises(ValueError, match=f"{NAME}.json: no 'annotations' in it"):
        chimpact(tmp_path, "chimps", "test")
    write(tmp_path / "test.json", labels())
    with pytest.raises(ValueError, match="not the name of a clip of ChimpACT: 'test'"):
        chimpact(tmp_path, "chimps", "train")


def test_chimpact_split():
    assert chimpact_split("Azibo_ObsNatascha_2018_06_29_a_clip_17000_17712") == "test"
    assert chimpact_split("Azibo_ObsChimp_2018_07_11_c_clip_17000_18000") == "val"
    assert chimpact_split("Azibo_ObsChimp_2018_07_11_c_clip_4000_5000") == "train"
