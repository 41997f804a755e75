"""Frame mAP: are the right people boxed and their actions named? (AVA, AVA-Kinetics, ChimpACT)"""

from collections.abc import Hashable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_videoprism.evaluation.matching import (
    check_classes,
    check_scores,
    claim,
    excluded,
    interpolated_average_precision,
    number_keys,
    pairs_in_groups,
)

Array = Any


class Boxes(NamedTuple):
    """n boxes of one class each; a person with two actions is two boxes.

    Attributes:
        frames: [n] keys of their frames, such as (video, second).
        boxes: [n, 4] as (left, top, right, bottom) or (top, left, bottom, right); in fractions of
            the frame.
        classes: [n] int.
        scores: [n], of detections.
    """

    frames: Sequence[Hashable]
    boxes: Array
    classes: Array
    scores: Array = None


class FrameScores(NamedTuple):
    """What `frame_map` found.

    Attributes:
        mean: over the classes that have a truth.
        average_precisions: class -> average precision; 0 for a class without detections.
        without_truth: classes that cannot be evaluated.
        without_detections: classes that have a truth and no detection.
        excluded: what was left out, as `matching.excluded` gives it.
    """

    mean: float
    average_precisions: dict[int, float]
    without_truth: list[int]
    without_detections: list[int]
    excluded: list[dict[str, Any]]


def frame_map(
    truth: Boxes,
    detections: Boxes,
    classes: Iterable[int],
    *,
    frames: str = "truth",
    empty_frames: Iterable[Hashable] = (),
    max_per_frame: int | None = None,
    threshold: float = 0.5,
) -> FrameScores:
    """Mean average precision of boxes at an overlap of one half (paper, Table 2: AVA, AVA-K).

    A detection is right if the truth of its frame and class that it overlaps most, by at least
    the threshold, is not taken by a better detection; there is no second choice. Equal scores keep
    their order. Public codes differ in the frames on which detections count, and so do the figures:

    - "truth": frames with a truth of an evaluated class. VideoGLUE's TensorFlow code and mmaction2:
      take it for AVA, AVA-Kinetics and ChimpACT, to compare with the paper.
    - "annotated": frames with any truth, and `empty_frames`. The official script of AVA, with
      `max_per_frame=50`: take it to compare with entries of that challenge.
    - "all": every frame. SlowFast.

    Args:
        truth: boxes within the frame, without scores.
        detections: may be empty.
        classes: ids that are evaluated: 60 of AVA's 80.
        frames: on which detections count: "truth", "annotated" or "all".
        empty_frames: annotated frames in which nobody acts; AVA-Kinetics lists them.
        max_per_frame: only so many detections of a frame count, the best.
        threshold: least intersection over union.

    Raises:
        ValueError: truth that has no area or leaves the frame, scores that are not finite, no truth
            of the classes, detections none of which is on a frame of the truth.
    """
    class_ids = sorted({int(c) for c in classes})
    truth, detections = _check_truth(truth, class_ids), _check_detections(detections)
    numbers, truth_numbers, empty = number_keys(detections.frames, truth.frames, empty_frames)
    evaluated = np.isin(truth.classes, class_ids)
    where = {
        "truth": np.isin(numbers, truth_numbers[evaluated]),
        "annotated": np.isin(numbers, np.append(truth_numbers, empty)),
        "all": np.ones(len(numbers), bool),
    }
    if frames not in where:
        raise ValueError(f"frames is one of {list(where)}. Received: {frames!r}.")
    if len(numbers) and not where["annotated"].any():
        examples = f"{detections.frames[0]!r} and {truth.frames[0]!r}"
        raise ValueError(f"No detection is on a frame of the truth. Frames are named {examples}.")
    kept, left_out = _kept(detections, numbers, class_ids, where[frames], max_per_frame)
    left_out.append(excluded("truth of a class not evaluated", truth.frames, ~evaluated))

    rows = np.flatnonzero(kept)
    rows = rows[np.argsort(-detections.scores[rows], kind="stable")]
    right = _is_right(numbers, truth_numbers, detections, truth, rows, threshold)
    found = detections.classes[rows]
    counts = {c: int(np.sum(truth.classes == c)) for c in class_ids}
    precisions = {
        c: interpolated_average_precision(right[found == c], n) for c, n in counts.items() if n
    }
    return FrameScores(
        mean=float(np.mean(list(precisions.values()))),
        average_precisions=precisions,
        without_truth=[c for c, n in counts.items() if not n],
        without_detections=sorted(set(precisions) - set(found.tolist())),
        excluded=[entry for entry in left_out if entry["count"]],
    )


