import numpy as np
import pytest

from keras_videoprism.training.monitors import (
    MAX_RANK_CLIPS,
    effective_rank,
    embedding_std,
    pair_cosine,
)

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


def test_effective_rank_is_that_of_the_singular_values(run):
    singular = np.linalg.svd(unit(NOISE), compute_uv=False)
    shares = singular / singular.sum()
    expected = np.exp(-(shares * np.log(shares)).sum())
    assert expected == pytest.approx(14.5, abs=1.0)
    assert run(effective_rank, NOISE) == pytest.approx(expected, rel=1e-3)


def test_effective_rank_of_what_is_known(run):
    assert run(effective_rank, SAME) == pytest.approx(1.0, abs=1e-3)
    assert run(effective_rank, np.eye(8, dtype="float32")) == pytest.approx(8.0, abs=1e-3)
    three = np.eye(3, 8, dtype="float32")[np.arange(60) % 3]
    assert run(effective_rank, three) == pytest.approx(3.0, abs=1e-3)
    many = np.eye(2 * MAX_RANK_CLIPS, dtype="float32")
    assert run(effective_rank, many) == pytest.approx(MAX_RANK_CLIPS, rel=1e-3)


def test_effective_rank_of_broken_embeddings_is_nan(run):
    broken = NOISE.copy()
    broken[2, 5] = np.inf
    assert np.isnan(run(effective_rank, broken))
