"""Temporal localisation: when actions begin and end in long videos, by G-TAD (Appendix E.1)."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_videoprism.commands.classify import softmax
from keras_videoprism.commands.evaluate.encode import (
    FrozenModel,
    Place,
    encode,
    store,
    summarize,
)
from keras_videoprism.commands.evaluate.loaders import Segmented
from keras_videoprism.commands.evaluate.outcome import Outcome
from keras_videoprism.commands.evaluate.protocol import Recipe, Task
from keras_videoprism.commands.evaluate.training import (
    FROZEN,
    Training,
    check_training,
    head_size,
    num_layers,
    optimizer,
    schedule,
)
from keras_videoprism.data.annotations import SegmentedVideo, window_clips
from keras_videoprism.evaluation.temporal import Segments, TemporalScores, temporal_map
from keras_videoprism.heads.adaptation import last_layers
from keras_videoprism.heads.classifier import AttentionClassifier
from keras_videoprism.heads.temporal_decoding import decode
from keras_videoprism.heads.temporal_detector import TemporalDetector
from keras_videoprism.heads.temporal_resize import resize_features
from keras_videoprism.heads.temporal_targets import segment_targets
from keras_videoprism.models import VideoPrism


class Part(NamedTuple):
    """Videos that could be read, and their features at one number of steps, [n, L, C]."""

    videos: list[SegmentedVideo]
    features: np.ndarray
    excluded: list[dict[str, Any]]


def localise(
    encoder: VideoPrism, task: Task, found: Segmented, place: Place, training: Training
) -> Outcome:
    """Train G-TAD on features of windows, and a classifier of whole videos on the same features.

    The detector finds segments; the two most likely classes of the video name them. The paper's
    baselines take these from an external classifier of ActivityNet; here it is our own, of the
    same frozen features. See `classify` for the arguments.
    """
    _check(task, training, len(found.train))
    train, test = (
        load_part(encoder, videos, place, part, training)
        for part, videos in (("train", found.train), ("test", found.test))
    )
    train, test = _standardise(train, test)
    keras.utils.set_random_seed(training.seed)
    probabilities = _classify(train, test, len(found.classes), encoder, training)
    outputs = _detect(train, test, training)
    others = _shuffled(outputs)
    durations = [video.duration for video in test.videos]
    detections = decode(outputs, durations, probabilities)
    scores = score(test.videos, detections)
    chance = score(test.videos, decode(others, durations, probabilities))
    # Of the segments alone, whatever the action.
    anything = [_without_class(video) for video in test.videos]
    one_class = np.ones((len(anything), 1))
    numbers = {
        "map": scores.mean,
        **{f"map_at_{threshold}": value for threshold, value in scores.at_threshold.items()},
        "chance_map": chance.mean,
        "map_of_any_class": score(anything, decode(outputs, durations, one_class)).mean,
        "chance_map_of_any_class": score(anything, decode(others, durations, one_class)).mean,
        "video_top1": _top1(test.videos, probabilities),
    }
    notes = {
        "detections": len(detections["scores"]),
        "classes without a prediction": [found.classes[c] for c in scores.without_predictions],
        "not counted": scores.excluded,
    }
    return Outcome(numbers, len(test.videos), train.excluded + test.excluded, notes=notes)


def _check(task: Task, training: Training, num_videos: int) -> None:
    if training.method not in FROZEN or not training.cached:
        raise ValueError(
            f"{task.title}: long videos are encoded once; the method must be one of {FROZEN}, on "
            f"cached features, received {training.method!r}"
        )
    if len(training.pairs) > 1:
        raise ValueError(f"{task.title}: give one learning rate and one weight decay")
    check_training(training, num_videos)


def load_part(
    encoder: VideoPrism,
    videos: Sequence[SegmentedVideo],
    place: Place,
    part: str,
    training: Training,
) -> Part:
    """Store the windows of videos and encode them; a video counts if all of them can be read.

    The last one may be missing: annotated lengths of some videos reach beyond their last frame.
    """
    recipe = training.recipe
    windows = [window_clips(video, recipe.window, recipe.window_step) for video in videos]
    stored = store([row for rows in windows for row in rows], place, part)
    pooled = pooled_features(encoder, training.method)
    folder = place.features / f"{part}-{pooled.name}"
    cache = encode(pooled, place.records / part, folder, place.clips, training.cache_dtype)
    readable = {row.clip_id for row in stored.rows}
    kept, failed, features = [], [], []
    for video, rows in zip(videos, windows, strict=True):
        ids = [row.clip_id for row in rows if row.clip_id in readable]
        if not ids or [row.clip_id for row in rows[: len(ids)]] != ids or len(ids) < len(rows) - 1:
            failed.append(("a window cannot be read", video.row.name))
            continue
        kept.append(video)
        values = cache.of(np.array(ids, np.int64)).astype("float32")
        features.append(resize_features(values, recipe.temporal_scale))
    if not kept:
        raise ValueError(f"{part}: no video whose windows can be read; the first are {failed[:5]}")
    return Part(kept, np.stack(features), summarize(failed))


def _standardise(train: Part, test: Part) -> tuple[Part, Part]:
    """Features of mean 0 and deviation 1 over the videos to train on."""
    mean, deviation = (f(train.features, axis=(0, 1)) for f in (np.mean, np.std))
    scale = np.maximum(deviation, 1e-6)
    train, test = (part._replace(features=(part.features - mean) / scale) for part in (train, test))
    return train, test


def pooled_features(encoder: VideoPrism, method: str) -> FrozenModel:
    """One vector of a window: the mean of its tokens, or with MLAP of those of the last layers."""
    layers = num_layers(encoder, method)
    width = layers * encoder.hidden_dim

    def mean(videos: Any) -> Any:
        return ops.mean(encoder(videos), axis=1)

    def side_by_side(videos: Any) -> Any:
        return ops.reshape(ops.mean(last_layers(encoder, videos, layers), axis=2), (-1, width))

    if method == "frozen":
        return FrozenModel(encoder, mean, (width,), "mean")
    return FrozenModel(encoder, side_by_side, (width,), f"means_{layers}")


def _classify(
    train: Part, test: Part, num_classes: int, encoder: VideoPrism, training: Training
) -> np.ndarray:
    """Probabilities [n, C] of the classes of the whole videos to test on."""
    recipe = training.recipe
    targets = np.zeros((len(train.videos), num_classes), "float32")
    for index, video in enumerate(train.videos):
        targets[index, [label for *_, label in video.segments]] = 1.0
    known = targets.any(axis=1)
    targets /= np.maximum(targets.sum(axis=1, keepdims=True), 1.0)
    head = AttentionClassifier(num_classes, dropout=recipe.dropout, **head_size(encoder))
    model = keras.Sequential([head])
    steps, (_, decay) = _steps(int(known.sum()), recipe), training.pairs[0]
    model.compile(
        optimizer(encoder, training, steps, recipe.classifier_rate, decay),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True),
    )
    sizes = {"epochs": recipe.epochs, "batch_size": recipe.batch_size}
    model.fit(train.features[known], targets[known], verbose=2, **sizes)
    return softmax(np.asarray(model.predict(test.features, recipe.batch_size, verbose=0)))


def _detect(train: Part, test: Part, training: Training) -> dict[str, np.ndarray]:
    """Outputs of G-TAD for the videos to test on."""
    recipe = training.recipe
    targets = [
        segment_targets(
            [segment[:2] for segment in video.segments], video.duration, recipe.temporal_scale
        )
        for video in train.videos
    ]
    batch = {name: np.stack([target[name] for target in targets]) for name in targets[0]}
    sizes = {"temporal_scale": recipe.temporal_scale, "hidden_dim": recipe.detector_dim}
    detector = TemporalDetector(train.features.shape[-1], seed=training.seed, **sizes)
    rate, decay = training.pairs[0]
    rates = schedule(recipe, _steps(len(train.videos), recipe), rate)
    detector.compile(keras.optimizers.AdamW(rates, weight_decay=decay))
    detector.fit(
        {"features": train.features, **batch},
        epochs=recipe.epochs,
        batch_size=recipe.batch_size,
        verbose=2,
    )
    return detector.predict(test.features, batch_size=recipe.batch_size, verbose=0)


def _steps(num_videos: int, recipe: Recipe) -> int:
    return recipe.epochs * -(-num_videos // recipe.batch_size)


def _top1(videos: Sequence[SegmentedVideo], probabilities: np.ndarray) -> float:
    """Share of videos whose most likely class is one of theirs."""
    labels = [{label for *_, label in video.segments} for video in videos]
    best = probabilities.argmax(axis=1)
    return float(np.mean([int(c) in known for c, known in zip(best, labels, strict=True)]))


def _without_class(video: SegmentedVideo) -> SegmentedVideo:
    return video._replace(segments=tuple((start, end, 0) for start, end, _ in video.segments))


def _shuffled(outputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Outputs of other videos: what a detector finds that knows where actions usually are."""
    order = np.roll(np.arange(len(outputs["start"])), 1)
    return {name: array[order] for name, array in outputs.items()}


def score(videos: Sequence[SegmentedVideo], detections: dict[str, np.ndarray]) -> TemporalScores:
    rows = [(index, *segment) for index, video in enumerate(videos) for segment in video.segments]
    truth = Segments(
        [row[0] for row in rows],
        np.array([row[1:3] for row in rows], float).reshape(-1, 2),
        np.array([row[3] for row in rows], int),
    )
    videos_found = detections["videos"].tolist()
    found = (detections[name] for name in ("segments", "classes", "scores"))
    return temporal_map(truth, Segments(videos_found, *found))
