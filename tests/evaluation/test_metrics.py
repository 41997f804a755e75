import numpy as np
import pytest
from sklearn.metrics import (
    average_precision_score,
    balanced_accuracy_score,
    confusion_matrix,
    top_k_accuracy_score,
)

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


@pytest.mark.parametrize(
    ("scores", "labels"),
    [
        (np.zeros(20), np.arange(20) == 3),  # all equal, one positive
        (np.arange(20), np.arange(20) == 0),  # the only positive comes last
        (np.repeat([0.1, 0.2], 10), np.arange(20) % 3 == 0),  # two levels
        (np.arange(20) // 5, np.arange(20) < 19),  # one negative, among the best
    ],
)
def test_adversarial_scores_equal_scikit_learn(scores: np.ndarray, labels: np.ndarray) -> None:
    expected = average_precision_score(labels, scores)
    assert metrics.average_precision(scores, labels) == pytest.approx(expected)


def test_class_average_precisions() -> None:
    scores = np.array([[0.9, 0.1, 0.5], [0.2, 0.3, 0.5], [0.1, 0.2, 0.5]])
    labels = np.array([[0, 0, 1], [1, 0, 0], [0, 0, 0]])
    np.testing.assert_allclose(
        metrics.class_average_precisions(scores, labels), [1 / 2, np.nan, 1 / 3]
    )


def test_background_classes_are_ignored() -> None:
    rng = np.random.default_rng(0)
    scores, labels = rng.random((40, 4)), rng.random((40, 4)) < 0.3
    expected = average_precision_score(labels[:, [0, 2]], scores[:, [0, 2]], average="macro")
    found = metrics.mean_average_precision(scores, labels, ignore=[3, 1])
    assert found == pytest.approx(expected)
    with pytest.raises(ValueError, match=r"to ignore: \[4\]"):
        metrics.mean_average_precision(scores, labels, ignore=[4])
    with pytest.raises(ValueError, match="No class"):
        metrics.mean_average_precision(scores[:, :2], labels[:, :2] & [True, False], ignore=[0])


def charades_mean_average_precision(scores: np.ndarray, labels: np.ndarray) -> float:
    """Precision at each positive, one by one; unlabelled rows come last."""
    scores = np.where(labels.any(axis=1, keepdims=True), scores, -np.inf)
    precisions = []
    for c in range(labels.shape[1]):
        ranked = labels[np.argsort(-scores[:, c], kind="stable"), c]
        at_positives = [ranked[: i + 1].mean() for i in np.flatnonzero(ranked)]
        precisions.append(np.mean(at_positives))
    return float(np.mean(precisions))


def test_labelled_only_equals_the_score_of_charades() -> None:
    rng = np.random.default_rng(0)
    scores, labels = rng.permutation(240).reshape(60, 4) / 240, rng.random((60, 4)) < 0.2
    assert 0 < np.sum(~labels.any(axis=1)) < 60
    expected = charades_mean_average_precision(scores, labels)
    found = metrics.mean_average_precision(scores, labels, labelled_only=True)
    assert found == pytest.approx(expected)
    assert metrics.mean_average_precision(scores, labels) < expected - 0.01
    labelled = labels.any(axis=1)
    all_rows = metrics.mean_average_precision(scores[labelled], labels[labelled])
    assert all_rows == pytest.approx(expected)


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


def test_confusion_matrix_and_balanced_accuracy_equal_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    labels = rng.choice([0, 0, 0, 1, 2, 4], size=80)  # unbalanced; nobody is a 3
    logits = rng.normal(size=(80, 5)) + 2 * (labels[:, None] == np.arange(5))
    taken_for = logits.argmax(axis=1)
    expected = confusion_matrix(labels, taken_for, labels=range(5))
    np.testing.assert_array_equal(metrics.confusion_matrix(logits, labels), expected)
    with pytest.warns(UserWarning, match="y_pred contains classes not in y_true"):
        expected = balanced_accuracy_score(labels, taken_for)
    assert metrics.balanced_accuracy(logits, labels) == pytest.approx(expected)
    assert expected != pytest.approx(np.mean(labels == taken_for), abs=0.01)


def test_a_tie_is_a_confusion() -> None:
    matrix = metrics.confusion_matrix([[1, 1, 0], [0, 1, 1], [2, 0, 0]], [0, 2, 0])
    np.testing.assert_array_equal(matrix, [[1, 1, 0], [0, 0, 0], [0, 1, 0]])
    assert metrics.balanced_accuracy([[1, 1, 0], [0, 1, 1], [2, 0, 0]], [0, 2, 0]) == 0.25


def test_confusion_matrix_refuses_other_lengths() -> None:
    with pytest.raises(ValueError, match="one shape"):
        metrics.confusion_matrix(np.zeros((3, 2)), [0, 1])


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
