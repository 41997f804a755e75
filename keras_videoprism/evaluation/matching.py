"""Detections against truths: who overlaps whom, who claims whom, and the precision that follows.

Frame mAP (`detection`) and temporal mAP (`temporal`) share this. Letters in shapes: P predictions,
G truths, M pairs of them, K thresholds.
"""

from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import numpy as np

Array = Any
MAX_EXAMPLES = 5  # of what was left out


def number_keys(*columns: Iterable[Hashable]) -> list[np.ndarray]:
    """Keys, such as names of videos, as numbers from 0; equal keys have one number in all columns.

    Args:
        columns: names, numbers or tuples.

    Returns:
        An int array [n] for each column.
    """
    numbers: dict[Hashable, int] = {}
    return [
        np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=int)
        for keys in columns
    ]


def pairs_in_groups(groups: np.ndarray, truth_groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every pair of a prediction and a truth of the same group.

    Args:
        groups: [P] int, of the predictions.
        truth_groups: [G] int.

    Returns:
        Indices of predictions [M], ascending, and of truths [M], ascending for each prediction.
    """
    order = np.argsort(truth_groups, kind="stable")
    first = np.searchsorted(truth_groups[order], groups, side="left")
    count = np.searchsorted(truth_groups[order], groups, side="right") - first
    predictions = np.repeat(np.arange(len(groups)), count)
    within_group = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    return predictions, order[np.repeat(first, count) + within_group]


def claim(
    predictions: np.ndarray,
    truths: np.ndarray,
    overlaps: np.ndarray,
    thresholds: Array,
    num_predictions: int,
    num_truths: int,
) -> np.ndarray:
    """Let each prediction, the best first, claim the free truth that it overlaps most.

    Args:
        predictions: [M] index of each pair's prediction; lower indices have higher scores.
        truths: [M] index of each pair's truth.
        overlaps: [M] intersection over union; among equal ones the earlier pair goes first.
        thresholds: [K] least overlaps that count; each has its own claims.
        num_predictions: P.
        num_truths: G.

    Returns:
        bool [P, K]: which predictions are right.
    """
    thresholds = np.asarray(thresholds)
    near = np.flatnonzero(overlaps >= thresholds.min())
    order = near[np.lexsort((-overlaps[near], predictions[near]))]
    right = np.zeros((num_predictions, len(thresholds)), dtype=bool)
    taken = np.zeros((num_truths, len(thresholds)), dtype=bool)
    for prediction, truth, overlap in zip(
        predictions[order], truths[order], overlaps[order], strict=True
    ):
        claimed = (overlap >= thresholds) & ~taken[truth] & ~right[prediction]
        right[prediction] |= claimed
        taken[truth] |= claimed
    return right


def interpolated_average_precision(right: np.ndarray, num_truths: int) -> float:
    """Area under the envelope of precision over recall, as Pascal VOC counts it since 2010.

    At each truth that is found, the best precision from there on counts.

    Args:
        right: bool [P], in descending order of score.
        num_truths: how many there are to find.
    """
    precision = np.cumsum(right) / np.arange(1, len(right) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(envelope[right].sum() / num_truths)


def check_scores(scores: Array, num_predictions: int) -> np.ndarray:
    """Scores as float [P]; there may be none.

    Raises:
        ValueError: for another number of them, or scores that are not finite.
    """
    scores = np.asarray(scores, dtype=float)
    if scores.shape != (num_predictions,):
        raise ValueError(f"Expected {num_predictions} scores. Received shape {scores.shape}.")
    bad = np.flatnonzero(~np.isfinite(scores))
    if bad.size:
        raise ValueError(
            f"{bad.size} scores are NaN or infinite, the first is number {bad[0]}. "
            "Look for the step that made them."
        )
    return scores


def check_classes(classes: Array, num_rows: int) -> np.ndarray:
    """Class ids as int [n].

    Raises:
        ValueError: for another number of them, or ids that are not whole or negative.
    """
    classes = np.asarray(classes)
    if not classes.size:
        classes = classes.astype(int)
    if classes.shape != (num_rows,) or not np.issubdtype(classes.dtype, np.integer):
        raise ValueError(
            f"Expected {num_rows} whole class ids. Received: {classes.dtype} {classes.shape}."
        )
    if classes.size and classes.min() < 0:
        raise ValueError(f"Class ids count from 0. Received: {classes.min()}.")
    return classes


def excluded(reason: str, keys: Sequence[Hashable], left_out: np.ndarray) -> dict[str, Any]:
    """What was left out and why, for the report: the count, and keys of the first few.

    Args:
        reason: a short phrase.
        keys: [n] of all rows.
        left_out: bool [n].
    """
    rows = np.flatnonzero(left_out)
    examples = list(dict.fromkeys(keys[row] for row in rows[: 10 * MAX_EXAMPLES]))
    return {"reason": reason, "count": len(rows), "examples": examples[:MAX_EXAMPLES]}
