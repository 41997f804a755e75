import numpy as np
import pytest

from keras_videoprism.evaluation.detection import Boxes, box_iou, frame_map

# 0.2 wide and high; shifts to the right by 0.05 and by 0.1 leave an overlap of 0.6 and of 1/3.
A, NEAR, FAR = (0.1, 0.1, 0.3, 0.3), (0.15, 0.1, 0.35, 0.3), (0.2, 0.1, 0.4, 0.3)


def truth(*rows: tuple) -> Boxes:
    """Rows are (frame, box, class)."""
    return Boxes(*map(list, zip(*rows, strict=True)))


def detections(*rows: tuple) -> Boxes:
    """Rows are (frame, box, class, score)."""
    return Boxes(*map(list, zip(*rows, strict=True))) if rows else Boxes([], [], [], [])


def reasons(scores) -> dict[str, int]:
    return {entry["reason"]: entry["count"] for entry in scores.excluded}


def test_box_iou_by_hand() -> None:
    a = np.array([A, A, A, (0, 0, 1, 1)])
    b = np.array([A, NEAR, FAR, (0.5, 0.5, 1, 1)])
    np.testing.assert_allclose(box_iou(a, b), [1, 0.6, 1 / 3, 0.25])


def test_one_frame_by_hand() -> None:
    """The second detection is right, the first too far away: precision 1/2 at full recall."""
    scores = frame_map(truth(("f", A, 3)), detections(("f", FAR, 3, 0.9), ("f", NEAR, 3, 0.8)), [3])
    assert scores.mean == pytest.approx(0.5)
    assert scores.average_precisions == {3: pytest.approx(0.5)} and scores.excluded == []


def test_an_overlap_of_exactly_one_half_counts() -> None:
    half = detections(("f", (0, 0, 0.5, 0.25), 0, 1.0))
    assert frame_map(truth(("f", (0, 0, 0.5, 0.5), 0)), half, [0]).mean == 1.0


def test_the_truth_overlapped_most_is_the_only_choice() -> None:
    """The worse detection overlaps A by 0.6 and NEAR by 1: NEAR is taken, A stays unfound."""
    right = truth(("f", A, 0), ("f", NEAR, 0))
    found = detections(("f", NEAR, 0, 0.9), ("f", NEAR, 0, 0.8))
    assert frame_map(right, found, [0]).mean == pytest.approx(0.5)


def test_the_better_detection_takes_the_truth_whatever_the_order_of_rows() -> None:
    right = truth(("f", A, 0), ("g", A, 0))
    rows = [("f", NEAR, 0, 0.2), ("g", FAR, 0, 0.7), ("f", A, 0, 0.9)]
    for order in ([0, 1, 2], [2, 1, 0], [1, 0, 2]):
        scores = frame_map(right, detections(*(rows[i] for i in order)), [0])
        assert scores.mean == pytest.approx(0.5)


def test_equal_scores_keep_their_order() -> None:
    right = truth(("f", A, 0))
    hit, miss = ("f", A, 0, 0.5), ("f", FAR, 0, 0.5)
    assert frame_map(right, detections(hit, miss), [0]).mean == 1.0
    assert frame_map(right, detections(miss, hit), [0]).mean == 0.5


def test_classes_without_truth_or_detection() -> None:
    scores = frame_map(truth(("f", A, 0), ("f", A, 1)), detections(("f", A, 0, 0.5)), [0, 1, 2])
    assert scores.mean == 0.5 and scores.average_precisions == {0: 1.0, 1: 0.0}
    assert scores.without_truth == [2] and scores.without_detections == [1]


def test_no_detection_at_all_scores_zero() -> None:
    scores = frame_map(truth(("f", A, 0)), detections(), [0])
    assert scores.mean == 0.0 and scores.without_detections == [0]


@pytest.mark.parametrize(
    ("frames", "expected", "left_out"),
    [("truth", 1.0, 3), ("annotated", 1 / 3, 1), ("all", 1 / 4, 0)],
)
def test_where_detections_count(frames: str, expected: float, left_out: int) -> None:
    """Before the hit come detections on an empty frame, one of class 7 alone, and an unknown one"""
    right = truth((("v", 1), A, 0), (("v", 2), A, 7))
    found = detections(
        (("v", 2), A, 0, 0.9), (("v", 3), A, 0, 0.8), (("v", 4), A, 0, 0.7), (("v", 1), A, 0, 0.6)
    )
    scores = frame_map(right, found, [0], frames=frames, empty_frames=[("v", 3)])
    assert scores.mean == pytest.approx(expected)
    assert reasons(scores).get("frame is not evaluated", 0) == left_out
    assert reasons(scores)["truth of a class not evaluated"] == 1


