"""A record folder opened for reading: where each record starts, and what the clips have.

Everything that can be wrong with a folder is found here, before training starts.
"""

import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from keras_videoprism.data.remote import exists, join, known_to_tensorflow, read_text, size
from keras_videoprism.data.schema import SCHEMA_VERSION, check_record
from keras_videoprism.data.tfrecord import NUM_READS, read_record, record_sizes

SUMMARY_FILE = "dataset.json"

_COUNTS = ("num_captioned", "num_labelled", "max_labels_per_clip", "num_classes")


class RecordIndex(NamedTuple):
    """Position of each of n records, and counts over all of them.

    `files`: paths of the shards; `shard_ids`, `offsets`, `sizes`: int64 [n], shard of a record,
    byte where it starts in it, and its bytes there; `num_captioned`, `num_labelled`: clips with
    at least one caption or label; `max_labels_per_clip`; `num_classes`: largest label + 1.
    """

    files: list[str]
    shard_ids: np.ndarray
    offsets: np.ndarray
    sizes: np.ndarray
    num_captioned: int
    num_labelled: int
    max_labels_per_clip: int
    num_classes: int


def open_records(folders: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> RecordIndex:
    """Indexes one or several record folders as one data set.

    Args:
        folders: folders made by `write_records`.

    Raises:
        ValueError: not a finished record folder, another schema version, a missing or truncated
            shard, or a count that differs from `dataset.json`.
        OSError: a remote folder cannot be reached.
    """
    if isinstance(folders, str | os.PathLike):
        folders = [folders]
    summaries = [(folder, _read_summary(folder)) for folder in folders]
    if not summaries:
        raise ValueError("no record folder was given")
    shards = [
        (join(folder, shard["file"]), shard)
        for folder, summary in summaries
        for shard in summary["shards"]
    ]
    with ThreadPoolExecutor(NUM_READS) as pool:  # a remote shard answers late, not slowly
        sizes = list(pool.map(lambda shard: _checked_sizes(*shard), shards))
    return RecordIndex(
        files=[path for path, _ in shards],
        shard_ids=np.repeat(np.arange(len(shards)), [len(part) for part in sizes]),
        offsets=np.concatenate([np.cumsum(part) - part for part in sizes]),
        sizes=np.concatenate(sizes),
        num_captioned=sum(summary["num_captioned"] for _, summary in summaries),
        num_labelled=sum(summary["num_labelled"] for _, summary in summaries),
        max_labels_per_clip=max(summary["max_labels_per_clip"] for _, summary in summaries),
        num_classes=max(summary["num_classes"] for _, summary in summaries),
    )


def _read_summary(folder: str | os.PathLike[str]) -> dict[str, Any]:
    path = join(folder, SUMMARY_FILE)
    if not exists(path):
        raise ValueError(
            f"{folder}: not a finished record folder, {SUMMARY_FILE} is missing; "
            "make it with `write_records`"
        )
    try:
        summary = json.loads(read_text(path))
        version = summary["schema_version"]
        if version == SCHEMA_VERSION:
            _check_summary(summary)
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{path}: not a data set summary: {error!r}") from error
    if version != SCHEMA_VERSION:
        raise ValueError(
            f"{path}: schema version {version}, this package reads version {SCHEMA_VERSION}; "
            "write the records again with `write_records`"
        )
    return summary


def _check_summary(summary: dict[str, Any]) -> None:
    """Fails where a value that `open_records` uses is missing or senseless."""
    shards = summary["shards"]
    counts = [summary[key] for key in _COUNTS] + [shard["num_clips"] for shard in shards]
    sizes = [size for shard in shards for size in shard.get("record_sizes", ())]
    if min(counts + sizes) < 0:
        raise ValueError("a negative count")
    outside = [shard["file"] for shard in shards if shard["file"] != Path(shard["file"]).name]
    if not shards or outside:
        raise ValueError(f"shards must be files of the same folder, received {outside}")


def _checked_sizes(path: str, shard: dict[str, Any]) -> np.ndarray:
    """Bytes of each record of a shard whose size, count and first record are right."""
    try:
        num_bytes = size(path)
    except FileNotFoundError as error:
        raise ValueError(f"{path}: the shard is missing") from error
    sizes = np.array(shard.get("record_sizes") or record_sizes(path), np.int64)
    if sizes.sum() != num_bytes:
        raise ValueError(f"{path}: {num_bytes} bytes, {SUMMARY_FILE} says {sizes.sum()}")
    if len(sizes) != shard["num_clips"]:
        raise ValueError(f"{path}: {len(sizes)} records, {SUMMARY_FILE} says {shard['num_clips']}")
    try:
        for length in sizes[:1].tolist():
            check_record(_first_record(path, length))
    except tf.errors.DataLossError as error:
        raise ValueError(f"{path}: the first record is damaged (wrong checksum)") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return sizes


def _first_record(path: str, length: int) -> bytes:
    if known_to_tensorflow(path):
        return next(tf.data.TFRecordDataset(path).as_numpy_iterator())
    return read_record(path, 0, length)
