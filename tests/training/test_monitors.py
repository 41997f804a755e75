import numpy as np
import pytest

from keras_videoprism.training.monitors import effective_rank, embedding_std, pair_cosine

pytestmark = pytest.mark.backends

RNG = np.random.default_rng(0)
SAME = np.repeat(RNG.normal(size=(1, 16)), 64, axis=0).astype("float32")
NOISE = RNG.normal(size=(48, 16)).astype("float32")
NOISE[:, 3] += 2.0


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_embedding_std(run):
    assert run(embedding_std, SAME) == pytest.approx(0.0, abs=1e-3)
    corners = np.concatenate([np.eye(4), -np.eye(4)]).astype("float32")
    assert run(embedding_std, 7.0 * corners) == pytest.approx(1.0, abs=1e-5)
    expected = unit(NOISE).std(axis=0).mean() * 4.0
    assert run(embedding_std, NOISE) == pytest.approx(expected, abs=1e-5)


def test_pair_cosine_leaves_out_a_clip_with_itself(run):
    assert run(pair_cosine, 3.0 * SAME) == pytest.approx(1.0, abs=1e-5)
    assert run(pair_cosine, np.eye(4, dtype="float32")) == pytest.approx(0.0, abs=1e-6)
    cosines = unit(NOISE) @ unit(NOISE).T
    expected = (cosines.sum() - 48) / (48 * 47)
    assert run(pair_cosine, NOISE) == pytest.approx(expected, abs=1e-5)
    assert run(pair_cosine, NOISE[:1]) == pytest.approx(0.0, abs=1e-5)


def test_effective_rank_is_the_participation_ratio_of_the_covariance(run):
    eigenvalues = np.linalg.eigvalsh(np.cov(unit(NOISE).T))
    expected = eigenvalues.sum() ** 2 / (eigenvalues**2).sum()
    assert 5.0 < expected < 16.0
    assert run(effective_rank, NOISE) == pytest.approx(expected, rel=1e-4)


def test_effective_rank_of_what_is_known(run):
    assert run(effective_rank, SAME) == pytest.approx(1.0, abs=1e-6)
    # The differences of n corners of a simplex lie in n - 1 directions.
    assert run(effective_rank, np.eye(8, dtype="float32")) == pytest.approx(7.0, abs=1e-3)
    four = np.eye(4, 8, dtype="float32")[np.arange(60) % 4]
    assert run(effective_rank, four) == pytest.approx(3.0, abs=1e-3)
    line = np.outer([-1.0, 2.0, 3.0, -4.0], [1.0, 2.0, 2.0]).astype("float32")
    assert run(effective_rank, line) == pytest.approx(1.0, abs=1e-3)


def test_effective_rank_of_broken_embeddings_is_nan(run):
    broken = NOISE.copy()
    broken[2, 5] = np.inf
    assert np.isnan(run(effective_rank, broken))
