import math

import numpy as np
import pytest
from keras import ops

from keras_videoprism.heads.temporal_losses import (
    balanced_cross_entropy,
    localisation_losses,
    regression_loss,
)

pytestmark = pytest.mark.backends

RNG = np.random.default_rng(0)
PROBABILITIES = RNG.uniform(0.01, 0.99, (2, 10)).astype("float32")


def number(value):
    return float(ops.convert_to_numpy(value))


def test_cross_entropy_equals_the_ratios_of_the_public_code():
    positives = RNG.uniform(size=(2, 10)) > 0.7
    ratio = positives.size / positives.sum()
    expected = -np.mean(
        np.where(
            positives,
            0.5 * ratio * np.log(PROBABILITIES),
            0.5 * ratio / (ratio - 1) * np.log(1 - PROBABILITIES),
        )
    )
    assert number(balanced_cross_entropy(PROBABILITIES, positives)) == pytest.approx(
        expected, rel=1e-4
    )


def test_entries_that_are_not_valid_do_not_count():
    positives = np.array([[True, True, False, False]])
    probabilities = np.array([[0.5, 0.9, 0.2, 0.1]], "float32")
    valid = np.array([True, False, True, False])
    expected = -0.5 * (math.log(0.5) + math.log(0.8))
    loss = number(balanced_cross_entropy(probabilities, positives, valid))
    assert loss == pytest.approx(expected, rel=1e-4)


def test_without_positives_the_negatives_are_learned():
    none = np.zeros((2, 10), bool)
    expected = -0.5 * np.log(1 - PROBABILITIES).mean()
    assert number(balanced_cross_entropy(PROBABILITIES, none)) == pytest.approx(expected, rel=1e-4)
    certain = np.array([0.0, 1.0], "float32")
    loss = number(balanced_cross_entropy(certain, np.array([True, False])))
    assert loss == pytest.approx(-math.log(1e-6), rel=0.01)


def test_regression_takes_as_many_of_each_group():
    overlaps = np.array([0.9, 0.8, 0.7, 0.5, 0.4, 0.31, 0.3, 0.1, 0.0], "float32")
    draws = np.array([0.9, 0.9, 0.4, 0.6, 0.4, 0.9, 0.9, 0.9, 0.0], "float32")
    # 2 high; 4 middle ones count with probability 1/2: 0.7 and 0.4; both low ones; never the last.
    counted = [0, 1, 2, 4, 6, 7]
    expected = 0.5 * np.mean((1 - overlaps[counted]) ** 2)
    predicted = np.ones(9, "float32")
    assert number(regression_loss(predicted, overlaps, draws)) == pytest.approx(expected, rel=1e-5)
    assert number(regression_loss(predicted, overlaps * 0.5, draws)) == 0  # no high overlap


def test_total_is_the_weighted_sum():
    overlaps = RNG.uniform(size=(2, 4, 4)).astype("float32")
    overlaps[:, 0, 0] = 0.95
    outputs = {
        "map": RNG.uniform(0.1, 0.9, (2, 2, 4, 4)).astype("float32"),
        "start": RNG.uniform(0.1, 0.9, (2, 4)).astype("float32"),
        "end": RNG.uniform(0.1, 0.9, (2, 4)).astype("float32"),
    }
    targets = {"overlaps": overlaps, "starts": np.eye(4)[:2], "ends": np.eye(4)[2:]}
    draws = RNG.uniform(size=(2, 4, 4)).astype("float32")
    valid = np.tri(4, dtype=bool)[::-1].copy()
    losses = {k: number(v) for k, v in localisation_losses(outputs, targets, draws, valid).items()}
    boundary = balanced_cross_entropy(outputs["start"], np.eye(4)[:2] > 0.5)
    boundary = number(boundary + balanced_cross_entropy(outputs["end"], np.eye(4)[2:] > 0.5))
    classified = balanced_cross_entropy(outputs["map"][:, 1], overlaps > 0.9, valid)
    regressed = regression_loss(outputs["map"][:, 0], overlaps, draws)
    assert losses["boundary"] == pytest.approx(boundary, rel=1e-5)
    assert losses["classification"] == pytest.approx(number(classified), rel=1e-5)
    assert losses["regression"] == pytest.approx(number(regressed), rel=1e-5)
    expected = losses["boundary"] + 10 * losses["regression"] + losses["classification"]
    assert losses["total"] == pytest.approx(expected, rel=1e-5)
