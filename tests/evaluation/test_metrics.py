import numpy as np
import pytest
from sklearn.metrics import average_precision_score, top_k_accuracy_score

from keras_videoprism.evaluation import metrics


@pytest.mark.parametrize("levels", [2, 5, 1000])
def test_average_precision_equals_scikit_learn_with_and_without_ties(levels: int) -> None:
    rng = np.random.default_rng(levels)
    scores = rng.integers(levels, size=(60, 4)) / levels
    labels = rng.random((60, 4)) < 0.3
    for c in range(4):
        expected = average_precision_score(labels[:, c], scores[:, c])
        assert metrics.average_precision(scores[:, c], labels[:, c]) == pytest.approx(expected)
    expected = average_precision_score(labels, scores, average="macro")
    assert metrics.mean_average_precision(scores, labels) == pytest.approx(expected)


def test_average_precision_by_hand() -> None:
    assert metrics.average_precision([0.9, 0.8, 0.7], [1, 0, 1]) == pytest.approx((1 + 2 / 3) / 2)


def test_mean_average_precision_leaves_out_classes_without_a_positive() -> None:
    scores = np.array([[0.9, 0.1], [0.2, 0.3]])
    labels = np.array([[1, 0], [0, 0]])
    assert metrics.mean_average_precision(scores, labels) == 1.0
    assert metrics.chance_average_precision(labels) == 0.5


def test_chance_is_what_a_constant_score_reaches() -> None:
    labels = np.random.default_rng(0).random((50, 6)) < [0.1, 0.2, 0.3, 0.5, 0.7, 0.9]
    constant = metrics.mean_average_precision(np.zeros(labels.shape), labels)
    assert metrics.chance_average_precision(labels) == pytest.approx(constant)


@pytest.mark.parametrize("k", [1, 3])
def test_top_k_accuracy_equals_scikit_learn(k: int) -> None:
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(40, 6)), rng.integers(6, size=40)
    expected = top_k_accuracy_score(labels, logits, k=k, labels=range(6))
    assert metrics.top_k_accuracy(logits, labels, k=k) == pytest.approx(expected)


def test_ties_count_against_the_label() -> None:
    assert metrics.top_k_accuracy(np.zeros((4, 3)), np.zeros(4, int), k=2) == 0.0
    assert metrics.top_k_accuracy(np.zeros((4, 3)), np.zeros(4, int), k=3) == 1.0


def test_rank_is_that_of_the_best_positive() -> None:
    scores = np.array([[5, 4, 3, 2], [5, 4, 3, 2], [4, 4, 4, 2]])
    positives = np.array([[0, 1, 0, 1], [1, 1, 0, 0], [1, 1, 0, 0]])
    np.testing.assert_array_equal(metrics.best_positive_rank(scores, positives), [2, 1, 2])


def test_one_hot() -> None:
    np.testing.assert_array_equal(metrics.one_hot([2, 0], 3), [[0, 0, 1], [1, 0, 0]])
    with pytest.raises(ValueError, match=r"\[0, 3\).*0 to 3"):
        metrics.one_hot([0, 3], 3)
    with pytest.raises(ValueError, match="float64"):
        metrics.one_hot([0.0, 1.0], 3)


@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        ([0.1, np.nan], [1, 0], "finite"),
        ([0.1, 0.2], [0, 0], "at least one positive"),
        ([0.1, 0.2], [1, 2], "Labels"),
        ([0.1, 0.2], [1, 0, 1], "one shape"),
        ([[0.1, 0.2]], [[1, 0]], "1-D"),
        ([], [], "not empty"),
    ],
)
def test_average_precision_refuses(scores: list, labels: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        metrics.average_precision(scores, labels)


def test_rows_and_classes_without_positives_are_refused() -> None:
    with pytest.raises(ValueError, match="the first is row 1"):
        metrics.best_positive_rank(np.zeros((2, 2)), [[1, 0], [0, 0]])
    with pytest.raises(ValueError, match="No class"):
        metrics.mean_average_precision(np.zeros((2, 2)), np.zeros((2, 2)))
