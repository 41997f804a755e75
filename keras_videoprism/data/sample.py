"""Which frames of a clip to use: indices into its stored frames; and how much of each.

All functions give ascending indices in [0, num_available). A clip with fewer frames than asked
repeats frames by the same formula, so that every clip of a batch has one length.
"""

from typing import Any

import numpy as np

Tensor = Any

# Of random crops: ranges of the share of the area, and of the aspect relative to the wanted one.
CROPS = {
    # For pretraining. The paper names no augmentation; these are the usual ranges of video
    # training, mild because captions and the teacher's targets speak of the whole scene.
    "mild": ((0.5, 1.0), (3 / 4, 4 / 3)),
    # For classifiers, as VideoGLUE trains them ("inception crop"); strong adds RandAugment.
    "inception": ((0.3, 1.0), (0.5, 2.0)),
    "strong": ((0.3, 1.0), (0.5, 2.0)),
}
# Appendix G: frames are cropped to 346 pixels at the centre, then to 288 at random. The ratio holds
# for other sizes too; only the place of the box is random.
SHIFTED_SHARE = 288 / 346
AUGMENTATIONS = (*CROPS, "shifted")


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


def segment_centres(num_available: int | Tensor, num_frames: int) -> Any:
    """The middle of each of `num_frames` equal segments: what `random_segment` is tested with.

    Args, Returns and Raises: see `uniform`.
    """
    _check(num_available, num_frames)
    edges = np.arange(num_frames + 1) * num_available // num_frames
    return (edges[:-1] + edges[1:]) // 2


def windows(num_available: int | Tensor, num_frames: int, num_windows: int = 1) -> Any:
    """Runs of successive frames, spread evenly from the first to the last; one alone is central.

    A stride is a matter of the rate at which frames were stored. A clip that is shorter than a
    window repeats its last frame.

    Args:
        num_available: n, number of stored frames (int or integer tensor).
        num_frames: k, frames of a window.
        num_windows: v.

    Returns:
        int64 [v, k]; an array for an int, a tensor for a tensor.

    Raises:
        ValueError: num_frames or num_windows < 1, or num_available an int below 1.
    """
    _check(num_available, num_frames)
    _check(num_available, num_windows)
    starts = np.arange(num_windows) if num_windows > 1 else np.array([1])
    # What a window leaves of the clip, or nothing: a product, which tensors know as well.
    room = (num_available - num_frames + abs(num_available - num_frames)) // 2
    starts = starts * room // (num_windows - 1 if num_windows > 1 else 2)
    indices = starts[:, None] + np.arange(num_frames)
    beyond = indices - (num_available - 1)
    return indices - (beyond + abs(beyond)) // 2


def random_window(num_available: int | Tensor, num_frames: int, seed: Tensor) -> Tensor:
    """One of all windows of `num_frames` successive frames; see `windows`.

    Args:
        num_available: n, number of stored frames (int or integer tensor).
        num_frames: k, frames of the window.
        seed: int [2]; the same seed gives the same indices.

    Returns:
        int64 tensor [k].

    Raises:
        ValueError: num_frames < 1, or num_available an int below 1.
    """
    import tensorflow as tf

    _check(num_available, num_frames)
    num_available = tf.cast(num_available, tf.int64)
    starts = tf.maximum(num_available - num_frames + 1, 1)
    start = tf.random.stateless_uniform([], seed, 0, starts, tf.int64)
    return tf.minimum(start + np.arange(num_frames), num_available - 1)


def _check(num_available: int | Tensor, num_frames: int) -> None:
    if num_frames < 1:
        raise ValueError(f"num_frames must be at least 1, received {num_frames}")
    if isinstance(num_available, int | np.integer) and num_available < 1:
        raise ValueError(f"a clip needs at least one frame, received {num_available}")
