"""Video files -> a record folder: shards of clips and, written last, `dataset.json`.

A folder with a `dataset.json` is complete. The same rows and options give the same bytes.
"""

import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import tensorflow as tf

from keras_videoprism.data.atomic import atomic_path
from keras_videoprism.data.index import SUMMARY_FILE
from keras_videoprism.data.manifest import Row
from keras_videoprism.data.schema import SCHEMA_VERSION, encode_clip, stable_clip_id
from keras_videoprism.data.video import VideoError, read_video

_NUM_THREADS = 2  # decoding and JPEG encoding run outside Python's lock
_WINDOW = 64  # clips in flight: bounds the memory


class WriteReport(NamedTuple):
    """Number of clips written; (file, reason) of each that was not."""

    written: int
    skipped: list[tuple[str, str]]


def write_records(
    rows: Sequence[Row],
    output_dir: str | os.PathLike[str],
    *,
    num_shards: int = 8,
    fps: float | None = None,
    num_frames: int | None = None,
    short_side: int | None = None,
    require_caption: bool = False,
    source: str = "clips",
    progress: Callable[[int, int], None] | None = None,
) -> WriteReport:
    """Decodes clips and writes them as records.

    A file that cannot be decoded, or lacks a required caption, is skipped and listed.

    Args:
        rows: clips, from `read_manifest`.
        output_dir: folder to make; it must not hold a data set yet.
        num_shards: number of files, at most one per clip.
        fps, num_frames, short_side: what to store of each clip, as in `read_video`.
        require_caption: skip clips without a caption.
        source: name of the data set; the shards are named after it.
        progress: called with (clips done, clips in all) after each clip.

    Returns:
        `WriteReport`.

    Raises:
        ValueError: no rows, a bad `source`, a folder that holds a data set, or no clip at all
            could be written.
    """
    output_dir = Path(output_dir)
    _check(rows, output_dir, num_shards, source)
    output_dir.mkdir(parents=True, exist_ok=True)
    options = {"fps": fps, "num_frames": num_frames, "short_side": short_side}

    def encode(row: Row) -> bytes | VideoError:
        if require_caption and not row.captions:
            return VideoError("no caption")
        try:
            return _encode(row, source, options)
        except VideoError as error:
            return error

    num_shards = min(num_shards, len(rows))
    shards = [
        output_dir / f"{source}-{index:05d}-of-{num_shards:05d}.tfrecord"
        for index in range(num_shards)
    ]
    written: list[Row] = []
    skipped: list[tuple[str, str]] = []
    with ExitStack() as stack:
        temporaries = [stack.enter_context(atomic_path(shard)) for shard in shards]
        writers = [stack.enter_context(tf.io.TFRecordWriter(str(path))) for path in temporaries]
        for row, record in zip(rows, _parallel(encode, rows), strict=True):
            if isinstance(record, VideoError):
                skipped.append((row.name, str(record).removeprefix(f"{row.path}: ")))
            else:
                writers[len(written) % num_shards].write(record)
                written.append(row)
            if progress is not None:
                progress(len(written) + len(skipped), len(rows))
        if not written:
            name, reason = skipped[0]
            raise ValueError(f"none of {len(rows)} clips could be written; {name}: {reason}")
    options |= {"require_caption": require_caption}
    _write_summary(output_dir, source, shards, written, skipped, options)
    return WriteReport(len(written), skipped)


def _check(rows: Sequence[Row], output_dir: Path, num_shards: int, source: str) -> None:
    if not rows:
        raise ValueError("there is no clip to write")
    if num_shards < 1:
        raise ValueError(f"num_shards must be at least 1, received {num_shards}")
    if not re.fullmatch(r"\w[\w.-]*", source):
        raise ValueError(f"source must be letters, digits and . _ -, received {source!r}")
    if (output_dir / SUMMARY_FILE).exists():
        raise ValueError(f"{output_dir} holds a data set already; choose another folder")


def _encode(row: Row, source: str, options: dict) -> bytes:
    video = read_video(row.path, row.start, row.end, **options)
    return encode_clip(
        video.frames,
        video.timestamps,
        file=row.name,
        source=source,
        clip_id=stable_clip_id(row.name, row.start, row.end),
        captions=row.captions,
        labels=row.labels,
    )


def _parallel(function: Callable, rows: Sequence[Row]) -> Iterator:
    """function(row) for each row, in order."""
    with ThreadPoolExecutor(_NUM_THREADS) as pool:
        for first in range(0, len(rows), _WINDOW):
            yield from pool.map(function, rows[first : first + _WINDOW])


def _write_summary(
    output_dir: Path,
    source: str,
    shards: list[Path],
    written: list[Row],
    skipped: list[tuple[str, str]],
    options: dict,
) -> None:
    summary = {
        "schema_version": SCHEMA_VERSION,
        "source": source,
        "num_clips": len(written),
        "num_captioned": sum(bool(row.captions) for row in written),
        "num_labelled": sum(bool(row.labels) for row in written),
        "max_labels_per_clip": max(len(row.labels) for row in written),
        "num_classes": max((label + 1 for row in written for label in row.labels), default=0),
        "options": options,
        "shards": [
            {"file": shard.name, "num_clips": len(written[index :: len(shards)])}
            for index, shard in enumerate(shards)
        ],
        "skipped": skipped,
    }
    with atomic_path(output_dir / SUMMARY_FILE) as temporary:
        temporary.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
