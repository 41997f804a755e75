"""A record folder opened for reading: where each record starts, and what the clips have.

Everything that can be wrong with a folder is found here, before training starts.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from keras_videoprism.data.schema import SCHEMA_VERSION, check_record

SUMMARY_FILE = "dataset.json"

_COUNTS = ("num_captioned", "num_labelled", "max_labels_per_clip", "num_classes")


class RecordIndex(NamedTuple):
    """Position of each of n records, and counts over all of them.

    `files`: paths of the shards; `shard_ids`, `offsets`: int64 [n], shard of a record and byte
    where it starts in it; `num_captioned`, `num_labelled`: clips with at least one caption or
    label; `max_labels_per_clip`; `num_classes`: largest label + 1.
    """

    files: list[str]
    shard_ids: np.ndarray
    offsets: np.ndarray
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
    """
    if isinstance(folders, str | os.PathLike):
        folders = [folders]
    summaries = [(Path(folder), _read_summary(Path(folder))) for folder in folders]
    if not summaries:
        raise ValueError("no record folder was given")
    shards = [
        (folder / shard["file"], shard["num_clips"])
        for folder, summary in summaries
        for shard in summary["shards"]
    ]
    offsets = [_checked_offsets(path, count) for path, count in shards]
    return RecordIndex(
        files=[str(path) for path, _ in shards],
        shard_ids=np.repeat(np.arange(len(shards)), [count for _, count in shards]),
        offsets=np.concatenate(offsets).astype(np.int64),
        num_captioned=sum(summary["num_captioned"] for _, summary in summaries),
        num_labelled=sum(summary["num_labelled"] for _, summary in summaries),
        max_labels_per_clip=max(summary["max_labels_per_clip"] for _, summary in summaries),
        num_classes=max(summary["num_classes"] for _, summary in summaries),
    )


def record_offsets(path: str | os.PathLike[str]) -> list[int]:
    """Byte offsets of the records of a TFRecord file; reads only their 12-byte headers.

    Raises:
        ValueError: the file ends within a record.
    """
    size, offset = os.path.getsize(path), 0
    offsets: list[int] = []
    with open(path, "rb") as file:
        while offset < size:
            file.seek(offset)
            # uint64 length, its checksum (4 bytes), the record, its checksum (4 bytes)
            end = offset + 16 + int.from_bytes(file.read(8), "little")
            if end > size:
                raise ValueError(
                    f"{path}: truncated: record {len(offsets)} needs {end} bytes, the file has "
                    f"{size}; write or copy it again"
                )
            offsets.append(offset)
            offset = end
    return offsets


def _read_summary(folder: Path) -> dict[str, Any]:
    path = folder / SUMMARY_FILE
    if not path.is_file():
        raise ValueError(
            f"{folder}: not a finished record folder, {SUMMARY_FILE} is missing; "
            "make it with `write_records`"
        )
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
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
    if min([summary[key] for key in _COUNTS] + [shard["num_clips"] for shard in shards]) < 0:
        raise ValueError("a negative count")
    outside = [shard["file"] for shard in shards if shard["file"] != Path(shard["file"]).name]
    if not shards or outside:
        raise ValueError(f"shards must be files of the same folder, received {outside}")


def _checked_offsets(path: Path, num_clips: int) -> list[int]:
    """Offsets of a shard whose count and first record are right."""
    if not path.is_file():
        raise ValueError(f"{path}: the shard is missing")
    offsets = record_offsets(path)
    if len(offsets) != num_clips:
        raise ValueError(f"{path}: {len(offsets)} records, {SUMMARY_FILE} says {num_clips}")
    try:
        for record in tf.data.TFRecordDataset(str(path)).take(1):
            check_record(record.numpy())
    except tf.errors.DataLossError as error:
        raise ValueError(f"{path}: the first record is damaged (wrong checksum)") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return offsets
