import numpy as np
import pytest
from keras import ops

from keras_videoprism.heads.temporal_graph import GCNeXt, convolution, nearest_neighbours

pytestmark = pytest.mark.backends

X = np.random.default_rng(0).normal(size=(2, 7, 16)).astype("float32")


def grouped_convolution(x, kernel, bias, groups):
    """[T, C] step by step, group by group."""
    size, width, num_out = kernel.shape
    padded = np.pad(x, ((size // 2, size // 2), (0, 0)))
    output = np.zeros((len(x), num_out))
    for step in range(len(x)):
        for channel in range(num_out):
            group = channel // (num_out // groups)
            window = padded[step : step + size, group * width : (group + 1) * width]
            output[step, channel] = (window * kernel[:, :, channel]).sum() + bias[channel]
    return output


def paths(x, weights, groups):
    hidden = np.maximum(grouped_convolution(x, *weights[:2], 1), 0)
    hidden = np.maximum(grouped_convolution(hidden, *weights[2:4], groups), 0)
    return grouped_convolution(hidden, *weights[4:], 1)


def neighbours_by_sorting(video, count):
    distances = np.linalg.norm(video[:, None] - video, axis=-1)
    return np.stack([video[np.argsort(row)[:count]] for row in distances])


def test_block_has_the_parameters_of_the_paper():
    block = GCNeXt(256)
    block.build((None, 8, 256))
    assert block.count_params() == 166_912


def test_neighbours_are_the_nearest_steps_with_the_step_itself():
    found = ops.convert_to_numpy(nearest_neighbours(X, 3))
    expected = np.stack([neighbours_by_sorting(video, 3) for video in X])
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(found[:, :, 0], X, atol=1e-5)


def test_block_equals_plain_loops():
    block = GCNeXt(16)
    block.build(X.shape)
    rng = np.random.default_rng(1)
    block.set_weights([rng.normal(size=w.shape) / 4 for w in block.get_weights()])
    weights = block.get_weights()
    assert [w.shape for w in weights[2:4]] == [(3, 4, 8), (8,)]
    expected = []
    for video in X:
        centres = np.repeat(video[:, None], 3, axis=1)
        edges = np.concatenate([neighbours_by_sorting(video, 3), centres], axis=-1)
        messages = paths(edges.reshape(-1, 32), weights[6:], groups=2).reshape(7, 3, 16)
        expected.append(np.maximum(paths(video, weights[:6], 2) + video + messages.max(1), 0))
    np.testing.assert_allclose(ops.convert_to_numpy(block(X)), expected, atol=1e-4)


def test_grouped_convolution_keeps_the_steps():
    layer = convolution(8, 3, groups=4, name="stem")
    output = ops.convert_to_numpy(layer(X))
    weights = layer.get_weights()
    for video, found in zip(X, output, strict=True):
        expected = grouped_convolution(video, *weights, 4)
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_width_must_fit_the_groups():
    with pytest.raises(ValueError, match="multiple of 8. Received: 12"):
        GCNeXt(12)
