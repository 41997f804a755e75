"""From the outputs of `TemporalDetector` to detections (G-TAD's public code, branch anet)."""

from typing import Any

import numpy as np

SIGMA = 0.8  # of the Gaussian: a score is multiplied by exp(-iou^2 / sigma)
MAX_PROPOSALS = 100  # of a video
TOP_CLASSES = 2  # that each proposal of a video takes


def decode(
    outputs: dict[str, Any],
    durations: Any,
    class_scores: Any,
    *,
    top_classes: int = TOP_CLASSES,
    max_proposals: int = MAX_PROPOSALS,
) -> dict[str, np.ndarray]:
    """Detections of all videos.

    The detector finds segments, not classes: each proposal takes the most likely classes of its
    whole video, and its score is multiplied by theirs.

    Args:
        outputs: "map" [N, 2, T, T], "start" and "end" [N, T]; see `TemporalDetector`.
        durations: [N], seconds.
        class_scores: [N, C] of the whole videos, at least 0; from a video classifier.
        top_classes: classes for each proposal.
        max_proposals: of each video; detections are `top_classes` times as many.

    Returns:
        "videos" int [n], index of the video; "segments" [n, 2], seconds; "classes" int [n];
        "scores" [n], highest first within each video: the fields of
        `evaluation.temporal.Segments`.

    Raises:
        ValueError: unequal numbers of videos, no video or class, values below 0 or not finite.
    """
    outputs = {name: np.asarray(outputs[name]) for name in ("map", "start", "end")}
    durations, class_scores = np.asarray(durations, float), np.asarray(class_scores, float)
    _check({**outputs, "durations": durations, "class_scores": class_scores})
    found = []
    for video, (overlap_map, start, end) in enumerate(zip(*outputs.values(), strict=True)):
        segments, scores = soft_nms(*propose(overlap_map, start, end), max_proposals=max_proposals)
        classes = np.argsort(-class_scores[video], kind="stable")[:top_classes]
        products = (scores[:, None] * class_scores[video, classes]).ravel()
        order = np.argsort(-products, kind="stable")
        proposals, places = np.divmod(order, len(classes))
        found.append(
            {
                "videos": np.full(len(order), video),
                "segments": segments[proposals] * durations[video],
                "classes": classes[places],
                "scores": products[order],
            }
        )
    return {name: np.concatenate([part[name] for part in found]) for name in found[0]}


def _check(arrays: dict[str, np.ndarray]) -> None:
    sizes = {name: len(array) if array.ndim else 0 for name, array in arrays.items()}
    if len(set(sizes.values())) > 1 or 0 in sizes.values():
        raise ValueError(f"All arrays need one entry for each video. Received: {sizes}.")
    if arrays["class_scores"].ndim != 2 or not arrays["class_scores"].size:
        shape = arrays["class_scores"].shape
        raise ValueError(f"class_scores must be [N, C] with a class at least. Received: {shape}.")
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise ValueError(f"{name} must be finite. Received NaN or infinite values.")
        if (array < 0).any():
            raise ValueError(f"{name} must not be negative. Received: {array.min()}.")


def boundary_steps(probabilities: np.ndarray, outer: int) -> np.ndarray:
    """Steps where an action may begin (or end): local peaks, and all above half the maximum.

    Args:
        probabilities: [T].
        outer: step that always counts: the first for starts, the last (-1) for ends.

    Returns:
        Bool [T].
    """
    around = np.pad(probabilities, 1, constant_values=np.inf)  # no peak at the border
    peaks = (probabilities > around[:-2]) & (probabilities > around[2:])
    steps = peaks | (probabilities > 0.5 * probabilities.max())
    steps[outer] = True
    return steps


def propose(
    overlap_map: np.ndarray, start: np.ndarray, end: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """All segments from a start to a later end, with their scores.

    Args:
        overlap_map: [2, T, T]; the score is the product of both.
        start, end: [T].

    Returns:
        Segments [n, 2] as fractions of the video; scores [n].
    """
    starts = np.flatnonzero(boundary_steps(start, 0))
    ends = np.flatnonzero(boundary_steps(end, -1))
    first, last = (grid.ravel() for grid in np.meshgrid(starts, ends, indexing="ij"))
    first, last = first[first < last], last[first < last]
    scores = overlap_map[:, last - first - 1, first].prod(axis=0)
    return np.stack([first, last], axis=1) / len(start), scores


def soft_nms(
    segments: np.ndarray,
    scores: np.ndarray,
    sigma: float = SIGMA,
    max_proposals: int = MAX_PROPOSALS,
) -> tuple[np.ndarray, np.ndarray]:
    """Takes the best segment again and again; the others lose score by their overlap with it.

    G-TAD's loop stops before the last candidate; here it is kept.

    Args:
        segments: [n, 2].
        scores: [n].
        sigma: width of the Gaussian.
        max_proposals: how many are taken.

    Returns:
        Segments [m, 2] and their scores [m] in the order taken, which is that of the scores.
    """
    remaining = np.array(scores, float)
    taken, taken_scores = [], []
    for _ in range(min(len(remaining), max_proposals)):
        best = int(remaining.argmax())
        taken.append(best)
        taken_scores.append(remaining[best])
        remaining *= np.exp(-np.square(_overlaps(segments[best], segments)) / sigma)
        remaining[best] = -np.inf
    return segments[taken], np.array(taken_scores)


def _overlaps(segment: np.ndarray, others: np.ndarray) -> np.ndarray:
    """IoU of one segment with others [n, 2]."""
    shared = np.minimum(segment[1], others[:, 1]) - np.maximum(segment[0], others[:, 0])
    shared = shared.clip(0)
    return shared / (segment[1] - segment[0] + others[:, 1] - others[:, 0] - shared)
