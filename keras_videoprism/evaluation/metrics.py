"""Metrics over plain arrays: rank of the best positive, accuracies, average precision.

Letters in shapes: N examples or queries, C classes or candidates.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

Array = Any


def best_positive_rank(scores: Array, positives: Array) -> np.ndarray:
    """Rank of every row's best positive, from 1; tied negatives are placed before it.

    The worst rank among ties is deterministic and gives a collapsed model, which scores all
    candidates alike, no credit.

    Args:
        scores: [N, C] finite numbers, higher is better.
        positives: [N, C] bool (or 0 and 1), at least one per row.

    Returns:
        [N] int.

    Raises:
        ValueError: for scores that are not finite, unequal shapes or a row without a positive.
    """
    scores, positives = _finite(scores, ndim=2), _as_bool(positives)
    _check_same_shape(scores, positives)
    empty = np.flatnonzero(~positives.any(axis=1))
    if empty.size:
        raise ValueError(
            f"{empty.size} rows have no positive, the first is row {empty[0]}. "
            "Remove the rows that have no right answer."
        )
    best = np.where(positives, scores, -np.inf).max(axis=1, keepdims=True)
    return 1 + np.sum(~positives & (scores >= best), axis=1)


def one_hot(ids: Array, num_classes: int) -> np.ndarray:
    """Class ids [N] as a bool matrix [N, num_classes].

    Raises:
        ValueError: for ids that are not integers, not 1-D or outside [0, num_classes).
    """
    ids = np.asarray(ids)
    if ids.ndim != 1 or not np.issubdtype(ids.dtype, np.integer):
        raise ValueError(f"Ids must be integers [N]. Received: {ids.dtype} {ids.shape}.")
    if ids.size and (ids.min() < 0 or ids.max() >= num_classes):
        raise ValueError(
            f"Ids must lie in [0, {num_classes}). Received: {ids.min()} to {ids.max()}."
        )
    return ids[:, None] == np.arange(num_classes)


def top_k_accuracy(logits: Array, labels: Array, k: int = 1) -> float:
    """Share of examples whose label is among the k highest logits; ties count against it.

    Args:
        logits: [N, C].
        labels: [N] int.
        k: how many classes may be named.
    """
    logits = _finite(logits, ndim=2)
    ranks = best_positive_rank(logits, one_hot(labels, logits.shape[1]))
    return float(np.mean(ranks <= k))


def confusion_matrix(logits: Array, labels: Array) -> np.ndarray:
    """How many examples of each class (row) were taken for each class (column); int [C, C].

    A label that ties with another class is a mistake, so that the diagonal agrees with
    `top_k_accuracy`.

    Args:
        logits: [N, C].
        labels: [N] int.
    """
    logits = _finite(logits, ndim=2)
    num_classes = logits.shape[1]
    is_label = one_hot(labels, num_classes)
    _check_same_shape(logits, is_label)
    others = np.where(is_label, -np.inf, logits)
    is_best = logits[is_label] > others.max(axis=1)
    taken_for = np.where(is_best, labels, others.argmax(axis=1))
    cells = np.asarray(labels) * num_classes + taken_for
    return np.bincount(cells, minlength=num_classes**2).reshape(num_classes, num_classes)


def balanced_accuracy(logits: Array, labels: Array) -> float:
    """Mean over the classes of the share of their examples that are right: KABR's macro accuracy.

    Equal to scikit-learn's `balanced_accuracy_score`. Classes without an example are left out; ties
    count against the label.

    Args:
        logits: [N, C].
        labels: [N] int.
    """
    matrix = confusion_matrix(logits, labels)
    examples = matrix.sum(axis=1)
    present = examples > 0
    return float(np.mean(matrix.diagonal()[present] / examples[present]))


def average_precision(scores: Array, labels: Array) -> float:
    """Sum of precision times the gain in recall over the distinct thresholds, from high to low.

    Examples with equal scores pass the threshold together, so their order does not matter. Equal to
    scikit-learn's `average_precision_score`, which answers 0 where there is no positive.

    Args:
        scores: [N] finite numbers, higher is better.
        labels: [N] bool (or 0 and 1).

    Raises:
        ValueError: for scores that are not finite, unequal shapes or labels without a positive.
    """
    scores, labels = _finite(scores, ndim=1), _as_bool(labels)
    _check_same_shape(scores, labels)
    if not labels.any():
        raise ValueError("Average precision needs at least one positive. Received none.")
    order = np.argsort(-scores)
    ranked = scores[order]
    threshold_ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    hits = np.cumsum(labels[order])[threshold_ends]
    precision = hits / (threshold_ends + 1)
    recall_gain = np.diff(hits, prepend=0) / hits[-1]
    return float(np.sum(precision * recall_gain))


def class_average_precisions(scores: Array, labels: Array) -> np.ndarray:
    """`average_precision` of each class, [C]; NaN where a class has no positive.

    Args:
        scores: [N, C] finite numbers.
        labels: [N, C] bool (or 0 and 1).
    """
    scores, labels = _finite(scores, ndim=2), _as_bool(labels)
    _check_same_shape(scores, labels)
    precisions = np.full(labels.shape[1], np.nan)
    for c in _present(labels):
        precisions[c] = average_precision(scores[:, c], labels[:, c])
    return precisions


def mean_average_precision(
    scores: Array, labels: Array, ignore: Sequence[int] = (), labelled_only: bool = False
) -> float:
    """Mean of `average_precision` over the classes that have a positive.

    Args:
        scores: [N, C] finite numbers.
        labels: [N, C] bool (or 0 and 1).
        ignore: classes that are left out of the mean, as the background "other" of CalMS21 and
            CRIM13 is. Fly-vs-Fly has none: its six behaviours are six binary columns.
        labelled_only: leave out the rows that have no class at all. The official score of Charades
            ranks them last (`map.py` of its authors), which is the same where scores do not tie.

    Raises:
        ValueError: where no class with a positive is left, or `ignore` names an unknown class.
    """
    scores, labels = _finite(scores, ndim=2), _as_bool(labels)
    _check_same_shape(scores, labels)
    unknown = sorted(set(ignore) - set(range(labels.shape[1])))
    if unknown:
        raise ValueError(f"Classes are 0 to {labels.shape[1] - 1}. Received to ignore: {unknown}.")
    rows = labels.any(axis=1) if labelled_only else slice(None)
    kept = np.delete(np.arange(labels.shape[1]), list(ignore))
    return float(np.nanmean(class_average_precisions(scores[rows][:, kept], labels[rows][:, kept])))


def chance_average_precision(labels: Array) -> float:
    """Average precision of a constant score: the share of positives, averaged over the classes.

    Args:
        labels: [N, C] bool (or 0 and 1); classes without a positive are left out.
    """
    labels = _as_bool(labels)
    return float(np.mean(labels[:, _present(labels)]))


def _present(labels: np.ndarray) -> np.ndarray:
    """Indices of the classes that have a positive."""
    present = np.flatnonzero(labels.any(axis=0))
    if not present.size:
        raise ValueError(f"No class has a positive in labels of shape {labels.shape}.")
    return present


def _finite(scores: Array, ndim: int) -> np.ndarray:
    scores = np.asarray(scores)
    if scores.ndim != ndim or not scores.size:
        raise ValueError(f"Scores must be {ndim}-D and not empty. Received shape {scores.shape}.")
    bad = np.sum(~np.isfinite(scores))
    if bad:
        raise ValueError(f"Scores must be finite. Received {bad} NaN or infinite of {scores.size}.")
    return scores


def _as_bool(labels: Array) -> np.ndarray:
    labels = np.asarray(labels)
    if labels.dtype != bool and not np.isin(labels, (0, 1)).all():
        raise ValueError(f"Labels must be bool, or 0 and 1. Received: {np.unique(labels)[:5]}.")
    return labels.astype(bool)


def _check_same_shape(scores: np.ndarray, labels: np.ndarray) -> None:
    if scores.shape != labels.shape:
        raise ValueError(
            f"Scores and labels must have one shape. Received: {scores.shape} and {labels.shape}."
        )
