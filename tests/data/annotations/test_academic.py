"""Small examples in each data set's own format, made by hand."""

import json

import pytest

from keras_videoprism.data import annotations


def write(path, *lines):
    lines = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def parts(rows):
    """What a clip is, without its folder."""
    return [(row.name, row.start, row.end, row.captions) for row in rows]


def test_tacos(tmp_path):
    """The last frame belongs to the clip; two sentences of one part are two captions."""
    video = {
        "timestamps": [[50, 99], [50, 99], [100, 100]],
        "sentences": ["She cuts.", "A woman cuts a fig.", "She stops."],
        "fps": 25.0,
        "num_frames": 200,
    }
    file = write(tmp_path / "train.json", {"s13-d21.avi": video})
    assert parts(annotations.tacos(file, "v")) == [
        ("s13-d21.avi", 2.0, 4.0, ("She cuts.", "A woman cuts a fig.")),
        ("s13-d21.avi", 4.0, 4.04, ("She stops.",)),
    ]
    wrong = write(tmp_path / "train.json", {"a.avi": {**video, "sentences": ["One."]}})
    with pytest.raises(ValueError, match="train.json, entry 1: zip"):
        annotations.tacos(wrong, "v")


def test_youdescribe(tmp_path):
    header = "youtube_id,audio_description_id,audio_clip_start_time,audio_clip_end_time,"
    header += "audio_clip_playback_type,audio_clip_transcript"
    line = 'HdYoyz-SWy_,5f,1.5,4.25,inline,"A dog, asleep."'
    file = write(tmp_path / "clips.csv", header, line)
    expected = [("HdYoyz-SWy_.mp4", 1.5, 4.25, ("A dog, asleep.",))]
    assert parts(annotations.youdescribe(file, "v")) == expected
    with pytest.raises(ValueError, match="clips.csv, entry 1: could not convert"):
        annotations.youdescribe(write(tmp_path / "clips.csv", header, "a,b,x,2,inline,c"), "v")


def test_coin(tmp_path):
    step = {"id": "212", "segment": [60.0, 69.0], "label": "take out the laptop CD drive"}
    video = {"subset": "training", "class": "Replace", "annotation": [step], "duration": 131.0}
    content = {"database": {"LtRSn-ntcLY": video, "b": {**video, "subset": "testing"}}}
    file = write(tmp_path / "COIN.json", content)
    expected = ("LtRSn-ntcLY.mp4", 60.0, 69.0, ("take out the laptop CD drive",))
    assert parts(annotations.coin(file, "v")) == [expected]
    assert [row.name for row in annotations.coin(file, "v", "testing")] == ["b.mp4"]
    with pytest.raises(ValueError, match="no clip; is it the right file and split"):
        annotations.coin(file, "v", "validation")


def test_vitt(tmp_path):
    """A section ends where the next begins, the last with the video."""
    marks = ((16000, "Showing"), (260, "Opening"), (16000, "Again"))
    tags = [{"timestamp": time, "tag": tag} for time, tag in marks]
    other = {"id": "FmTp", "annotations": [{"timestamp": 16000, "tag": "Closing"}]}
    file = write(tmp_path / "a.json", {"id": "FmTp", "annotations": tags}, other)
    assert parts(annotations.vitt(file, "v")) == [
        ("FmTp.mp4", 0.26, 16.0, ("Opening",)),
        ("FmTp.mp4", 16.0, None, ("Showing", "Again", "Closing")),
    ]


def test_localized_narratives(tmp_path):
    def line(*captions):
        narratives = [{"actor_name": "x", "caption": text, "traces": []} for text in captions]
        return {"dataset_id": "OVIS_train", "video_id": "c1a", "actor_narratives": narratives}

    file = write(tmp_path / "OVIS_train.jsonl", line("A man rides.", "Some grass."), line("A dog."))
    expected = ("OVIS_train/c1a.mp4", None, None, ("A man rides.", "Some grass.", "A dog."))
    assert parts(annotations.localized_narratives(file, "v")) == [expected]


def test_epic_kitchens(tmp_path):
    header = "narration_id,participant_id,video_id,narration_timestamp,start_timestamp,"
    header += "stop_timestamp,start_frame,stop_frame,narration,verb,verb_class,noun,noun_class,"
    header += "all_nouns,all_noun_classes"
    line = "P01_102_0,P01,P01_102,00:00:01.100,00:00:00.54,00:01:02.23,27,111,take knife and plate,"
    line += "take,0,knife,4,\"['knife', 'plate']\",\"[4, 2]\""
    file = write(tmp_path / "EPIC_100_train.csv", header, line)
    expected = ("P01/videos/P01_102.MP4", 0.54, 62.23, ("take knife and plate",))
    assert parts(annotations.epic_kitchens(file, "v")) == [expected]


def narrated(*times):
    return {
        "narrations": [
            {"timestamp_sec": time, "narration_text": f"#C C sees {time}"} for time in times
        ]
    }


def test_ego4d(tmp_path):
    """Gaps of 2 and 4 seconds, 3 on average: clips of 2/3 and 4/3 of a second."""
    content = {
        "slow": {
            "narration_pass_1": narrated(0.0, 8.0, 4.0),
            "narration_pass_2": {"summaries": []},
        },
        "fast": {"narration_pass_2": narrated(10.0, 12.0)},
        "once": {"narration_pass_1": narrated(5.0)},
        "mute": {"status": "redacted"},
    }
    rows = annotations.ego4d(write(tmp_path / "narration.json", content), "v")
    times = [(row.name, row.start, row.end) for row in rows]
    half = {"slow.mp4": 2 / 3, "fast.mp4": 1 / 3, "once.mp4": 1 / 2}
    middles = [("slow", 0), ("slow", 4), ("slow", 8), ("fast", 10), ("fast", 12), ("once", 5)]
    for (name, start, end), (video, time) in zip(times, middles, strict=True):
        assert name == f"{video}.mp4"
        assert (start, end) == pytest.approx((max(time - half[name], 0), time + half[name]))
    with pytest.raises(ValueError, match="narration.json: no clip"):
        annotations.ego4d(write(tmp_path / "narration.json", {"mute": {}}), "v")


def test_marks_of_ego4d(tmp_path):
    texts = ["#C C picks a #unsure", "#O man X walks", "#Unsure"]
    told = [{"timestamp_sec": 1.0, "narration_text": text} for text in texts]
    file = write(tmp_path / "n.json", {"a": {"narration_pass_1": {"narrations": told}}})
    (row,) = annotations.ego4d(file, "v")
    assert row.captions == ("C picks a something", "man X walks", "something")
