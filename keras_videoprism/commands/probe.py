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
from keras_videoprism.models import VideoClassifier


class Features(NamedTuple):
    """tokens: float32 [n, S, D]; labels: int32 [n] or float32 [n, C]."""

    tokens: np.ndarray
    labels: np.ndarray


def extract(encoder: keras.Model, batches: tf.data.Dataset) -> Features:
    """Tokens of all clips, computed once."""
    tokens, labels = [], []
    predict = keras.Sequential([encoder])
    compile_forward(predict)
    for batch in batches:
        tokens.append(predict.predict_on_batch(batch["videos"].numpy()))
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


def probe(
    encoder: keras.Model,
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

    def features(records: str | Path | Sequence[str | Path]) -> Features:
        batches = read_records(
            records,
            batch_size=batch_size,
            num_frames=num_frames or encoder.position_shape[0],
            image_size=image_size or encoder.image_size,
            num_classes=num_classes if multi_label else None,
            drop_remainder=False,
        )
        return extract(encoder, batches)

    return probe_features(
        features(train_records),
        features(test_records),
        num_classes=num_classes,
        num_heads=encoder.num_heads,
        epochs=epochs,
        seed=seed,
    )