def box_iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes [M, 4] and [M, 4], row by row; [M]."""
    corners = np.maximum(a[:, :2], b[:, :2]), np.minimum(a[:, 2:], b[:, 2:])
    intersection = _area(np.concatenate(corners, axis=1))
    return intersection / (_area(a) + _area(b) - intersection)


def _area(boxes: np.ndarray) -> np.ndarray:
    return np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0), axis=1)


def _kept(
    detections: Boxes,
    numbers: np.ndarray,
    class_ids: list[int],
    where: np.ndarray,
    max_per_frame: int | None,
) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """bool [P]: which detections count; and what was left out, each for the first reason."""
    known = np.isin(detections.classes, class_ids)
    best = _best(numbers, detections, known & where, max_per_frame)
    kept, left_out = np.ones(len(numbers), bool), []
    for reason, fits in (
        ("class is not evaluated", known),
        ("frame is not evaluated", where),
        ("not among the best of its frame", best),
        ("box has no area", _area(detections.boxes) > 0),
    ):
        left_out.append(excluded(reason, detections.frames, kept & ~fits))
        kept &= fits
    return kept, left_out


def _best(
    numbers: np.ndarray, detections: Boxes, counted: np.ndarray, limit: int | None
) -> np.ndarray:
    """bool [P]: the `limit` best of the counted detections of each frame."""
    if limit is None:
        return np.ones(len(numbers), bool)
    if limit < 1:
        raise ValueError(f"max_per_frame must be at least 1. Received: {limit}.")
    order = np.lexsort((-detections.scores, numbers))
    order = order[counted[order]]
    place = np.arange(len(order)) - np.searchsorted(numbers[order], numbers[order])
    best = np.zeros(len(numbers), bool)
    best[order[place < limit]] = True
    return best


def _is_right(
    numbers: np.ndarray,
    truth_numbers: np.ndarray,
    detections: Boxes,
    truth: Boxes,
    rows: np.ndarray,
    threshold: float,
) -> np.ndarray:
    """bool: which of the detections `rows`, in descending order of score, find a truth."""
    num_ids = 1 + max(truth.classes.max(), detections.classes.max(initial=0))
    groups = numbers[rows] * num_ids + detections.classes[rows]
    predictions, truths = pairs_in_groups(groups, truth_numbers * num_ids + truth.classes)
    overlaps = box_iou(detections.boxes[rows][predictions], truth.boxes[truths])
    order = np.lexsort((-overlaps, predictions))
    _, first = np.unique(predictions[order], return_index=True)
    best = order[first]  # of each prediction: the truth that it overlaps most
    sizes = len(rows), len(truth.classes)
    return claim(predictions[best], truths[best], overlaps[best], [threshold], *sizes)[:, 0]


def _check_boxes(given: Boxes) -> Boxes:
    boxes = np.asarray(given.boxes, dtype=float)
    boxes = boxes if boxes.size else boxes.reshape(0, 4)
    if boxes.shape != (len(given.frames), 4):
        raise ValueError(f"Expected boxes [{len(given.frames)}, 4]. Received: {boxes.shape}.")
    bad = np.flatnonzero(~np.isfinite(boxes).all(axis=1))
    if bad.size:
        raise ValueError(f"{bad.size} boxes are not finite, the first is number {bad[0]}.")
    return given._replace(boxes=boxes, classes=check_classes(given.classes, len(boxes)))


def _check_truth(truth: Boxes, class_ids: list[int]) -> Boxes:
    truth = _check_boxes(truth)
    boxes = truth.boxes
    outside = (boxes < 0).any(axis=1) | (boxes > 1).any(axis=1)
    bad = np.flatnonzero(outside | (_area(boxes) == 0))
    if bad.size:
        raise ValueError(
            f"{bad.size} boxes of the truth leave the frame [0, 1] or have no area; the first is "
            f"{boxes[bad[0]].tolist()} in frame {truth.frames[bad[0]]!r}."
        )
    if not np.isin(truth.classes, class_ids).any():
        raise ValueError(f"No truth is of the {len(class_ids)} classes {class_ids[:5]} ...")
    return truth


def _check_detections(detections: Boxes) -> Boxes:
    detections = _check_boxes(detections)
    if detections.scores is None:
        raise ValueError("Detections need scores. Received none.")
    scores = check_scores(detections.scores, len(detections.boxes))
    return detections._replace(scores=scores)
