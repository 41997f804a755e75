import json

import pytest

from keras_videoprism.data.annotations import SegmentedVideo, activitynet_segments, window_clips
from keras_videoprism.data.annotations.files import clip

DATABASE = {
    "a": ("training", 10.0, [([1, 4], "ski"), ([5, 12.0], "box")]),
    "b": ("training", 3.0, []),
    "c": ("validation", 5.0, [([0, 5], "box")]),
}


def write(tmp_path, database):
    content = {
        name: {
            "subset": subset,
            "duration": duration,
            "annotations": [{"segment": segment, "label": label} for segment, label in found],
        }
        for name, (subset, duration, found) in database.items()
    }
    file = tmp_path / "activity_net.v1-3.min.json"
    file.write_text(json.dumps({"database": content}))
    return file


def test_videos_of_a_part_with_their_segments(tmp_path):
    videos, names = activitynet_segments(write(tmp_path, DATABASE), "videos")
    assert names == ["box", "ski"]
    assert [video.row.name for video in videos] == ["v_a.mp4", "v_b.mp4"]
    assert videos[0].segments == ((1.0, 4.0, 1), (5.0, 10.0, 0)) and videos[1].segments == ()
    assert videos[0].duration == 10.0


def test_a_segment_without_length_is_an_error(tmp_path):
    wrong = {"a": ("training", 10.0, [([4, 4], "ski")])}
    with pytest.raises(ValueError, match="segment"):
        activitynet_segments(write(tmp_path, wrong), "videos")


def times(duration, *sizes):
    rows = window_clips(SegmentedVideo(clip("videos", "a.mp4"), duration, ()), *sizes)
    return [(round(row.start, 6), round(row.end, 6)) for row in rows]


def test_windows_fill_the_video():
    assert times(2.0, 1.0) == [(0.0, 1.0), (1.0, 2.0)]
    assert times(2.2, 1.0) == [(0.05, 1.05), (1.15, 2.15)]
    assert times(0.3, 1.0) == [(0.0, 0.3)]
    assert len(times(120.0)) == round(120 / (16 / 15))


def test_windows_may_overlap_and_are_cut_at_both_ends():
    assert times(2.0, 1.0, 0.5) == [(0.0, 0.75), (0.25, 1.25), (0.75, 1.75), (1.25, 2.0)]
