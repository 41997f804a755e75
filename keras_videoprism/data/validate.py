"""Every record of a folder against the schema, with what a training run would stumble over."""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError

from keras_videoprism.data import schema
from keras_videoprism.data.index import open_records

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
    ids: Counter[int] = Counter()
    anomalies: list[Anomaly] = []
    values: dict[str, list[float]] = {"frames": [], "height": [], "width": [], "captions": []}
    done = 0
    for shard in index.files:
        name, number = Path(shard).name, 0
        try:
            for number, record in enumerate(tf.data.TFRecordDataset(shard).as_numpy_iterator()):
                clip = _features(record)
                file = b"".join(clip[schema.FILE].bytes_list.value).decode(errors="replace")
                reasons = list(_problems(record, num_classes, require_caption))
                ids.update(clip[schema.CLIP_ID].int64_list.value)
                if ids[next(iter(clip[schema.CLIP_ID].int64_list.value), 0)] > 1:
                    reasons.append("its clip id occurs twice")
                anomalies += [Anomaly(name, number, file, reason) for reason in reasons]
                if not reasons:
                    values["frames"].append(len(clip[schema.FRAMES].bytes_list.value))
                    values["captions"].append(len(clip[schema.CAPTIONS].bytes_list.value))
                    for size in (schema.HEIGHT, schema.WIDTH):
                        values[size].append(clip[size].int64_list.value[0])
                done += 1
                if progress is not None:
                    progress(done, len(index.offsets))
        except tf.errors.DataLossError:
            reason = "wrong checksum; the rest of the shard was not read"
            anomalies.append(Anomaly(name, number + 1, "", reason))
    statistics = {
        key: {"min": min(of), "mean": float(np.mean(of)), "max": max(of)}
        for key, of in values.items()
        if of
    }
    return Validation(len(index.offsets), anomalies, statistics)


def _features(record: bytes) -> Any:
    """The features of a record; none where it is not a `tf.train.Example`."""
    try:
        return tf.train.Example.FromString(record).features.feature
    except DecodeError:
        return tf.train.Example().features.feature


def _problems(record: bytes, num_classes: int | None, require_caption: bool) -> Iterator[str]:
    """What is wrong with a record."""
    try:
        schema.check_record(record)
        clip = {name: value.numpy() for name, value in schema.parse_clip(record).items()}
    except (ValueError, tf.errors.InvalidArgumentError) as error:
        yield str(error).splitlines()[0]
        return
    if (np.diff(clip[schema.TIMESTAMPS]) <= 0).any() or clip[schema.TIMESTAMPS][0] < 0:
        yield "timestamps do not ascend from 0"
    size = (int(clip[schema.HEIGHT]), int(clip[schema.WIDTH]), 3)
    for number, image in enumerate(clip[schema.FRAMES]):
        try:
            shape = tuple(tf.io.extract_jpeg_shape(image).numpy().tolist())
        except tf.errors.InvalidArgumentError:
            yield f"frame {number} is no JPEG image"
            break
        if shape != size:
            yield f"frame {number} is {shape}, the record says {size}"
            break
    yield from _text_problems(clip[schema.CAPTIONS], require_caption)
    labels = clip[schema.LABELS]
    if (labels < 0).any() or (num_classes is not None and (labels >= num_classes).any()):
        yield f"labels {labels.tolist()} are not all in 0 to {(num_classes or 0) - 1}"
    if len(set(labels.tolist())) < len(labels):
        yield f"labels {labels.tolist()} repeat"


def _text_problems(captions: np.ndarray, require_caption: bool) -> Iterator[str]:
    if require_caption and not len(captions):
        yield "no caption"
    for caption in captions:
        try:
            text = caption.decode()
        except UnicodeDecodeError:
            yield "a caption is not UTF-8"
            continue
        if not text.strip():
            yield "a caption is empty"
        if len(text) > MAX_CAPTION:
            yield f"a caption has {len(text)} characters"
