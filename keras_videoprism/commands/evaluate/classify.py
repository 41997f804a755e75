"""Video classification by the four adaptations (Appendix E), and for science (Appendix H)."""

from collections.abc import Callable, Sequence
from functools import partial

import keras
import numpy as np

from keras_videoprism.commands.classify import softmax
from keras_videoprism.commands.evaluate.adapt import adapt, sigmoid
from keras_videoprism.commands.evaluate.encode import Place, Stored, store
from keras_videoprism.commands.evaluate.loaders import Labelled
from keras_videoprism.commands.evaluate.outcome import Outcome
from keras_videoprism.commands.evaluate.protocol import Task
from keras_videoprism.commands.evaluate.training import (
    Examples,
    Training,
    check_training,
    head_size,
    num_layers,
)
from keras_videoprism.evaluation import metrics
from keras_videoprism.heads.adaptation import AdaptedVideoPrism
from keras_videoprism.heads.classifier import AttentionClassifier
from keras_videoprism.models import VideoPrism
from keras_videoprism.training.equalization_loss import EqualizationLoss


def classify(
    encoder: VideoPrism, task: Task, found: Labelled, place: Place, training: Training
) -> Outcome:
    """Train a classifier by one of the adaptations and score it on the clips to test on.

    Args:
        encoder: what is adapted.
        task, found: of `load_task`.
        place: of records and features.
        training: how.
    """
    check_training(training, len(found.train))
    train, test = store(found.train, place, "train"), store(found.test, place, "test")
    targets = partial(class_targets, num_classes=len(found.classes))
    logits, notes = adapt(
        partial(make_classifier, encoder, len(found.classes), training),
        targets(train),
        targets(test),
        _loss(task, training, targets(train)),
        training,
        place,
        partial(_score, task, found.classes),
        mixed=training.strong and not task.multi_label,
    )
    probabilities = _activation(task)(logits)
    if place.clips.views is not None:
        probabilities = probabilities.mean(axis=1)
    hot = targets(test).targets
    notes |= {
        f"classes without a clip to {verb}": [found.classes[i] for i in np.flatnonzero(~seen)]
        for verb, seen in (
            ("train on", targets(train).targets.any(axis=0)),
            ("test on", hot.any(axis=0)),
        )
        if not seen.all()
    }
    return Outcome(
        _metrics(task, found.classes, probabilities, hot),
        len(test.rows),
        train.excluded + test.excluded,
        probabilities,
        hot if task.multi_label else hot.argmax(axis=1),
        found.classes,
        test.rows,
        notes,
    )


def make_classifier(encoder: VideoPrism, num_classes: int, training: Training) -> AdaptedVideoPrism:
    """The encoder with a fresh head."""
    head = AttentionClassifier(
        num_classes,
        variant=training.variant,
        num_layers=num_layers(encoder, training.method),
        dropout=training.recipe.dropout,
        **head_size(encoder),
    )
    return AdaptedVideoPrism(encoder, head, training.method)


def class_targets(stored: Stored, num_classes: int) -> Examples:
    """Which classes each clip has."""
    hot = np.zeros((len(stored.rows), num_classes), bool)
    for index, row in enumerate(stored.rows):
        hot[index, list(row.labels)] = True
    return Examples(stored.clip_ids, hot)


def _activation(task: Task) -> Callable[[np.ndarray], np.ndarray]:
    return sigmoid if task.multi_label else softmax


def _loss(task: Task, training: Training, train: Examples) -> keras.losses.Loss:
    if task.loss == "equalization":
        return EqualizationLoss(train.targets.sum(axis=0).tolist())
    if task.multi_label:
        return keras.losses.BinaryCrossentropy(from_logits=True)
    # Mixed labels are smooth already.
    smoothing = 0.0 if training.strong else training.recipe.label_smoothing
    return keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing)


def _score(task: Task, classes: Sequence[str], logits: np.ndarray, held: Examples) -> float:
    return _metrics(task, classes, _activation(task)(logits), held.targets)[task.headline]


def _metrics(
    task: Task, classes: Sequence[str], probabilities: np.ndarray, hot: np.ndarray
) -> dict[str, float]:
    """All metrics that make sense, the headline among them, and what chance gives."""
    left_out = [index for index, name in enumerate(classes) if name in task.left_out]
    scored = hot[:, [index for index in range(len(classes)) if index not in left_out]]
    found = {
        "map": metrics.mean_average_precision(probabilities, hot, ignore=left_out),
        "chance_map": metrics.chance_average_precision(scored),
    }
    if task.multi_label:
        return found
    labels = hot.argmax(axis=1)
    return {
        "top1": metrics.top_k_accuracy(probabilities, labels),
        "top5": metrics.top_k_accuracy(probabilities, labels, k=5),
        "chance_top1": 1 / len(classes),
        "macro_accuracy": metrics.balanced_accuracy(probabilities, labels),
        **found,
    }
