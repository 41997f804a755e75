import numpy as np
import pytest

from keras_videoprism.heads.temporal_targets import candidate_mask, segment_targets


def iou(a, b):
    shared = max(min(a[1], b[1]) - max(a[0], b[0]), 0)
    return shared / (a[1] - a[0] + b[1] - b[0] - shared)


def test_overlaps_equal_a_plain_loop():
    segments, size = [(1.2, 3.0), (5.0, 8.9), (2.0, 9.5)], 7
    overlaps = segment_targets(segments, 10.0, size)["overlaps"]
    for duration in range(size):
        for start in range(size):
            candidate = start * 10 / size, (start + duration + 1) * 10 / size
            inside = start + duration < size
            expected = max(iou(candidate, segment) for segment in segments) if inside else 0
            assert overlaps[duration, start] == pytest.approx(expected, abs=1e-6)


def test_boundaries_by_hand():
    """The window of an end at step 4 is [2.5, 5.5]; step 1 stands for [0.5, 2.5]."""
    targets = segment_targets([(0.0, 4.0)], 8.0, 8)
    np.testing.assert_allclose(targets["ends"], [0, 0, 0.5, 1, 1, 0.5, 0, 0])
    np.testing.assert_allclose(targets["starts"], [1, 0.5, 0, 0, 0, 0, 0, 0])
    assert {array.dtype.name for array in targets.values()} == {"float32"}


def test_a_video_without_annotation_has_targets_of_zero():
    targets = segment_targets([], 8.0, 4)
    assert [targets[name].shape for name in ("overlaps", "starts", "ends")] == [(4, 4), (4,), (4,)]
    assert not any(array.any() for array in targets.values())


def test_a_segment_is_cut_at_the_end_of_the_video():
    cut, whole = (segment_targets([(2.0, end)], 4.0, 4) for end in (5.0, 4.0))
    for name in cut:
        np.testing.assert_array_equal(cut[name], whole[name])


@pytest.mark.parametrize(
    "segments, duration, message",
    [
        ([(0, 1), (3.0, 2.0)], 4.0, r"1 segments have no length .* \[3.0, 2.0\]"),
        ([(5.0, 6.0)], 4.0, "no length inside"),
        ([(np.nan, 1.0)], 4.0, "no length inside"),
        ([(0.0, 1.0)], 0.0, "duration above 0. Received: 0.0"),
        ([(0.0, 1.0)], np.nan, "duration above 0"),
    ],
)
def test_bad_segments(segments, duration, message):
    with pytest.raises(ValueError, match=message):
        segment_targets(segments, duration, 4)


def test_candidates_outside_are_masked():
    assert candidate_mask(3).tolist() == [
        [True, True, True],
        [True, True, False],
        [True, False, False],
    ]
