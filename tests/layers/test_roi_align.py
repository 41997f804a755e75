import math

import numpy as np
import pytest
from keras import ops

from keras_videoprism.layers.roi_align import roi_align

pytestmark = pytest.mark.backends

RNG = np.random.default_rng(0)
FEATURES = RNG.normal(size=(2, 5, 6, 3)).astype("float32")
# Inside the map, the whole map, beyond its edges, and without area.
BOXES = np.array(
    [
        [[0.1, 0.2, 0.7, 0.9], [0.0, 0.0, 1.0, 1.0], [-0.3, 0.5, 0.4, 1.4]],
        [[0.5, 0.5, 0.5, 0.5], [0.9, 0.9, 1.0, 1.0], [0.3, 0.0, 0.31, 0.02]],
    ],
    "float32",
)


def by_loops(features: np.ndarray, box: np.ndarray, size: int) -> np.ndarray:
    """One box of one map [h, w, C], sample by sample."""
    height, width, channels = features.shape
    crop = np.zeros((size, size, channels))
    for i, j in np.ndindex(size, size):
        y = height * (box[0] + (i + 0.5) / size * (box[2] - box[0]))
        x = width * (box[1] + (j + 0.5) / size * (box[3] - box[1]))
        y, x = min(max(y, 0.0), height - 1.0), min(max(x, 0.0), width - 1.0)
        top, left = math.floor(y), math.floor(x)
        bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
        down, across = y - top, x - left
        upper = (1 - across) * features[top, left] + across * features[top, right]
        lower = (1 - across) * features[bottom, left] + across * features[bottom, right]
        crop[i, j] = (1 - down) * upper + down * lower
    return crop


@pytest.mark.parametrize("size", [7, 2])
def test_equals_a_plain_loop(run, size):
    crops = run(lambda f, b: roi_align(f, b, size), FEATURES, BOXES)
    assert crops.shape == (2, 3, size, size, 3)
    for clip, box in np.ndindex(2, 3):
        expected = by_loops(FEATURES[clip], BOXES[clip, box].astype(float), size)
        np.testing.assert_allclose(crops[clip, box], expected, atol=1e-5)


def test_a_slope_is_read_off():
    """On a ramp along the rows, a sample is its own coordinate."""
    ramp = np.arange(8, dtype="float32").reshape(1, 8, 1, 1) * np.ones((1, 8, 4, 1), "float32")
    box = np.array([[[0.25, 0.0, 0.5, 1.0]]], "float32")  # rows 2 to 4
    crop = ops.convert_to_numpy(roi_align(ramp, box, size=4))[0, 0, :, 0, 0]
    np.testing.assert_allclose(crop, [2.25, 2.75, 3.25, 3.75], atol=1e-6)


def test_bad_shapes():
    with pytest.raises(ValueError, match=r"\(2, 5, 6, 3\), \(2, 3, 5\)"):
        roi_align(FEATURES, np.zeros((2, 3, 5), "float32"))
    with pytest.raises(ValueError, match=r"\(5, 6, 3\)"):
        roi_align(FEATURES[0], BOXES)
