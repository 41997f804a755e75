import numpy as np
import pytest
from keras import ops

from keras_videoprism.training.losses import (
    contrastive_loss,
    cosine_distance,
    masked_mean,
    pixel_targets,
    recall_at_1,
    reconstruction_loss,
    residual_cosine,
    sigmoid_loss,
    similarity,
)

pytestmark = pytest.mark.backends

RNG = np.random.default_rng(0)


def unit(*shape: int) -> np.ndarray:
    x = RNG.normal(size=shape)
    return (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype("float32")


def test_contrastive_loss_is_symmetric_cross_entropy():
    video, text = unit(5, 8), unit(5, 8)
    logits = 10.0 * video @ text.T

    def cross_entropy(rows: np.ndarray) -> float:
        exponentials = np.exp(rows)
        return -np.mean(np.log(np.diag(exponentials) / exponentials.sum(axis=1)))

    expected = (cross_entropy(logits) + cross_entropy(logits.T)) / 2
    loss = ops.convert_to_numpy(contrastive_loss(video, text, 10.0))
    assert loss == pytest.approx(expected, abs=1e-5)
    assert ops.convert_to_numpy(contrastive_loss(text, video, 10.0)) == pytest.approx(loss)


def test_contrastive_loss_of_nothing_and_of_everything_learned():
    same = np.ones((4, 2), "float32")
    assert float(contrastive_loss(same, same, 100.0)) == pytest.approx(np.log(4), abs=1e-4)
    apart = np.eye(4, dtype="float32")
    assert float(contrastive_loss(apart, apart, 100.0)) == pytest.approx(0.0, abs=1e-4)


def test_similarity_and_recall():
    video = np.eye(3, dtype="float32")
    text = np.array([[1, 0, 0], [0.9, 0.1, 0], [0, 0, 1]], "float32")
    np.testing.assert_allclose(ops.convert_to_numpy(similarity(video, text)), text.T)
    assert float(recall_at_1(video, text)) == pytest.approx(1.0)
    assert float(recall_at_1(text, video)) == pytest.approx(2 / 3)


def test_cosine_distance():
    x = np.array([[1, 0], [2, 0], [-3, 0], [0, 0]], "float32")
    y = np.array([[5, 0], [0, 1], [1, 0], [1, 0]], "float32")
    np.testing.assert_allclose(ops.convert_to_numpy(cosine_distance(x, y)), [0, 1, 2, 1], atol=1e-6)


def test_masked_mean():
    x = ops.convert_to_tensor([[1.0, 2.0], [3.0, 6.0]])
    mask = np.array([[True, False], [False, True]])
    assert float(masked_mean(x)) == pytest.approx(3.0)
    assert float(masked_mean(x, mask)) == pytest.approx(3.5)
    assert float(masked_mean(x, np.zeros((2, 2), bool))) == 0.0


def test_residual_cosine_ignores_what_the_whole_clip_shares():
    target = RNG.normal(size=(2, 6, 4)).astype("float32")
    clip = np.array([[[30.0] * 4], [[-20.0] * 4]], "float32")
    mask = RNG.random((2, 6)) < 0.5
    mean = np.broadcast_to(target.mean(axis=1, keepdims=True), target.shape)
    for tokens, expected in ((target + clip, 1.0), (mean, 0.0), (-target, -1.0)):
        arguments = ops.convert_to_tensor(tokens), ops.convert_to_tensor(target), mask
        assert float(residual_cosine(*arguments)) == pytest.approx(expected, abs=1e-3)


def test_sigmoid_loss_is_the_sum_over_pairs():
    video, text = unit(5, 8), unit(5, 8)
    expected = 0.0
    for i, j in np.ndindex(5, 5):
        logit = 10.0 * video[i].astype(float) @ text[j] - 3.0
        expected -= np.log(1 / (1 + np.exp(-logit if i == j else logit))) / 5
    assert float(sigmoid_loss(video, text, 10.0, -3.0)) == pytest.approx(expected, abs=1e-5)
    # As SigLIP begins: all pairs look like pairs that do not match.
    apart = np.eye(4, dtype="float32")
    begin = np.log(2) + 3 * np.log1p(np.exp(-10))
    assert float(sigmoid_loss(apart, apart, 10.0, -10.0)) == pytest.approx(begin, abs=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_pixel_targets_are_normalised_patches(dtype):
    videos = RNG.integers(0, 256, (2, 3, 4, 6, 3)).astype("uint8")
    scaled = videos / 255.0
    targets = ops.convert_to_numpy(pixel_targets(videos if dtype == "uint8" else scaled, 2))
    assert targets.shape == (2, 3 * 6, 12)
    for clip, frame, row, column in np.ndindex(2, 3, 2, 3):
        patch = scaled[clip, frame, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2].ravel()
        expected = (patch - patch.mean()) / np.sqrt(patch.var() + 1e-6)
        target = targets[clip, 6 * frame + 3 * row + column]
        np.testing.assert_allclose(target, expected, atol=1e-3)
    flat = pixel_targets(np.full((1, 1, 2, 2, 3), 0.5, "float32"), 2)
    np.testing.assert_allclose(ops.convert_to_numpy(flat), 0.0, atol=1e-6)


def test_reconstruction_loss_counts_dropped_patches():
    pixels, target = np.zeros((2, 3, 4), "float32"), np.ones((2, 3, 4), "float32")
    target[0, 1], target[1, 2] = 3.0, [0, 0, 2, 2]
    dropped = np.array([[True, True, False], [False, False, True]])
    loss = ops.convert_to_numpy(reconstruction_loss(pixels, target, dropped))
    np.testing.assert_allclose(loss, [(1 + 9) / 2, 2.0], rtol=1e-6)
