import numpy as np
import pytest

from keras_videoprism.evaluation.temporal import THRESHOLDS, Segments, segment_iou, temporal_map


def truth(*rows: tuple) -> Segments:
    """Rows are (video, segment, class)."""
    return Segments(*map(list, zip(*rows, strict=True)))


def predictions(*rows: tuple) -> Segments:
    """Rows are (video, segment, class, score)."""
    return Segments(*map(list, zip(*rows, strict=True))) if rows else Segments([], [], [], [])


def test_segment_iou_by_hand() -> None:
    a = np.array([[0, 10], [0, 10], [0, 10], [5, 5], [5, 5]])
    b = np.array([[0, 10], [5, 15], [20, 30], [0, 10], [5, 5]])
    np.testing.assert_allclose(segment_iou(a, b), [1, 1 / 3, 0, 0, 0])


def test_thresholds_of_activitynet() -> None:
    np.testing.assert_allclose(THRESHOLDS, np.arange(0.5, 1.0, 0.05))


def test_one_segment_by_hand() -> None:
    """An overlap of 0.8 is right at 0.5 to 0.8 (7 thresholds of 10; 0.8 itself counts)."""
    scores = temporal_map(truth(("v", (0, 10), 4)), predictions(("v", (0, 8), 4, 0.5)))
    assert scores.mean == pytest.approx(0.7)
    assert scores.at_threshold[0.5] == 1.0 and scores.at_threshold[0.85] == 0.0
    np.testing.assert_array_equal(scores.average_precisions[4], [1] * 7 + [0] * 3)


def test_a_taken_truth_leaves_the_next_one() -> None:
    """The second overlaps (0, 10) most, which is taken, and falls through to (2, 12): 8/12."""
    right = truth(("v", (0, 10), 0), ("v", (2, 12), 0))
    found = predictions(("v", (0, 10), 0, 0.9), ("v", (0, 10), 0, 0.8))
    assert temporal_map(right, found, [0.5]).mean == 1.0
    assert temporal_map(right, found, [0.7]).mean == 0.5


def test_a_truth_is_found_once() -> None:
    found = predictions(("v", (0, 10), 0, 0.9), ("v", (0, 10), 0, 0.8), ("w", (0, 10), 0, 0.7))
    right = truth(("v", (0, 10), 0), ("w", (0, 10), 0))
    assert temporal_map(right, found, [0.5]).mean == pytest.approx((1 + 2 / 3) / 2)


def test_a_prediction_in_a_video_without_its_class_is_wrong() -> None:
    right = truth(("v", (0, 10), 0), ("w", (0, 10), 1))
    found = predictions(("w", (0, 10), 0, 0.9), ("v", (0, 10), 0, 0.8), ("w", (0, 10), 1, 0.5))
    scores = temporal_map(right, found)
    assert [p.tolist() for p in scores.average_precisions.values()] == [[0.5] * 10, [1.0] * 10]
    assert scores.excluded == []


def test_classes_without_prediction_and_without_truth() -> None:
    right = truth(("v", (0, 10), 0), ("v", (0, 10), 2))
    found = predictions(("v", (0, 10), 0, 0.9), ("v", (0, 10), 1, 0.9), ("v", (0, 10), 9, 0.9))
    scores = temporal_map(right, found)
    assert scores.mean == 0.5 and scores.without_predictions == [2]
    assert scores.excluded == [
        {"reason": "prediction of a class without truth", "count": 2, "examples": ["v"]}
    ]


def test_no_prediction_at_all_scores_zero() -> None:
    scores = temporal_map(truth(("v", (0, 10), 0)), predictions())
    assert scores.mean == 0.0 and scores.without_predictions == [0]


def test_equal_scores_keep_their_order() -> None:
    hit, miss = ("v", (0, 10), 0, 0.5), ("v", (50, 60), 0, 0.5)
    right = truth(("v", (0, 10), 0))
    assert temporal_map(right, predictions(hit, miss)).mean == 1.0
    assert temporal_map(right, predictions(miss, hit)).mean == 0.5


def plain_temporal_map(right: Segments, found: Segments, threshold: float) -> float:
    """Loops over classes, predictions and truths, without any shortcut."""

    def iou(a, b):
        both = max(min(a[1], b[1]) - max(a[0], b[0]), 0)
        return both / (max(a[1] - a[0] + b[1] - b[0] - both, 1e-9))

    precisions = []
    for c in sorted(set(right.classes)):
        truths = [(v, s, [False]) for v, s, k in zip(*right[:3], strict=True) if k == c]
        rows = sorted(
            (row for row in zip(*found, strict=True) if row[2] == c), key=lambda row: -row[3]
        )
        hits = []
        for video, segment, _, _ in rows:
            choices = [(iou(segment, s), taken) for v, s, taken in truths if v == video]
            free = [c for c in choices if c[0] >= threshold and not c[1][0]]
            hits.append(bool(free))
            if free:
                max(free, key=lambda choice: choice[0])[1][0] = True
        points = [sum(hits[:n]) / n for n in range(1, len(hits) + 1)]
        area = sum(max(points[i:]) for i, hit in enumerate(hits) if hit)
        precisions.append(area / len(truths))
    return sum(precisions) / len(precisions)


@pytest.mark.parametrize("seed", range(3))
def test_equals_plain_loops_on_random_segments(seed: int) -> None:
    rng = np.random.default_rng(seed)

    def random_segments(n: int) -> tuple:
        start = rng.integers(6, size=(n, 1))
        segments = np.hstack([start, start + rng.integers(2, 9, size=(n, 1))])
        videos = [f"video {v}" for v in rng.integers(6, size=n)]
        return videos, segments.tolist(), rng.integers(3, size=n).tolist()

    right = Segments(*random_segments(40))
    found = Segments(*random_segments(120), (rng.integers(30, size=120) / 30).tolist())
    scores = temporal_map(right, found)
    expected = [plain_temporal_map(right, found, t) for t in THRESHOLDS]
    assert 0.05 < np.mean(expected) < 0.95
    np.testing.assert_allclose(list(scores.at_threshold.values()), expected)
    assert scores.mean == pytest.approx(np.mean(expected))


@pytest.mark.parametrize(
    ("right", "found", "thresholds", "message"),
    [
        (truth(("v", (5, 1), 0)), predictions(), [0.5], "before they start.*'v'"),
        (truth(("v", (0, 1), 0)), predictions(("v", (0, np.nan), 0, 1.0)), [0.5], "not finite"),
        (truth(("v", (0, 1), 0)), predictions(("v", (0, 1), 0, np.nan)), [0.5], "NaN"),
        (truth(("v", (0, 1), 0)), predictions(("v_v", (0, 1), 0, 1.0)), [0.5], "'v_v' and 'v'"),
        (truth(("v", (0, 1), 0)), truth(("v", (0, 1), 0)), [0.5], "need scores"),
        (predictions(), predictions(), [0.5], "needs a truth"),
        (truth(("v", (0, 1), 0)), predictions(), [], "Thresholds"),
        (truth(("v", (0, 1), 0)), predictions(), [0.0], "Thresholds"),
        (truth(("v", (0, 1), 0)), Segments(["v"], [(0, 1)] * 2, [0], [1.0]), [0.5], r"\[1, 2\]"),
    ],
)
def test_refuses(right: Segments, found: Segments, thresholds: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        temporal_map(right, found, thresholds)
