"""One shard of a record folder: decode its clips, write them, and leave a receipt beside it.

Shard i of n holds the rows i, i + n, i + 2n, ... A shard and then its receipt (JSON) appear when
they are whole, so a receipt tells that its shard need not be made again.
"""

import hashlib
import json
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import tensorflow as tf

from keras_videoprism.data.decode import Decoder
from keras_videoprism.data.manifest import Row
from keras_videoprism.data.remote import exists, join, read_text, remove, write_file
from keras_videoprism.data.schema import SCHEMA_VERSION, encode_clip, stable_clip_id
from keras_videoprism.data.tfrecord import FRAMING
from keras_videoprism.data.video import VideoError


class Job(NamedTuple):
    """What is common to all shards of a record folder.

    folder: local or remote; source: name of the data set; options: of `write_records`, as JSON
    knows them; time_limit: seconds to decode one file.
    """

    folder: str
    source: str
    num_shards: int
    options: dict[str, Any]
    time_limit: float

    def shard(self, index: int) -> str:
        """File name of a shard."""
        return f"{self.source}-{index:05d}-of-{self.num_shards:05d}.tfrecord"

    def receipt(self, index: int) -> str:
        """Path of a shard's receipt."""
        return join(self.folder, self.shard(index).replace(".tfrecord", ".json"))


class Receipt(NamedTuple):
    """Rows of a shard by position.

    written: those in the shard; record_sizes: bytes of each there, with the framing; skipped:
    (position, reason) of the others.
    """

    written: list[int]
    record_sizes: list[int]
    skipped: list[tuple[int, str]]


class Encoders:
    """Clips to records in order, several at a time, each thread with a decoder of its own."""

    def __init__(self, job: Job, num_threads: int):
        self._job = job
        self._num_threads = num_threads
        self._decoders: list[Decoder] = []
        self._local = threading.local()
        self._pool = ThreadPoolExecutor(num_threads)

    def __enter__(self) -> "Encoders":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """End the threads and their decoders."""
        self._pool.shutdown(cancel_futures=True)
        for decoder in self._decoders:
            decoder.close()

    def __call__(self, rows: Sequence[Row]) -> Iterator[bytes | VideoError]:
        """The record of each row, or why there is none; few are held at a time."""
        waiting: deque[Future] = deque()
        for row in rows:
            waiting.append(self._pool.submit(self._encode, row))
            if len(waiting) > 4 * self._num_threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    def _encode(self, row: Row) -> bytes | VideoError:
        options = dict(self._job.options)
        if options.pop("require_caption") and not row.captions:
            return VideoError("no caption")
        if not hasattr(self._local, "decoder"):
            self._local.decoder = Decoder(self._job.time_limit)
            self._decoders.append(self._local.decoder)
        try:
            video = self._local.decoder(row.path, start=row.start, end=row.end, **options)
        except VideoError as error:
            return error
        return encode_clip(
            video.frames,
            video.timestamps,
            file=row.name,
            source=self._job.source,
            clip_id=stable_clip_id(row.name, row.start, row.end),
            captions=row.captions,
            labels=row.labels,
        )


def write_shard(
    job: Job,
    index: int,
    rows: Sequence[Row],
    encoders: Encoders,
    report: Callable[[int], None] = lambda number: None,
) -> Receipt:
    """Writes a shard and its receipt, unless both are there for the same rows and options.

    Args:
        job: what to write.
        index: number of the shard.
        rows: its rows.
        encoders: of the same job.
        report: called with the number of rows done after each.

    Raises:
        OSError: the disk is full, or the folder cannot be written to.
    """
    path = join(job.folder, job.shard(index))
    fingerprint = _fingerprint(job, rows)
    if exists(job.receipt(index)):
        known_fingerprint, known = read_receipt(job, index)
        if known_fingerprint == fingerprint and (exists(path) or not known.written):
            report(len(rows))
            return known
        remove(job.receipt(index))
    receipt = Receipt([], [], [])
    try:
        with write_file(path) as file, tf.io.TFRecordWriter(os.fspath(file)) as writer:
            for position, record in enumerate(encoders(rows)):
                if isinstance(record, VideoError):
                    reason = str(record).removeprefix(f"{rows[position].path}: ")
                    receipt.skipped.append((position, reason))
                else:
                    writer.write(record)
                    receipt.written.append(position)
                    receipt.record_sizes.append(len(record) + FRAMING)
                report(position + 1)
    except tf.errors.OpError as error:
        raise OSError(f"{path}: cannot be written: {error.message}") from error
    if not receipt.written:
        remove(path)
    with write_file(job.receipt(index)) as file:
        file.write_text(json.dumps({"fingerprint": fingerprint, **receipt._asdict()}))
    return receipt


def read_receipt(job: Job, index: int) -> tuple[str, Receipt]:
    """Fingerprint of what a shard was made of, and its receipt."""
    content = json.loads(read_text(job.receipt(index)))
    return content.pop("fingerprint"), Receipt(**content)


def _fingerprint(job: Job, rows: Sequence[Row]) -> str:
    """Hash of all that the bytes of a shard depend on."""
    content = [[str(row.path), *row[1:]] for row in rows]
    key = json.dumps([SCHEMA_VERSION, job.source, job.options, content])
    return hashlib.sha256(key.encode()).hexdigest()
