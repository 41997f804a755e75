"""One course for all adaptations: train on one part of the clips, judge those of the other."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_videoprism.commands.evaluate.cached import cache, predict_cached, train_cached
from keras_videoprism.commands.evaluate.encode import Clips, Place
from keras_videoprism.commands.evaluate.on_videos import predict_videos, train_on_videos
from keras_videoprism.commands.evaluate.training import Examples, Score, Training
from keras_videoprism.heads.adaptation import AdaptedVideoPrism
from keras_videoprism.heads.flops import trainable_flops, trainable_parameters
from keras_videoprism.models import VideoPrism


def adapt(
    make: Callable[[], AdaptedVideoPrism],
    train: Examples,
    test: Examples,
    loss: keras.losses.Loss,
    training: Training,
    place: Place,
    score: Score,
    *,
    augmented: bool = True,
    mixed: bool = False,
) -> tuple[np.ndarray, dict[str, Any]]:
    """Train a head, or more, on the records of one part, and let it judge those of the other.

    Args:
        make: gives the encoder with a fresh head.
        train, test: of the parts "train" and "test" of the place. Clips to train on have one view.
        loss: of targets and logits.
        training: how.
        place: of records and features.
        score: chooses among several learning rates.
        augmented, mixed: of training on videos, see `video_batches`.

    Returns:
        The logits of the clips to test on, see `predict_cached`; and notes.
    """
    keras.utils.set_random_seed(training.seed)
    model, one_view = make(), place.clips._replace(views=None)
    notes = costs(model, one_view)
    if not training.cached:
        records, how = place.records / "train", {"augmented": augmented, "mixed": mixed}
        train_on_videos(model, records, train, one_view, loss, training, **how)
        return predict_videos(model, place.records / "test", test, place.clips), notes
    known = cache(model, place, "train", one_view, training.cache_dtype)
    unseen = cache(model, place, "test", place.clips, training.cache_dtype)
    head, pair, tried = train_cached(make, known, train, loss, training, score)
    if tried:
        notes |= {"tried": tried, "chosen": pair}
    return predict_cached(head, unseen, test), notes


def costs(model: AdaptedVideoPrism, clips: Clips) -> dict[str, Any]:
    """What trains, in parameters and operations."""
    operations = trainable_flops(model, grid_of(model.encoder, clips))
    return {
        "trainable parameters": trainable_parameters(model),
        "trainable GFLOPs": round(operations / 1e9, 4),
    }


def grid_of(encoder: VideoPrism, clips: Clips) -> tuple[int, int, int]:
    """Frames, rows and columns of clips, in patches."""
    return encoder.encoder.grid(np.empty((1, clips.num_frames, *clips.image_size, 3), "uint8"))


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Probabilities of several classes each."""
    return 1.0 / (1.0 + np.exp(-np.clip(logits, -80.0, 80.0)))
