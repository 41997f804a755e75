"""Spatiotemporal localisation: the actions of people and animals in boxes (Appendix E.1)."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from keras_videoprism.commands.evaluate.adapt import adapt, grid_of, sigmoid
from keras_videoprism.commands.evaluate.encode import Clips, Place, store
from keras_videoprism.commands.evaluate.loaders import Boxed
from keras_videoprism.commands.evaluate.outcome import Outcome
from keras_videoprism.commands.evaluate.protocol import Task
from keras_videoprism.commands.evaluate.training import (
    WEIGHTS,
    Examples,
    Training,
    check_training,
    head_size,
    num_layers,
)
from keras_videoprism.data import RecordSource
from keras_videoprism.data.annotations import KeyFrame
from keras_videoprism.data.annotations.boxes import Corners
from keras_videoprism.data.augment import padded_boxes
from keras_videoprism.data.schema import HEIGHT, WIDTH
from keras_videoprism.evaluation.detection import Boxes, FrameScores, frame_map
from keras_videoprism.heads.action_detector import ActionDetector, ActionLoss
from keras_videoprism.heads.adaptation import AdaptedVideoPrism
from keras_videoprism.models import VideoPrism


class Candidate(NamedTuple):
    """A box to judge: an annotated one with its actions, or one that a detector found."""

    corners: Corners
    score: float = 1.0
    labels: tuple[int, ...] = ()


class Part(NamedTuple):
    """Key frames whose clips could be stored, and the candidates in each."""

    frames: list[KeyFrame]
    candidates: list[list[Candidate]]
    examples: Examples
    excluded: list[dict[str, Any]]


def detect(
    encoder: VideoPrism, task: Task, found: Boxed, place: Place, training: Training
) -> Outcome:
    """Train a detector on annotated boxes, and score it on those to test on; see `classify`.

    A detector's boxes, where the data set has them, are scored by their own score times that of the
    action (spatiotemporal protocol of AVA); else the annotated boxes are.
    """
    with_boxes = [frame for frame in found.train if frame.boxes]
    check_training(training, len(with_boxes))
    number = len(found.classes)
    train = load_part(with_boxes, annotated, place, "train", number)
    in_test = annotated if found.found is None else partial(detected, found.found)
    test = load_part(found.test, in_test, place, "test", number)
    logits, notes = adapt(
        partial(make_detector, encoder, number, place.clips, training),
        train.examples,
        test.examples,
        ActionLoss(),
        training,
        place,
        agreement,
        augmented=False,
    )
    probabilities = sigmoid(logits)
    scores = score(found, test, probabilities)
    shuffled = np.random.default_rng(0).permuted(probabilities, axis=0)
    numbers = {"map": scores.mean, "chance_map": score(found, test, shuffled).mean}
    notes |= _notes(found, scores)
    return Outcome(numbers, len(test.frames), train.excluded + test.excluded, notes=notes)


def make_detector(
    encoder: VideoPrism, num_classes: int, clips: Clips, training: Training
) -> AdaptedVideoPrism:
    """The encoder with a fresh head."""
    head = ActionDetector(
        num_classes,
        grid=grid_of(encoder, clips),
        num_layers=num_layers(encoder, training.method),
        dropout=training.recipe.dropout,
        **head_size(encoder),
    )
    return AdaptedVideoPrism(encoder, head, training.method)


def annotated(frame: KeyFrame) -> list[Candidate]:
    """The boxes of a key frame as people drew them."""
    return [Candidate(box.corners, 1.0, box.labels) for box in frame.boxes]


def detected(found: dict, frame: KeyFrame) -> list[Candidate]:
    """The boxes that a detector found in a key frame."""
    boxes = found.get(key_of(frame), [])
    return [Candidate(corners, score) for corners, score in boxes]


def key_of(frame: KeyFrame) -> tuple[str, float]:
    """How a detector's boxes name a key frame: by video and second."""
    return Path(frame.row.name).stem, frame.time


def load_part(
    frames: Sequence[KeyFrame],
    candidates_of: Callable[[KeyFrame], list[Candidate]],
    place: Place,
    name: str,
    num_classes: int,
) -> Part:
    """Store the clips of key frames; their boxes as the padded frames show them, and actions."""
    stored = store([frame.row for frame in frames], place, name)
    by_id = {frame.row.clip_id: frame for frame in frames}
    frames = [by_id[row.clip_id] for row in stored.rows]
    candidates = [candidates_of(frame) for frame in frames]
    source, shown = RecordSource(place.records / name), place.clips.image_size
    sizes = {clip["clip_id"]: np.array([clip[HEIGHT], clip[WIDTH]]) for clip in source}
    most = max(1, *map(len, candidates))
    boxes = np.zeros((len(frames), most, 4), "float32")
    mask = np.zeros((len(frames), most), bool)
    targets = np.zeros((len(frames), most, num_classes), bool)
    for index, clip_id in enumerate(stored.clip_ids.tolist()):
        for box, ((left, top, right, bottom), _, labels) in enumerate(candidates[index]):
            sides = np.array([top, left, bottom, right])
            boxes[index, box] = padded_boxes(sides, sizes[clip_id], shown)
            mask[index, box] = True
            targets[index, box, list(labels)] = True
    examples = Examples(stored.clip_ids, targets, {"boxes": boxes, WEIGHTS: mask})
    return Part(frames, candidates, examples, stored.excluded)


def agreement(logits: np.ndarray, held: Examples) -> float:
    """Minus the cross-entropy of all boxes: chooses a learning rate without matching boxes."""
    entropy = np.logaddexp(0.0, logits) - logits * held.targets
    return -float(entropy[held.others[WEIGHTS]].mean())


def score(found: Boxed, test: Part, probabilities: np.ndarray) -> FrameScores:
    """Frame mAP of all candidates; probabilities [n, N, C]."""
    keys = [(frame.row.name, frame.time) for frame in test.frames]
    truth = [
        (key, box.corners, label)
        for key, frame in zip(keys, test.frames, strict=True)
        for box in frame.boxes
        for label in box.labels
    ]
    detections = [
        (key, candidate.corners, label, candidate.score * probabilities[index, box, label])
        for index, key in enumerate(keys)
        for box, candidate in enumerate(test.candidates[index])
        for label in found.scored
    ]
    return frame_map(_columns(truth), _columns(detections), found.scored)


def _columns(entries: list[tuple]) -> Boxes:
    columns: list[Any] = [*zip(*entries, strict=True)] if entries else [(), (), (), ()]
    columns[1] = np.array(columns[1], float).reshape(-1, 4)
    return Boxes(*columns)


def _notes(found: Boxed, scores: FrameScores) -> dict[str, Any]:
    notes: dict[str, Any] = {
        f"average precision of {found.classes[index]}": round(value, 4)
        for index, value in scores.average_precisions.items()
    }
    notes["boxes"] = "annotated"
    if found.found is not None:
        elsewhere = len(found.found.keys() - {key_of(frame) for frame in found.test})
        notes["boxes"] = f"a detector's; of {elsewhere} frames that are not scored"
    return notes | {
        "key frames to train on without a box": sum(not frame.boxes for frame in found.train),
        "classes without a truth": [found.classes[index] for index in scores.without_truth],
        "not counted": scores.excluded,
    }
