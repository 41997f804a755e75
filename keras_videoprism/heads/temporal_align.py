"""SGAlign: features of every candidate segment of a video (G-TAD, Xu et al., 2020, section 3.4).

A candidate (d, s) is the segment from step s to step s + d + 1. It is read with half its length
of surroundings on both sides, in bins of equal length. Reading is a constant linear map of the
time steps, so a linear layer on the bins can come first: the layer below never holds the bins
themselves, which take 190 MB for each video at 100 steps, and needs a third of the products.
"""

import functools
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_videoprism.layers.typing import Tensor

INNER_BINS, CONTEXT_BINS = 32, 4  # G-TAD: models.py


def candidates(temporal_scale: int) -> tuple[np.ndarray, np.ndarray]:
    """Index d of the duration and start s of the candidates that end inside the video.

    Returns:
        Two int arrays [M], M = T (T + 1) / 2, in the order of the rows of a map [d, s].
    """
    steps = np.arange(temporal_scale)
    durations, starts = np.nonzero(steps[:, None] + steps < temporal_scale)
    return durations, starts


@functools.cache
def alignment_matrix(temporal_scale: int, num_bins: int) -> np.ndarray:
    """Share of each time step in each bin of each candidate, as RoIAlign takes it in one dimension.

    A bin is the mean of evenly spaced samples, as many as a bin of one step or less needs. Samples
    are interpolated linearly; those more than a step outside of the video are 0
    (G-TAD: Align1D_cuda_kernal.cu).

    Returns:
        float32 [M, num_bins, T]; not to be written to.
    """
    steps = np.arange(temporal_scale)
    parts = []
    for duration in range(temporal_scale):
        starts = np.arange(temporal_scale - duration)
        length = 2 * duration + 1  # the candidate's length is duration + 1, read from its centres
        num_samples = -(-length // num_bins)
        offsets = (np.arange(num_bins * num_samples) + 0.5) * length / (num_bins * num_samples)
        times = starts[:, None] - (duration + 1) / 2 + offsets  # [S, P * G]
        inside = (times >= -1) & (times <= temporal_scale)
        times = times.clip(0, temporal_scale - 1)
        weights = np.maximum(1 - abs(times[..., None] - steps), 0) * inside[..., None]
        bins = weights.reshape(len(starts), num_bins, num_samples, temporal_scale)
        parts.append(bins.mean(axis=2, dtype="float32"))
    return np.concatenate(parts)


class SubgraphAlign(keras.layers.Layer):
    """A linear layer on the aligned features of all candidates.

    Args:
        units: U, width of the output.

    Call arguments:
        features: [B, T, C], read in 32 bins.
        context: [B, T, C], read in 4 bins: the mean of the neighbours in the graph.

    Returns:
        [B, M, U]; see `candidates`.
    """

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units

    def build(self, input_shape: tuple) -> None:
        _, temporal_scale, width = input_shape
        self.kernel = self.add_weight(
            name="kernel",
            shape=(INNER_BINS + CONTEXT_BINS, width, self.units),
            initializer="lecun_normal",
        )
        self.bias = self.add_weight(name="bias", shape=(self.units,), initializer="zeros")
        matrices = [alignment_matrix(temporal_scale, bins) for bins in (INNER_BINS, CONTEXT_BINS)]
        self.matrix = np.concatenate(matrices, axis=1)  # [M, P, T]

    def call(self, features: Tensor, context: Tensor) -> Tensor:
        kernel = ops.cast(self.kernel, features.dtype)
        inner = ops.einsum("btc,pcu->bptu", features, kernel[:INNER_BINS])
        outer = ops.einsum("btc,pcu->bptu", context, kernel[INNER_BINS:])
        projected = ops.concatenate([inner, outer], axis=1)  # [B, P, T, U]
        num_candidates, num_bins, temporal_scale = self.matrix.shape
        size = num_bins * temporal_scale
        matrix = ops.convert_to_tensor(self.matrix.reshape(num_candidates, size), features.dtype)
        aligned = ops.matmul(matrix, ops.reshape(projected, (-1, size, self.units)))
        return aligned + ops.cast(self.bias, features.dtype)

    def compute_output_shape(self, features_shape: tuple, context_shape: tuple) -> tuple:
        return (features_shape[0], len(candidates(features_shape[1])[0]), self.units)
