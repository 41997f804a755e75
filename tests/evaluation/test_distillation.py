import numpy as np
import pytest

from keras_videoprism.evaluation.distillation import clip_mean_share, cosine, trivial_predictors


@pytest.fixture
def tokens():
    return np.random.default_rng(0).normal(size=(40, 6, 8))


def test_clip_mean_share_by_hand(tokens):
    assert clip_mean_share(np.repeat(tokens[:, :1], 6, axis=1)) == pytest.approx(1.0)
    assert clip_mean_share(tokens - tokens.mean(axis=1, keepdims=True)) == pytest.approx(0.0)
    # Independent noise: the mean of 6 tokens keeps a sixth of the variance.
    assert clip_mean_share(tokens) == pytest.approx(1 / 6, abs=0.04)


def test_each_predictor_is_perfect_where_it_is_right(tokens):
    one_vector = np.ones((5, 6, 8))
    same_in_all_clips = np.repeat(tokens[:1], 5, axis=0)
    same_in_a_clip = np.repeat(tokens[:5, :1], 6, axis=1)
    for name, right in (
        ("global_mean", one_vector),
        ("position_mean", same_in_all_clips),
        ("clip_mean", same_in_a_clip),
    ):
        assert trivial_predictors(right, right)[name]["token_loss"] == pytest.approx(0, abs=1e-6)
    position = trivial_predictors(same_in_all_clips, same_in_all_clips)["position_mean"]
    assert position["residual_cosine"] == pytest.approx(1.0, abs=1e-6)


def test_a_clip_mean_knows_nothing_within_the_clip(tokens):
    scores = trivial_predictors(tokens[:20], tokens[20:])
    assert scores["clip_mean"]["residual_cosine"] == pytest.approx(0.0, abs=1e-3)
    assert scores["clip_mean"]["token_loss"] < scores["global_mean"]["token_loss"]


def test_cosine():
    assert cosine(
        np.array([3.0, 0.0]), np.array([[1.0, 0.0], [0.0, 2.0], [-1.0, 0.0], [0.0, 0.0]])
    ) == (pytest.approx([1.0, 0.0, -1.0, 0.0]))
