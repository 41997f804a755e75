import numpy as np
import pytest

from keras_videoprism.heads.temporal_resize import resize_features, resize_matrix


def test_numbers_by_hand():
    doubled = resize_features([[0.0], [1.0]], 4)
    np.testing.assert_allclose(doubled[:, 0], [0, 0.25, 0.75, 1], atol=1e-6)
    halved = resize_features([[0.0], [1.0], [2.0], [7.0]], 2)
    np.testing.assert_allclose(halved[:, 0], [0.5, 4.5], atol=1e-6)
    np.testing.assert_array_equal(resize_matrix(5, 5), np.eye(5))


@pytest.mark.parametrize("length, scale", [(1, 4), (7, 10), (23, 10), (100, 9)])
def test_equals_pytorch(length, scale):
    torch = pytest.importorskip("torch")
    features = np.random.default_rng(0).normal(size=(length, 3))
    expected = torch.nn.functional.interpolate(
        torch.tensor(features.T[None]), size=scale, mode="linear", align_corners=False
    )
    np.testing.assert_allclose(resize_features(features, scale), expected[0].T, atol=1e-5)


@pytest.mark.parametrize(
    "features, message",
    [
        (np.zeros(3), r"\[L, C\]. Received shape \(3,\)"),
        (np.zeros((0, 3)), "at least 1. Received: 0 and 4"),
        ([[0.0, np.nan]], "Received 1 NaN"),
    ],
)
def test_bad_features(features, message):
    with pytest.raises(ValueError, match=message):
        resize_features(features, 4)
