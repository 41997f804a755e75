import math

import numpy as np
import pytest
from keras import ops

from keras_videoprism.heads.temporal_align import (
    CONTEXT_BINS,
    INNER_BINS,
    SubgraphAlign,
    alignment_matrix,
    candidates,
)

FEATURES = np.random.default_rng(0).normal(size=(2, 9, 4)).astype("float32")
CONTEXT = np.random.default_rng(1).normal(size=(2, 9, 4)).astype("float32")


def interpolate(signal, time):
    """Value at a time, step by step; nothing more than one step outside."""
    if time < -1 or time > len(signal):
        return 0.0 * signal[0]
    time = min(max(time, 0.0), len(signal) - 1.0)
    low = math.floor(time)
    high = min(low + 1, len(signal) - 1)
    return (1 - (time - low)) * signal[low] + (time - low) * signal[high]


def align_by_loop(signal, num_bins):
    """Bins [M, P, C] of every candidate of one video [T, C], sample by sample."""
    rows = []
    for duration in range(len(signal)):
        for start in range(len(signal) - duration):
            first = start - 0.5 * (duration + 1)
            last = start + duration + 0.5 * (duration + 1)
            bin_length = max(last - first, 1) / num_bins
            samples = math.ceil(max(last - first, 1) / num_bins)
            row = []
            for index in range(num_bins):
                values = [
                    interpolate(signal, first + bin_length * (index + (i + 0.5) / samples))
                    for i in range(samples)
                ]
                row.append(sum(values) / samples)
            rows.append(row)
    return np.array(rows)


@pytest.mark.parametrize("num_bins", [INNER_BINS, CONTEXT_BINS])
def test_alignment_equals_a_plain_loop(num_bins):
    aligned = alignment_matrix(9, num_bins) @ FEATURES[0][None]
    np.testing.assert_allclose(aligned, align_by_loop(FEATURES[0], num_bins), atol=1e-5)


def test_candidates_stay_inside_and_come_by_duration():
    durations, starts = candidates(3)
    assert list(zip(durations, starts, strict=True)) == [
        (0, 0),
        (0, 1),
        (0, 2),
        (1, 0),
        (1, 1),
        (2, 0),
    ]


@pytest.mark.backends
def test_layer_equals_a_linear_layer_on_the_bins():
    layer = SubgraphAlign(5)
    layer.build(FEATURES.shape)
    rng = np.random.default_rng(2)
    layer.set_weights([rng.normal(size=weight.shape) for weight in layer.get_weights()])
    kernel, bias = layer.get_weights()
    assert kernel.shape == (36, 4, 5)
    inner = np.stack([align_by_loop(video, INNER_BINS) for video in FEATURES])
    outer = np.stack([align_by_loop(video, CONTEXT_BINS) for video in CONTEXT])
    bins = np.concatenate([inner, outer], axis=2)  # [B, M, 36, C]
    expected = np.einsum("bmpc,pcu->bmu", bins, kernel) + bias
    output = layer(FEATURES, CONTEXT)
    assert layer.compute_output_shape(FEATURES.shape, CONTEXT.shape) == output.shape == (2, 45, 5)
    np.testing.assert_allclose(ops.convert_to_numpy(output), expected, atol=1e-4)
