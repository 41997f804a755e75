"""Frozen probes: what can be read from an encoder that does not change (section 3.1)."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from keras_videoprism.commands.embed import compile_forward
from keras_videoprism.data import read_records
from keras_videoprism.evaluation.metrics import mean_average_precision, top_k_accuracy
from keras_videoprism.models import VideoClassifier, VideoPrism


class Features(NamedTuple):
    """tokens: float32 [n, S, D]; labels: int32 [n] or float32 [n, C]."""

    tokens: np.ndarray
    labels: np.ndarray


def forward_of(encoder: keras.Model) -> keras.Model:
    """The encoder as a model that is compiled to predict; it shares the encoder's weights."""
    forward = keras.Sequential([encoder])
    compile_forward(forward)
    return forward


def extract(forward: keras.Model, batches: tf.data.Dataset) -> Features:
    """Tokens of all clips, computed once; `forward` is a result of `forward_of`.

    Raises:
        ValueError: the clips have no labels.
    """
    if "labels" not in batches.element_spec:
        raise ValueError("a probe needs labels; these records have not one for each clip.")
    tokens, labels = [], []
    for batch in batches:
        tokens.append(forward.predict_on_batch(batch["videos"].numpy()))
        labels.append(batch["labels"].numpy())
    return Features(np.concatenate(tokens), np.concatenate(labels))


def probe_features(
    train: Features,
    test: Features,
    num_classes: int,
    num_heads: int,
    epochs: int = 30,
    batch_size: int = 64,
    learning_rate: float = 1e-3,
    seed: int = 0,
    verbose: int | str = "auto",
) -> float:
    """Train a MAP head and a linear classifier on `train`; returns the score on `test`.

    The score is top-1 accuracy for class ids, mean average precision for multi-hot labels.
    """
    for features in (train, test):
        _check_labels(features.labels, num_classes)
    keras.utils.set_random_seed(seed)
    multi_label = train.labels.ndim == 2
    head = VideoClassifier(None, num_classes, num_heads=num_heads)
    steps = epochs * max(len(train.tokens) // batch_size, 1)
    schedule = keras.optimizers.schedules.CosineDecay(learning_rate, steps)
    loss = (
        keras.losses.BinaryCrossentropy(from_logits=True)
        if multi_label
        else keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    head.compile(keras.optimizers.AdamW(schedule, weight_decay=1e-4), loss=loss)
    head.fit(*train, batch_size=batch_size, epochs=epochs, verbose=verbose)
    logits = head.predict(test.tokens, batch_size=batch_size, verbose=0)
    if multi_label:
        return mean_average_precision(logits, test.labels)
    return top_k_accuracy(logits, test.labels)


def _check_labels(labels: np.ndarray, num_classes: int) -> None:
    """Keras would train on other ids without a word, towards NaN."""
    found = (0, labels.shape[1] - 1) if labels.ndim == 2 else (labels.min(), labels.max())
    if found[0] < 0 or found[1] >= num_classes:
        raise ValueError(
            f"labels must be in [0, {num_classes}); received {found[0]} to {found[1]}. Give the "
            "number of classes that the records have."
        )


def labelled(
    encoder: VideoPrism,
    records: str | Path | Sequence[str | Path],
    num_classes: int | None,
    batch_size: int = 32,
    num_frames: int | None = None,
    image_size: tuple[int, int] | None = None,
) -> tf.data.Dataset:
    """All clips of record folders in order, native to the encoder unless told otherwise.

    `num_classes` gives multi-hot labels, None class ids.
    """
    return read_records(
        records,
        batch_size=batch_size,
        num_frames=num_frames or encoder.position_shape[0],
        image_size=image_size or encoder.image_size,
        num_classes=num_classes,
        drop_remainder=False,
    )


def probe(
    encoder: VideoPrism,
    train_records: str | Path | Sequence[str | Path],
    test_records: str | Path | Sequence[str | Path],
    num_classes: int,
    multi_label: bool = False,
    batch_size: int = 32,
    num_frames: int | None = None,
    image_size: tuple[int, int] | None = None,
    epochs: int = 30,
    seed: int = 0,
) -> float:
    """Score of a frozen `VideoPrism` on labelled records; see `probe_features`."""

    forward = forward_of(encoder)
    train, test = (
        extract(
            forward,
            labelled(
                encoder,
                records,
                num_classes if multi_label else None,
                batch_size=batch_size,
                num_frames=num_frames,
                image_size=image_size,
            ),
        )
        for records in (train_records, test_records)
    )
    return probe_features(
        train,
        test,
        num_classes=num_classes,
        num_heads=encoder.num_heads,
        epochs=epochs,
        seed=seed,
    )
