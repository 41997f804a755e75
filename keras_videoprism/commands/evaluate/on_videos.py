"""Heads trained on videos, together with the encoder or through it."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_videoprism.commands.evaluate.cached import PREDICT_CLIPS
from keras_videoprism.commands.evaluate.encode import Clips
from keras_videoprism.commands.evaluate.training import WEIGHTS, Examples, Training, optimizer
from keras_videoprism.commands.features import predict
from keras_videoprism.data import read_records
from keras_videoprism.data.mixup import mixup_cutmix
from keras_videoprism.heads.adaptation import AdaptedVideoPrism


def train_on_videos(
    model: AdaptedVideoPrism,
    records: Path,
    examples: Examples,
    clips: Clips,
    loss: keras.losses.Loss,
    training: Training,
    *,
    augmented: bool = True,
    mixed: bool = False,
) -> None:
    """Train the adapted model through its encoder; `mixed` clips have one class each."""
    batch_size = min(training.recipe.batch_size, len(examples.clip_ids))
    steps = len(examples.clip_ids) // batch_size
    how = {"augmented": augmented, "mixed": mixed}
    batches = video_batches(records, examples, clips, batch_size, training, **how)
    epochs, pair = training.recipe.epochs, training.pairs[0]
    model.compile(optimizer(model.encoder, training, epochs * steps, *pair), loss=loss)
    model.fit(batches, epochs=epochs, steps_per_epoch=steps, verbose=2)


def predict_videos(
    model: AdaptedVideoPrism, records: Path, examples: Examples, clips: Clips
) -> np.ndarray:
    """Logits of all clips in the order of `examples`; see `predict_cached`."""
    batches = read_records(
        records,
        batch_size=max(PREDICT_CLIPS // clips.num_views, 1),
        drop_remainder=False,
        **clips.reading,
    )
    logits, ids = [], []
    for batch in batches.as_numpy_iterator():
        rows = np.searchsorted(examples.clip_ids, batch["clip_id"])
        inputs = {"videos": batch["videos"], **examples.take(rows).others}
        logits.append(predict(model, inputs, clips.views is not None))
        ids.append(rows)
    return np.concatenate(logits)[np.argsort(np.concatenate(ids))]


def video_batches(
    records: Path,
    examples: Examples,
    clips: Clips,
    batch_size: int,
    training: Training,
    *,
    augmented: bool,
    mixed: bool,
) -> tf.data.Dataset:
    """Endless batches of videos and targets."""
    recipe = training.recipe
    augment = ("strong" if training.strong else recipe.augment) if augmented else None
    batches = read_records(
        records,
        batch_size=batch_size,
        num_frames=clips.num_frames,
        image_size=clips.image_size,
        sampling=recipe.train_sampling,
        augment=augment or False,
        flip=recipe.flip and augmented,
        shuffle=True,
        repeat=True,
        seed=training.seed,
        whole=clips.whole,
    )
    ids, targets = tf.constant(examples.clip_ids), tf.constant(examples.targets, tf.float32)

    def learn(step: Any, batch: dict[str, Any]) -> tuple:
        rows = tf.searchsorted(ids, batch["clip_id"])
        videos, labels = batch["videos"], tf.gather(targets, rows)
        if mixed:
            return _mixed(videos, labels, step, training)
        others = {name: tf.gather(array, rows) for name, array in examples.others.items()}
        weights = (tf.cast(others[WEIGHTS], tf.float32),) if others else ()
        return {"videos": videos, **others}, labels, *weights

    return batches.enumerate().map(learn)


def _mixed(videos: Any, hot: Any, step: Any, training: Training) -> tuple:
    """Clips blended by mixup and cutmix, and how much of each class is in them."""
    batch = {"videos": videos, "labels": tf.argmax(hot, axis=-1, output_type=tf.int32)}
    smoothing = training.recipe.label_smoothing
    mixed = mixup_cutmix(
        batch, hot.shape[-1], seed=training.seed, step=step, label_smoothing=smoothing
    )
    return {"videos": mixed["videos"]}, mixed["labels"]
