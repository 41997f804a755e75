"""What G-TAD learns from the annotated segments of a video (public code: dataset.py)."""

from typing import Any

import numpy as np

from keras_videoprism.heads.temporal_align import candidates

WINDOW = 3.0  # steps around a boundary that count as the boundary


def candidate_mask(temporal_scale: int) -> np.ndarray:
    """Bool [D, S]: True where the candidate ends inside the video."""
    mask = np.zeros((temporal_scale, temporal_scale), bool)
    mask[candidates(temporal_scale)] = True
    return mask


def segment_targets(segments: Any, duration: float, temporal_scale: int) -> dict[str, np.ndarray]:
    """Targets of one video.

    Args:
        segments: [n, 2], start and end in seconds; n may be 0. Ends beyond the video are cut.
        duration: of the video, in seconds.
        temporal_scale: T, number of time steps; D = S = T.

    Returns:
        float32 "overlaps" [D, S], the best IoU of each candidate with a segment, and "starts" and
        "ends" [T], the share of each step (and half a step on both sides) that lies within 1.5
        steps of a boundary.

    Raises:
        ValueError: a duration that is not positive, a segment that has no length inside the video.
    """
    fractions = _fractions(segments, duration)  # [n, 2]
    starts, ends = fractions.T * temporal_scale  # in steps
    steps = np.arange(temporal_scale)[:, None]
    return {
        "overlaps": _overlap_map(starts, ends, temporal_scale),
        "starts": _near(steps, starts),
        "ends": _near(steps, ends),
    }


def _fractions(segments: Any, duration: float) -> np.ndarray:
    segments = np.asarray(segments, float).reshape(-1, 2)
    if not 0 < duration < np.inf:
        raise ValueError(f"A video must have a duration above 0. Received: {duration}.")
    fractions = (segments / duration).clip(0, 1)
    bad = ~(fractions[:, 0] < fractions[:, 1])  # also where a time is NaN
    if bad.any():
        raise ValueError(
            f"{bad.sum()} segments have no length inside their video of {duration} s, the first "
            f"is {segments[bad][0].tolist()}. Correct or remove them."
        )
    return fractions


def _overlap_map(starts: np.ndarray, ends: np.ndarray, temporal_scale: int) -> np.ndarray:
    rows, columns = candidates(temporal_scale)
    first, last = columns[:, None], (columns + rows + 1)[:, None]  # [M, 1]
    shared = (np.minimum(last, ends) - np.maximum(first, starts)).clip(0)  # [M, n]
    union = (last - first) + (ends - starts) - shared
    overlaps = np.zeros((temporal_scale, temporal_scale), "float32")
    overlaps[rows, columns] = (shared / union).max(axis=1, initial=0)
    return overlaps


def _near(steps: np.ndarray, boundaries: np.ndarray) -> np.ndarray:
    first, last = steps - 0.5, steps + 1.5
    upper, lower = boundaries + WINDOW / 2, boundaries - WINDOW / 2
    shared = (np.minimum(last, upper) - np.maximum(first, lower)).clip(0)  # [T, n]
    return (shared / (last - first)).max(axis=1, initial=0).astype("float32")
