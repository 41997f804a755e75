import math

import numpy as np
import pytest

from keras_videoprism.heads.temporal_decoding import boundary_steps, decode, propose, soft_nms


def outputs(num_videos=1, size=4):
    rng = np.random.default_rng(0)
    return {
        "map": rng.uniform(size=(num_videos, 2, size, size)),
        "start": rng.uniform(size=(num_videos, size)),
        "end": rng.uniform(size=(num_videos, size)),
    }


def test_boundaries_are_peaks_high_values_and_the_border():
    probabilities = np.array([0.1, 0.2, 0.05, 0.9, 0.5, 0.44])
    assert np.flatnonzero(boundary_steps(probabilities, 0)).tolist() == [0, 1, 3, 4]
    assert np.flatnonzero(boundary_steps(probabilities, -1)).tolist() == [1, 3, 4, 5]
    plateau = np.array([0.2, 0.3, 0.3, 0.2, 0.1, 0.9])
    assert np.flatnonzero(boundary_steps(plateau, -1)).tolist() == [5]


def test_proposals_pair_starts_with_later_ends():
    start, end = np.array([0.1, 0.9, 0.1, 0.1]), np.array([0.1, 0.1, 0.9, 0.1])
    overlap_map = np.arange(32.0).reshape(2, 4, 4)
    segments, scores = propose(overlap_map, start, end)
    expected = {(0, 2): 4 * 20, (0, 3): 8 * 24, (1, 2): 1 * 17, (1, 3): 5 * 21}
    found = {tuple(4 * segment): score for segment, score in zip(segments, scores, strict=True)}
    assert found == expected


def test_soft_nms_by_hand():
    segments = np.array([[0.0, 1.0], [0.5, 1.5], [0.0, 1.0], [3.0, 4.0]])
    kept, scores = soft_nms(segments, np.array([0.9, 0.8, 0.85, 0.3]))
    same, third = math.exp(-1 / 0.8), math.exp(-1 / 9 / 0.8)
    assert kept.tolist() == [[0, 1], [0.5, 1.5], [3, 4], [0, 1]]
    np.testing.assert_allclose(scores, [0.9, 0.8 * third, 0.3, 0.85 * same * third])


def test_soft_nms_keeps_the_last_and_stops_at_the_limit():
    segments, scores = soft_nms(np.array([[0.0, 1.0]]), np.array([0.2]))
    assert segments.tolist() == [[0, 1]] and scores.tolist() == [0.2]
    many = np.stack([np.arange(9.0), np.arange(9.0) + 1], axis=1)
    assert len(soft_nms(many, np.ones(9), max_proposals=4)[0]) == 4
    assert soft_nms(np.zeros((0, 2)), np.zeros(0))[0].shape == (0, 2)


def test_each_proposal_takes_the_best_classes_of_its_video():
    given = outputs(num_videos=2)
    class_scores = np.array([[0.1, 0.7, 0.2], [0.5, 0.1, 0.4]])
    found = decode(given, [8.0, 20.0], class_scores)
    assert set(found) == {"videos", "segments", "classes", "scores"}
    for video, duration, classes in ((0, 8.0, [1, 2]), (1, 20.0, [0, 2])):
        segments, scores = soft_nms(
            *propose(given["map"][video], given["start"][video], given["end"][video])
        )
        mine = found["videos"] == video
        assert mine.sum() == 2 * len(scores)
        assert (np.diff(found["scores"][mine]) <= 0).all()
        for label in classes:
            rows = mine & (found["classes"] == label)
            np.testing.assert_allclose(found["segments"][rows], segments * duration)
            np.testing.assert_allclose(found["scores"][rows], scores * class_scores[video, label])


def test_one_class_and_few_proposals():
    found = decode(outputs(), [8.0], [[0.9]], max_proposals=2)
    assert found["classes"].tolist() == [0, 0]


@pytest.mark.parametrize(
    "change, message",
    [
        ({"durations": [8.0, 8.0]}, "one entry for each video"),
        ({"class_scores": [[np.nan, 1.0]]}, "class_scores must be finite"),
        ({"class_scores": [0.5]}, r"must be \[N, C\] .* Received: \(1,\)"),
        ({"class_scores": [[]]}, r"must be \[N, C\] .* Received: \(1, 0\)"),
        ({"durations": [-1.0]}, "durations must not be negative"),
        ({"outputs": {**outputs(), "start": np.full((1, 4), np.nan)}}, "start must be finite"),
        ({"outputs": outputs(0), "durations": [], "class_scores": []}, "one entry for each"),
    ],
)
def test_bad_input(change, message):
    given = {"outputs": outputs(), "durations": [8.0], "class_scores": [[0.5, 0.5]], **change}
    with pytest.raises(ValueError, match=message):
        decode(**given)
