"""The features of a video, of any length, at one number of time steps."""

from typing import Any

import numpy as np


def resize_matrix(length: int, temporal_scale: int) -> np.ndarray:
    """Linear interpolation from `length` to `temporal_scale` steps of the same time span.

    Steps are cells of equal length and samples stand at their centres, as in PyTorch with
    `align_corners=False` (G-TAD: dataset.py). Nothing is smoothed where steps are left out.

    Returns:
        float32 [temporal_scale, length]; each row sums to 1.
    """
    if length < 1 or temporal_scale < 1:
        raise ValueError(f"Lengths must be at least 1. Received: {length} and {temporal_scale}.")
    centres = (np.arange(temporal_scale) + 0.5) * length / temporal_scale - 0.5
    centres = centres.clip(0, length - 1)[:, None]
    return np.maximum(1 - abs(centres - np.arange(length)), 0).astype("float32")


def resize_features(features: Any, temporal_scale: int) -> np.ndarray:
    """Features of one video, [L, C], at `temporal_scale` steps, so that videos make a batch.

    Args:
        features: [L, C] finite numbers; the steps divide the whole video into equal parts.
        temporal_scale: T.

    Returns:
        float32 [T, C].

    Raises:
        ValueError: features of another rank, without a step, or not finite.
    """
    features = np.asarray(features, "float32")
    if features.ndim != 2:
        raise ValueError(f"Features of a video must be [L, C]. Received shape {features.shape}.")
    bad = int(np.sum(~np.isfinite(features)))
    if bad:
        raise ValueError(f"Features must be finite. Received {bad} NaN or infinite values.")
    return resize_matrix(len(features), temporal_scale) @ features
