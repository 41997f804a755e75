"""Temporal mAP: are actions found in a long video, and their start and end? (ActivityNet)"""

from collections.abc import Hashable, Sequence
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
THRESHOLDS = tuple(np.linspace(0.5, 0.95, 10))  # of ActivityNet


class Segments(NamedTuple):
    """n actions in time.

    Attributes:
        videos: [n] keys of their videos.
        segments: [n, 2] start and end, in seconds or another unit.
        classes: [n] int.
        scores: [n], of predictions.
    """

    videos: Sequence[Hashable]
    segments: Array
    classes: Array
    scores: Array = None


class TemporalScores(NamedTuple):
    """What `temporal_map` found; K thresholds.

    Attributes:
        mean: over classes and thresholds, which papers print.
        at_threshold: threshold -> mean over the classes.
        average_precisions: class -> [K]; 0 for a class without predictions.
        without_predictions: classes that have a truth and no prediction.
        excluded: what was left out, as `matching.excluded` gives it.
    """

    mean: float
    at_threshold: dict[float, float]
    average_precisions: dict[int, np.ndarray]
    without_predictions: list[int]
    excluded: list[dict[str, Any]]


def temporal_map(
    truth: Segments, predictions: Segments, thresholds: Sequence[float] = THRESHOLDS
) -> TemporalScores:
    """Mean average precision of segments (paper, Table 2: ActivityNet).

    A prediction claims the free truth of its video and class that it overlaps most, by at least the
    threshold: where the best is taken, the next stands in. A prediction in a video that has no
    truth of its class is wrong. The classes are those of the truth. Equal scores keep their order.
    As `eval_detection.py` of ActivityNet, without its list of blocked videos.

    Args:
        truth: without scores. One without length is never found, and counts.
        predictions: may be empty.
        thresholds: least overlaps (intersection over union) in (0, 1].

    Raises:
        ValueError: segments that end before they start, scores that are not finite, no truth,
            predictions none of which is in a video of the truth.
    """
    if not thresholds or min(thresholds) <= 0 or max(thresholds) > 1:
        raise ValueError(f"Thresholds must lie in (0, 1]. Received: {thresholds}.")
    truth, predictions = _check_segments(truth), _check_segments(predictions)
    if predictions.scores is None:
        raise ValueError("Predictions need scores. Received none.")
    scores = check_scores(predictions.scores, len(predictions.segments))
    if not len(truth.classes):
        raise ValueError("Temporal mAP needs a truth. Received none.")
    numbers, truth_numbers = number_keys(predictions.videos, truth.videos)
    if len(numbers) and not np.isin(numbers, truth_numbers).any():
        examples = f"{predictions.videos[0]!r} and {truth.videos[0]!r}"
        raise ValueError(f"No prediction is in a video of the truth. Videos are named {examples}.")

    class_ids, counts = np.unique(truth.classes, return_counts=True)
    known = np.isin(predictions.classes, class_ids)
    rows = np.flatnonzero(known)
    rows = rows[np.argsort(-scores[rows], kind="stable")]
    found = predictions.classes[rows]
    num_ids = 1 + class_ids.max()
    pairs = pairs_in_groups(
        numbers[rows] * num_ids + found, truth_numbers * num_ids + truth.classes
    )
    overlaps = segment_iou(predictions.segments[rows][pairs[0]], truth.segments[pairs[1]])
    right = claim(*pairs, overlaps, thresholds, len(rows), len(truth.classes))
    precisions = {
        int(c): np.array([interpolated_average_precision(r, n) for r in right[found == c].T])
        for c, n in zip(class_ids, counts, strict=True)
    }
    at_threshold = np.mean(list(precisions.values()), axis=0)
    reason = "prediction of a class without truth"
    out = excluded(reason, predictions.videos, ~known)
    return TemporalScores(
        mean=float(at_threshold.mean()),
        at_threshold={
            round(float(t), 4): float(v) for t, v in zip(thresholds, at_threshold, strict=True)
        },
        average_precisions=precisions,
        without_predictions=sorted(set(precisions) - set(found.tolist())),
        excluded=[out] if out["count"] else [],
    )


def segment_iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union of segments [M, 2] and [M, 2], row by row; 0 for two points."""
    intersection = np.minimum(a[:, 1], b[:, 1]) - np.maximum(a[:, 0], b[:, 0])
    intersection = np.maximum(intersection, 0)
    union = a[:, 1] - a[:, 0] + b[:, 1] - b[:, 0] - intersection
    return intersection / np.where(union > 0, union, 1)


def _check_segments(given: Segments) -> Segments:
    segments = np.asarray(given.segments, dtype=float)
    segments = segments if segments.size else segments.reshape(0, 2)
    if segments.shape != (len(given.videos), 2):
        raise ValueError(f"Expected segments [{len(given.videos)}, 2]. Received: {segments.shape}.")
    bad = np.flatnonzero(~np.isfinite(segments).all(axis=1) | (segments[:, 0] > segments[:, 1]))
    if bad.size:
        raise ValueError(
            f"{bad.size} segments are not finite or end before they start; the first is "
            f"{segments[bad[0]].tolist()} in video {given.videos[bad[0]]!r}."
        )
    return given._replace(segments=segments, classes=check_classes(given.classes, len(segments)))
