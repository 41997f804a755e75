"""Small examples in each data set's own format, made by hand."""

import json

import pytest

from keras_videoprism.data import annotations


def write(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_msrvtt(tmp_path):
    content = {
        "info": {},
        "videos": [
            {"id": 0, "video_id": "video0", "start time": 137.72, "split": "train"},
            {"id": 6513, "video_id": "video6513", "start time": 1.0, "split": "validate"},
        ],
        "sentences": [
            {"sen_id": 0, "video_id": "video0", "caption": "a car is shown"},
            {"sen_id": 1, "video_id": "video6513", "caption": "a dog"},
            {"sen_id": 2, "video_id": "video0", "caption": "a red car"},
        ],
    }
    file = write(tmp_path / "info.json", content)
    (row,) = annotations.msrvtt(file, "msrvtt")
    assert row.name == "video0.mp4" and row.captions == ("a car is shown", "a red car")
    assert row.start is None
    assert annotations.msrvtt(file, "msrvtt", "validate")[0].captions == ("a dog",)
    with pytest.raises(ValueError, match="right file and split"):
        annotations.msrvtt(file, "msrvtt", "test")


def test_msrvtt_1ka(tmp_path):
    file = write(
        tmp_path / "test.csv",
        "key,vid_key,video_id,sentence\nret0,msr9770,video9770,a person connects something\n",
    )
    (row,) = annotations.msrvtt_1ka(file, "msrvtt")
    assert row.name == "video9770.mp4" and row.captions == ("a person connects something",)


def test_vatex(tmp_path):
    entry = {
        "videoID": "Ptf_2VRj-V0_000122_000132",
        "enCap": ["A man.", "Two men."],
        "chCap": ["x"],
    }
    (row,) = annotations.vatex(write(tmp_path / "vatex.json", [entry]), "vatex")
    assert row.name == "Ptf_2VRj-V0_000122_000132.mp4" and row.captions == ("A man.", "Two men.")


def test_activitynet_captions(tmp_path):
    content = {
        "v_a": {
            "duration": 82.73,
            "timestamps": [[0.83, 19.86], [17.37, 60.81]],
            "sentences": ["A young woman is seen.", " She moves. "],
        }
    }
    file = write(tmp_path / "val_1.json", content)
    (row,) = annotations.activitynet_captions(file, "anet")
    assert row.name == "v_a.mp4" and row.captions == ("A young woman is seen. She moves.",)
    first, second = annotations.activitynet_captions(file, "anet", paragraphs=False)
    assert (second.start, second.end, second.captions) == (17.37, 60.81, ("She moves.",))
    assert first.end == 19.86


def test_charades_sta(tmp_path):
    file = write(tmp_path / "test.txt", "3MSZA 24.3 30.4##person turn a light on.\n\n")
    (row,) = annotations.charades_sta(file, "charades")
    assert (row.name, row.start, row.end) == ("3MSZA.mp4", 24.3, 30.4)
    assert row.captions == ("person turn a light on.",)
    with pytest.raises(ValueError, match="entry 1"):
        annotations.charades_sta(write(tmp_path / "bad.txt", "3MSZA 24.3##x"), "charades")


def test_youcook2(tmp_path):
    step = {"segment": [90, 102], "id": 0, "sentence": "spread margarine on bread"}
    content = {"database": {"GLd3": {"subset": "training", "annotations": [step]}}}
    (row,) = annotations.youcook2(write(tmp_path / "yc2.json", content), "yc2")
    assert (row.name, row.start, row.end) == ("GLd3.mp4", 90, 102)
    assert row.captions == ("spread margarine on bread",)
