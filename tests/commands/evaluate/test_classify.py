import keras
import numpy as np
import pytest
from sklearn.metrics import average_precision_score, balanced_accuracy_score

from keras_videoprism.commands.evaluate import classify as module
from keras_videoprism.commands.evaluate.classify import classify
from keras_videoprism.commands.evaluate.encode import Clips, Place
from keras_videoprism.commands.evaluate.tasks import load_task
from keras_videoprism.commands.evaluate.training import Training
from keras_videoprism.training.equalization_loss import EqualizationLoss


@pytest.fixture
def judge(copies, encoder, tmp_path, monkeypatch):
    """judge(task, logits_of, views): the outcome where a head gives `logits_of(targets)`."""

    def run(task, logits_of, views=None, change=lambda found: found, method="frozen"):
        seen = {}

        def adapt(make, train, test, loss, training, place, score, *, mixed):
            seen.update(loss=loss, mixed=mixed, score=score, train=train)
            return logits_of(test.targets), {}

        monkeypatch.setattr(module, "adapt", adapt)
        definition, found = load_task(task, copies(task))
        place = Place(tmp_path / task, tmp_path, Clips(4, (24, 24), views=views))
        training = Training(definition.recipe, method)
        return classify(encoder, definition, change(found), place, training), seen

    return run


def test_perfect_logits_and_others(judge):
    outcome, _ = judge("k400", lambda hot: 5.0 * hot)
    for name in ("top1", "top5", "map", "macro_accuracy"):
        assert outcome.metrics[name] == 1.0
    assert outcome.metrics["chance_top1"] == pytest.approx(1 / 3)
    assert outcome.scores.shape == (6, 3) and outcome.labels.tolist() != [0] * 6
    outcome, _ = judge("k400", lambda hot: 5.0 * np.roll(hot, 1, axis=1))
    assert outcome.metrics["top1"] == 0.0 and outcome.metrics["map"] < 0.5


def test_views_are_averaged_as_probabilities(judge):
    """One view is sure of a wrong class, two are nearly sure of the right one."""

    def logits(hot):
        right, wrong = np.where(hot, 2.0, 0.0), np.where(np.roll(hot, 1, axis=1), 50.0, 0.0)
        return np.stack([right, wrong, right], axis=1)

    outcome, _ = judge("k400", logits, views=(1, 3))
    assert outcome.metrics["top1"] == 1.0  # the mean of the logits would be wrong
    right = np.exp(2) / (np.exp(2) + 2)
    assert outcome.scores.max(axis=1) == pytest.approx(np.full(6, 2 / 3 * right))


def test_metrics_are_those_of_scikit_learn(judge):
    random = np.random.default_rng(0)
    outcome, _ = judge("kabr", lambda hot: random.normal(size=hot.shape))
    hot = np.eye(3)[outcome.labels]
    expected = average_precision_score(hot, outcome.scores, average="macro")
    assert outcome.metrics["map"] == pytest.approx(expected)
    expected = balanced_accuracy_score(outcome.labels, outcome.scores.argmax(axis=1))
    assert outcome.metrics["macro_accuracy"] == pytest.approx(expected)
    outcome, _ = judge("charades", lambda hot: random.normal(size=hot.shape))
    expected = average_precision_score(outcome.labels, outcome.scores, average="macro")
    assert outcome.metrics["map"] == pytest.approx(expected)
    assert outcome.metrics.keys() == {"map", "chance_map"} and outcome.labels.shape == (6, 3)


def test_the_background_is_not_counted(judge):
    """CalMS21: behaviours right, "other" wrong."""

    def logits(hot):
        found = 5.0 * hot
        found[:, 3] = np.where(hot[:, 3], -9.0, 2.0)
        return found

    outcome, _ = judge("calms21", logits)
    assert outcome.metrics["map"] == 1.0 and outcome.metrics["top1"] < 1.0
    assert outcome.metrics["chance_map"] == 0.25


def test_classes_without_a_clip_are_named(judge):
    def without(found):
        return found._replace(
            train=[row for row in found.train if row.labels != (0,)],
            test=[row for row in found.test if row.labels != (2,)],
        )

    outcome, _ = judge("k400", lambda hot: 5.0 * hot, change=without)
    assert outcome.notes["classes without a clip to train on"] == ["blue"]
    assert outcome.notes["classes without a clip to test on"] == ["red"]
    assert outcome.num_examples == 4


def test_scores_that_are_not_finite_are_an_error(judge):
    with pytest.raises(ValueError, match="Scores must be finite"):
        judge("k400", lambda hot: np.where(hot, np.nan, 0.0))


@pytest.mark.parametrize(
    ("task", "loss"),
    [
        ("k400", keras.losses.CategoricalCrossentropy),
        ("charades", keras.losses.BinaryCrossentropy),
        ("kabr", EqualizationLoss),
    ],
)
def test_the_loss_of_each_task(judge, task, loss):
    _, seen = judge(task, lambda hot: 5.0 * hot)
    assert isinstance(seen["loss"], loss) and not seen["mixed"]
    assert seen["score"](5.0 * seen["train"].targets, seen["train"]) == 1.0
    if loss is EqualizationLoss:
        assert seen["loss"].class_counts == [2, 2, 2]


@pytest.mark.parametrize(
    ("task", "method", "mixed"),
    [
        ("k400", "frozen", False),
        ("k400", "finetune", True),
        ("mit", "finetune", False),
        ("charades", "finetune", False),
    ],
)
def test_mixed_labels_are_not_smoothed_again(judge, task, method, mixed):
    """Strong augmentation is for fine-tuning, and clips of several classes are not mixed."""
    _, seen = judge(task, lambda hot: 5.0 * hot, method=method)
    assert seen["mixed"] == mixed
    if task != "charades":
        target, guess = np.array([[1.0, 0.0, 0.0]]), np.array([[50.0, 0.0, 0.0]])
        cost = 0.0 if mixed else 0.1 * 2 / 3 * 50
        assert float(seen["loss"](target, guess)) == pytest.approx(cost, abs=1e-5)
