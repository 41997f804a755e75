"""Every record of a folder against the schema, with what a training run would stumble over."""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from posixpath import basename
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError

from keras_videoprism.data import schema
from keras_videoprism.data.example import Example
from keras_videoprism.data.index import open_records
from keras_videoprism.data.tfrecord import read_record

MAX_CAPTION = 10_000  # characters


class Anomaly(NamedTuple):
    """A record that is wrong: its shard, its number there, the clip's file, and why."""

    shard: str
    record: int
    file: str
    reason: str


class Validation(NamedTuple):
    """Number of records, what is wrong, and statistics over the others."""

    num_records: int
    anomalies: list[Anomaly]
    statistics: dict[str, dict[str, float]]


def validate_records(
    folder: str | os.PathLike[str],
    num_classes: int | None = None,
    require_caption: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Validation:
    """Check every record: checksums, schema, frames, times, texts, labels, ids.

    The corpus as a whole, and how it differs from others, is the matter of `anomalies`.

    Args:
        folder: a record folder.
        num_classes: labels must lie below it.
        require_caption: a clip without one is wrong.
        progress: called with (records done, records in all).

    Raises:
        ValueError: the folder itself is wrong (see `open_records`).
    """
    index = open_records(folder)
    num_records = len(index.offsets)
    ids: Counter[int] = Counter()
    anomalies: list[Anomaly] = []
    values: dict[str, list[float]] = {"frames": [], "height": [], "width": [], "captions": []}
    for position in range(num_records):
        file, clip_id = "", None
        reasons: list[str] = []
        try:
            record = read_record(*index.place(position))
            file, clip_id = _file_and_id(record)
            clip = schema.parse_record(record)
            reasons += _problems(clip, num_classes, require_caption)
        except ValueError as error:
            reasons.append(str(error))
        if clip_id is not None:
            ids[clip_id] += 1
            reasons += ["its clip id occurs twice"] * (ids[clip_id] > 1)
        shard = index.shard_ids[position]
        number = position - int(np.searchsorted(index.shard_ids, shard))
        name = basename(index.files[shard])
        anomalies += [Anomaly(name, number, file, reason) for reason in reasons]
        if not reasons:
            values["frames"].append(len(clip[schema.FRAMES]))
            values["captions"].append(len(clip[schema.CAPTIONS]))
            values["height"].append(clip[schema.HEIGHT])
            values["width"].append(clip[schema.WIDTH])
        if progress is not None:
            progress(position + 1, num_records)
    statistics = {
        key: {"min": min(of), "mean": float(np.mean(of)), "max": max(of)}
        for key, of in values.items()
        if of
    }
    return Validation(num_records, anomalies, statistics)


def _file_and_id(record: bytes) -> tuple[str, int | None]:
    """What can be told of a record, also of a wrong one: its file, and its clip id."""
    try:
        features = Example.FromString(record).features.feature
    except DecodeError:
        return "", None
    file = b"".join(features[schema.FILE].bytes_list.value).decode(errors="replace")
    return file, next(iter(features[schema.CLIP_ID].int64_list.value), None)


def _problems(
    clip: dict[str, Any], num_classes: int | None, require_caption: bool
) -> Iterator[str]:
    """What is wrong with a clip."""
    if (np.diff(clip[schema.TIMESTAMPS]) <= 0).any() or clip[schema.TIMESTAMPS][0] < 0:
        yield "timestamps do not ascend from 0"
    size = (clip[schema.HEIGHT], clip[schema.WIDTH], 3)
    for number, image in enumerate(clip[schema.FRAMES]):
        try:
            shape = tuple(tf.io.extract_jpeg_shape(image).numpy().tolist())
        except tf.errors.InvalidArgumentError:
            yield f"frame {number} is no JPEG image"
            break
        if shape != size:
            yield f"frame {number} is {shape}, the record says {size}"
            break
    if require_caption and not clip[schema.CAPTIONS]:
        yield "no caption"
    yield from _text_problems("caption", clip[schema.CAPTIONS])
    prompts = [prompt for prompt in clip[schema.PROMPTS] if prompt]  # "" says: none
    yield from _text_problems("prompt", prompts)
    labels = clip[schema.LABELS]
    if labels and min(labels) < 0:
        yield f"labels {labels} are not all 0 or more"
    elif num_classes is not None and labels and max(labels) >= num_classes:
        yield f"labels {labels} are not all in 0 to {num_classes - 1}"
    if len(set(labels)) < len(labels):
        yield f"labels {labels} repeat"


def _text_problems(name: str, texts: list[bytes]) -> Iterator[str]:
    for encoded in texts:
        try:
            text = encoded.decode()
        except UnicodeDecodeError:
            yield f"a {name} is not UTF-8"
            continue
        if not text.strip():
            yield f"a {name} is empty"
        if len(text) > MAX_CAPTION:
            yield f"a {name} has {len(text)} characters"
