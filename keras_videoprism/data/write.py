"""Video files -> a record folder: shards of clips and, written last, `dataset.json`.

A folder with a `dataset.json` is complete. The same rows and options give the same bytes. Shard i
of n holds the clips i, i + n, i + 2n, ...; a shard and its receipt (JSON beside it) appear when it
is whole, so that a call that was interrupted goes on with the shards that are missing.
"""

import hashlib
import json
import os
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import tensorflow as tf

from keras_videoprism.data.atomic import atomic_path
from keras_videoprism.data.decode import TIME_LIMIT, Decoder
from keras_videoprism.data.index import SUMMARY_FILE
from keras_videoprism.data.manifest import Row
from keras_videoprism.data.schema import SCHEMA_VERSION, encode_clip, stable_clip_id
from keras_videoprism.data.video import VideoError

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
    time_limit: float = TIME_LIMIT,
    progress: Callable[[int, int], None] | None = None,
) -> WriteReport:
    """Decodes clips and writes them as records.

    A file that cannot be decoded, or lacks a required caption, is skipped and listed. Files are
    decoded in child processes, one for each core, so that none can take the job down. Shards that
    an interrupted call with the same rows and options has finished are kept.

    Args:
        rows: clips, from `read_manifest`.
        output_dir: folder to make; it must not hold a data set yet.
        num_shards: number of files, at most one per clip.
        fps, num_frames, short_side: what to store of each clip, as in `read_video`.
        require_caption: skip clips without a caption.
        source: name of the data set; the shards are named after it.
        time_limit: seconds to decode one file.
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
    options |= {"require_caption": require_caption}
    num_shards = min(num_shards, len(rows))
    shards = [
        output_dir / f"{source}-{index:05d}-of-{num_shards:05d}.tfrecord"
        for index in range(num_shards)
    ]
    done, receipts = 0, []
    with _Encoders(source, options, time_limit) as encoders:
        for index, shard in enumerate(shards):
            part = rows[index::num_shards]

            def report(number: int, done: int = done) -> None:
                if progress is not None:
                    progress(done + number, len(rows))

            receipts.append(_write_shard(shard, part, encoders, report))
            done += len(part)
    return _finish(output_dir, source, shards, rows, receipts, options)


class _Encoders:
    """Clips to records, several at a time, each thread with a decoder of its own."""

    def __init__(self, source: str, options: dict[str, Any], time_limit: float):
        self.source = source
        self.options = options
        self._time_limit = time_limit
        self._decoders: list[Decoder] = []
        self._local = threading.local()
        self._pool = ThreadPoolExecutor(os.cpu_count() or 1)

    def __enter__(self) -> "_Encoders":
        return self

    def __exit__(self, *exception: object) -> None:
        self._pool.shutdown(cancel_futures=True)
        for decoder in self._decoders:
            decoder.close()

    def __call__(self, rows: Sequence[Row]) -> Iterator[bytes | VideoError]:
        """The record of each row, or why there is none, in order."""
        for first in range(0, len(rows), _WINDOW):
            yield from self._pool.map(self._encode, rows[first : first + _WINDOW])

    def _encode(self, row: Row) -> bytes | VideoError:
        options = dict(self.options)
        if options.pop("require_caption") and not row.captions:
            return VideoError("no caption")
        if not hasattr(self._local, "decoder"):
            self._local.decoder = Decoder(self._time_limit)
            self._decoders.append(self._local.decoder)
        try:
            video = self._local.decoder(row.path, start=row.start, end=row.end, **options)
        except VideoError as error:
            return error
        return encode_clip(
            video.frames,
            video.timestamps,
            file=row.name,
            source=self.source,
            clip_id=stable_clip_id(row.name, row.start, row.end),
            captions=row.captions,
            labels=row.labels,
        )


class _Receipt(NamedTuple):
    """Rows of a shard: positions of those written; (position, reason) of the others."""

    written: list[int]
    skipped: list[tuple[int, str]]


def _write_shard(
    shard: Path, rows: Sequence[Row], encoders: _Encoders, report: Callable[[int], None]
) -> _Receipt:
    """Write a shard and its receipt, unless both are there for the same rows and options."""
    file = shard.with_suffix(".json")
    content = [[str(row.path), *row[1:]] for row in rows]
    key = json.dumps([SCHEMA_VERSION, encoders.source, encoders.options, content])
    fingerprint = hashlib.sha256(key.encode()).hexdigest()
    if file.exists():
        known = json.loads(file.read_text(encoding="utf-8"))
        if known["fingerprint"] == fingerprint and (shard.exists() or not known["written"]):
            report(len(rows))
            return _Receipt(known["written"], known["skipped"])
    file.unlink(missing_ok=True)
    receipt = _Receipt([], [])
    with atomic_path(shard) as temporary, tf.io.TFRecordWriter(str(temporary)) as writer:
        for index, record in enumerate(encoders(rows)):
            if isinstance(record, VideoError):
                reason = str(record).removeprefix(f"{rows[index].path}: ")
                receipt.skipped.append((index, reason))
            else:
                writer.write(record)
                receipt.written.append(index)
            report(index + 1)
    if not receipt.written:
        shard.unlink()
    with atomic_path(file) as temporary:
        temporary.write_text(json.dumps({"fingerprint": fingerprint, **receipt._asdict()}))
    return receipt


def _finish(
    output_dir: Path,
    source: str,
    shards: list[Path],
    rows: Sequence[Row],
    receipts: list[_Receipt],
    options: dict,
) -> WriteReport:
    """Write the summary in place of the receipts."""
    step = len(shards)
    positions = [
        index + step * i for index, receipt in enumerate(receipts) for i in receipt.written
    ]
    failed = sorted(
        (index + step * i, reason)
        for index, receipt in enumerate(receipts)
        for i, reason in receipt.skipped
    )
    written = [rows[position] for position in positions]
    skipped = [(rows[position].name, reason) for position, reason in failed]
    files = [
        {"file": shard.name, "num_clips": len(receipt.written)}
        for shard, receipt in zip(shards, receipts, strict=True)
        if receipt.written
    ]
    if written:
        _write_summary(output_dir, source, files, written, skipped, options)
    for shard in shards:
        shard.with_suffix(".json").unlink()
        for stale in output_dir.glob(f".{shard.name}.*.tmp"):  # of a call that was killed
            stale.unlink()
    if not written:
        name, reason = skipped[0]
        raise ValueError(f"none of {len(rows)} clips could be written; {name}: {reason}")
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


def _write_summary(
    output_dir: Path,
    source: str,
    files: list[dict[str, Any]],
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
        "shards": files,
        "skipped": skipped,
    }
    with atomic_path(output_dir / SUMMARY_FILE) as temporary:
        temporary.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