def test_what_is_left_out_is_named_and_counted_once() -> None:
    found = detections(
        ("f", A, 0, 0.5), ("f", (0.3, 0.1, 0.1, 0.3), 0, 0.9), ("f", A, 5, 0.9), ("g", A, 5, 0.9)
    )
    scores = frame_map(truth(("f", A, 0)), found, [0])
    assert scores.mean == 1.0
    assert reasons(scores) == {"class is not evaluated": 2, "box has no area": 1}
    assert scores.excluded[0]["examples"] == ["f", "g"]


def test_only_the_best_of_a_frame_count() -> None:
    right = truth(("f", A, 0), ("g", A, 0))
    found = detections(("f", A, 0, 0.1), ("f", FAR, 0, 0.3), ("f", FAR, 0, 0.2), ("g", A, 0, 0.1))
    assert frame_map(right, found, [0]).mean == pytest.approx(0.5)
    scores = frame_map(right, found, [0], max_per_frame=2)
    assert scores.mean == pytest.approx(0.5 / 3)  # g's is right, third in order
    assert reasons(scores) == {"not among the best of its frame": 1}


def plain_frame_map(right: Boxes, found: Boxes, classes: range) -> float:
    """Loops over classes, frames and detections, without any shortcut."""

    def iou(a, b):
        width = max(min(a[2], b[2]) - max(a[0], b[0]), 0)
        both = width * max(min(a[3], b[3]) - max(a[1], b[1]), 0)
        return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)

    precisions = []
    for c in classes:
        boxes = [(f, b, [False]) for f, b, k in zip(*right[:3], strict=True) if k == c]
        rows = sorted(
            (row for row in zip(*found, strict=True) if row[2] == c), key=lambda row: -row[3]
        )
        hits = []
        for frame, box, _, _ in rows:
            choices = [(iou(box, b), taken) for f, b, taken in boxes if f == frame]
            overlap, taken = max(choices, key=lambda choice: choice[0], default=(0, [True]))
            hits.append(overlap >= 0.5 and not taken[0])
            taken[0] = taken[0] or overlap >= 0.5
        points = [sum(hits[:n]) / n for n in range(1, len(hits) + 1)]
        area = sum(max(points[i:]) for i, hit in enumerate(hits) if hit)
        if boxes:
            precisions.append(area / len(boxes))
    return sum(precisions) / len(precisions)


@pytest.mark.parametrize("seed", range(4))
def test_equals_plain_loops_on_random_boxes(seed: int) -> None:
    """Few frames and a coarse grid: many overlaps, ties of scores and taken truths."""
    rng = np.random.default_rng(seed)

    def random_boxes(n: int) -> tuple:
        corner = rng.integers(4, size=(n, 2)) / 10
        boxes = np.hstack([corner, corner + rng.integers(2, 6, size=(n, 2)) / 10])
        return rng.integers(5, size=n).tolist(), boxes.tolist(), rng.integers(3, size=n).tolist()

    right = Boxes(*random_boxes(40))
    found = Boxes(*random_boxes(150), (rng.integers(20, size=150) / 20).tolist())
    scores = frame_map(right, found, range(3), frames="all")
    expected = plain_frame_map(right, found, range(3))
    assert 0.05 < expected < 0.95
    assert scores.mean == pytest.approx(expected)


@pytest.mark.parametrize(
    ("right", "found", "options", "message"),
    [
        (truth(("f", (0, 0, 1.1, 1), 0)), detections(), {}, r"leave the frame.*1\.1.*'f'"),
        (truth(("f", (0.5, 0, 0.5, 1), 0)), detections(), {}, "no area"),
        (truth(("f", A, 7)), detections(), {}, "No truth is of the 1 classes"),
        (truth(("f", A, 0)), detections(("f", A, 0, np.nan)), {}, "NaN"),
        (truth(("f", A, 0)), detections(("f", (0, 0, np.inf, 1), 0, 0.5)), {}, "not finite"),
        (truth(("f", A, 0)), detections(("v_f", A, 0, 0.5)), {}, "'v_f' and 'f'"),
        (truth(("f", A, 0)), truth(("f", A, 0)), {}, "need scores"),
        (truth(("f", A, 0)), Boxes(["f"], [A, A], [0], [1.0]), {}, r"\[1, 4\].*\(2, 4\)"),
        (truth(("f", A, 0)), detections(), {"frames": "some"}, "'truth', 'annotated', 'all'"),
        (truth(("f", A, 0)), detections(), {"max_per_frame": 0}, "at least 1"),
    ],
)
def test_refuses(right: Boxes, found: Boxes, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        frame_map(right, found, [0], **options)
