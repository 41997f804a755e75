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

from keras_videoprism.data.remote import exists, join, read_text, size
from keras_videoprism.data.sample import AUGMENTATIONS
from keras_videoprism.data.schema import SCHEMA_VERSION, parse_record
from keras_videoprism.data.tfrecord import NUM_READS, read_record, record_sizes

SUMMARY_FILE = "dataset.json"

# See `data.sample`.
SAMPLINGS = ("uniform", "random_segment", "segment_centres", "random_window", "window")
CAPTIONS = ("random", "first")  # which of a clip's captions

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

    @property
    def has_single_labels(self) -> bool:
        """Whether every clip has exactly one label."""
        return self.num_labelled == len(self.offsets) and self.max_labels_per_clip == 1

    def place(self, position: int) -> tuple[str, int, int]:
        """File, offset and size of a record, as `read_record` takes them."""
        file = self.files[self.shard_ids[position]]
        return file, int(self.offsets[position]), int(self.sizes[position])


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
        read = list(pool.map(lambda shard: _checked_sizes(*shard), shards))
    for (path, _), (_, first) in zip(shards, read, strict=True):
        _check_record(path, first)
    sizes = [sizes for sizes, _ in read]
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


def _checked_sizes(path: str, shard: dict[str, Any]) -> tuple[np.ndarray, bytes]:
    """Bytes of each record of a shard whose size and count are right, and its first record."""
    try:
        num_bytes = size(path)
    except FileNotFoundError as error:
        raise ValueError(f"{path}: the shard is missing") from error
    sizes = np.array(shard.get("record_sizes") or record_sizes(path), np.int64)
    if sizes.sum() != num_bytes:
        raise ValueError(
            f"{path}: {num_bytes} bytes, {SUMMARY_FILE} says {sizes.sum()}; it was cut or changed: "
            "write or copy it again"
        )
    if len(sizes) != shard["num_clips"]:
        raise ValueError(f"{path}: {len(sizes)} records, {SUMMARY_FILE} says {shard['num_clips']}")
    return sizes, read_record(path, 0, int(sizes[0])) if len(sizes) else b""


def _check_record(path: str, record: bytes) -> None:
    """Not in a thread: protobuf has crashed there once."""
    if record:
        try:
            parse_record(record)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error


def check_batches(
    index: RecordIndex,
    batch_size: int,
    repeat: bool,
    drop_remainder: bool,
    start: int,
    process: tuple[int, int],
) -> None:
    """ValueError unless batches can be made as `read_records` is asked to."""
    if not 0 <= process[0] < process[1] or start < 0:
        raise ValueError(
            f"needs process=(i, n) with 0 <= i < n and start >= 0, received {process} and {start}"
        )
    if batch_size < 1:
        raise ValueError(f"batch_size must be positive, received {batch_size}")
    num_clips, common_size = len(index.offsets), batch_size * process[1]
    if drop_remainder and common_size > num_clips:
        raise ValueError(
            f"{num_clips} clips do not fill one batch of {common_size}; "
            "reduce batch_size or pass drop_remainder=False"
        )
    if repeat and not drop_remainder:
        raise ValueError("repeat=True gives full batches only: leave drop_remainder=True")


def clip_options(
    index: RecordIndex,
    num_frames: int,
    image_size: int | tuple[int, int],
    num_classes: int | None,
    needs_caption: bool,
    sampling: str,
    augment: bool | str,
    flip: bool,
    caption: str,
) -> dict[str, Any]:
    """The arguments of `load_clip` that give each clip as `read_records` is asked to.

    Raises:
        ValueError: the clips cannot be given so.
    """
    image_size = (image_size, image_size) if isinstance(image_size, int) else image_size
    crop = ("mild" if augment else None) if isinstance(augment, bool) else augment
    for name, value, choices in (
        ("sampling", sampling, SAMPLINGS),
        ("caption", caption, CAPTIONS),
        ("augment", crop, (None, *AUGMENTATIONS)),
    ):
        if value not in choices:
            raise ValueError(f"{name} must be one of {choices}, received {value!r}")
    if min(num_frames, *image_size) < 1:
        raise ValueError(
            f"num_frames and image_size must be positive, received {num_frames}, {image_size}"
        )
    num_clips = len(index.offsets)
    if needs_caption and index.num_captioned < num_clips:
        raise ValueError(
            f"{num_clips - index.num_captioned} of {num_clips} clips have no caption; "
            "write the records with require_caption=True or read them without tokenizer"
        )
    if num_classes is not None and not index.num_labelled:
        raise ValueError(f"num_classes={num_classes}, but no clip has a label")
    if num_classes is not None and index.num_classes > num_classes:
        raise ValueError(
            f"num_classes={num_classes}, but the records hold the label {index.num_classes - 1}"
        )
    return {
        "num_frames": num_frames,
        "image_size": image_size,
        "num_classes": num_classes,
        "single_label": index.has_single_labels,
        "sampling": sampling,
        "augment": crop,
        "flip": flip,
        "caption": caption if needs_caption else None,
    }
