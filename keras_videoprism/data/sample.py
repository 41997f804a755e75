"""Which frames of a clip to use: indices into its stored frames; and how much of each.

All functions give ascending indices in [0, num_available). A clip with fewer frames than asked
repeats frames by the same formula, so that every clip of a batch has one length.
"""

from typing import Any

import numpy as np

Tensor = Any

# Of random crops. The paper names no augmentation; these are the usual ranges of video training,
# mild because captions and the teacher's targets speak of the whole scene.
AREA_RANGE = (0.5, 1.0)
ASPECT_RANGE = (3 / 4, 4 / 3)


def uniform(num_available: int | Tensor, num_frames: int) -> Any:
    """Evenly spread indices floor(i n / k), i = 0 .. k-1: the end point is left out.

    This is the sampling of the released model's demo, in exact integer arithmetic.

    Args:
        num_available: n, number of stored frames (int or integer tensor).
        num_frames: k, number of indices.

    Returns:
        int64 [k]; an array for an int, a tensor for a tensor.

    Raises:
        ValueError: num_frames < 1, or num_available an int below 1.
    """
    _check(num_available, num_frames)
    return np.arange(num_frames) * num_available // num_frames


def endpoints(num_available: int, num_frames: int) -> np.ndarray:
    """Evenly spread indices from the first to the last, rounded down; one index is the first.

    Two of the public ports sample so.

    Args and Raises: see `uniform`.
    """
    _check(num_available, num_frames)
    return np.arange(num_frames) * (num_available - 1) // max(num_frames - 1, 1)


def random_segment(num_available: int | Tensor, num_frames: int, seed: Tensor) -> Tensor:
    """One random index in each of `num_frames` equal segments (TSN, arXiv 1608.00859, Sec. 3.1).

    Args:
        num_available: n, number of stored frames (int or integer tensor).
        num_frames: k, number of segments.
        seed: int [2]; the same seed gives the same indices.

    Returns:
        int64 tensor [k].

    Raises:
        ValueError: num_frames < 1, or num_available an int below 1.
    """
    import tensorflow as tf  # here, so that decoding a video needs no TensorFlow

    _check(num_available, num_frames)
    edges = np.arange(num_frames + 1) * tf.cast(num_available, tf.int64) // num_frames
    lengths = tf.maximum(edges[1:] - edges[:-1], 1)
    draws = tf.random.stateless_uniform([num_frames], seed, dtype=tf.float64)
    return edges[:-1] + tf.cast(draws * tf.cast(lengths, tf.float64), tf.int64)


def _check(num_available: int | Tensor, num_frames: int) -> None:
    if num_frames < 1:
        raise ValueError(f"num_frames must be at least 1, received {num_frames}")
    if isinstance(num_available, int | np.integer) and num_available < 1:
        raise ValueError(f"a clip needs at least one frame, received {num_available}")
