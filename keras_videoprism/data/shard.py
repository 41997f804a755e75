"""One shard of a record folder: decode its clips, write them, and leave a receipt beside it.

Shard i of n holds the rows i, i + n, i + 2n, ... A shard and then its receipt (JSON) appear when
they are whole, so a receipt tells that its shard need not be made again.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from keras_videoprism.data.decode import Decoder, Decoders
from keras_videoprism.data.manifest import Row
from keras_videoprism.data.remote import exists, join, read_text, remove, write_file
from keras_videoprism.data.schema import SCHEMA_VERSION
from keras_videoprism.data.tfrecord import framed
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


def write_shard(
    job: Job,
    index: int,
    rows: Sequence[Row],
    decoders: Decoders,
    report: Callable[[int], None] = lambda number: None,
) -> Receipt:
    """Writes a shard and its receipt, unless both are there for the same rows and options.

    Args:
        job: what to write.
        index: number of the shard.
        rows: its rows.
        decoders: what to decode with.
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
    encode = partial(_encode, job)
    try:
        with write_file(path) as file, file.open("wb") as output:
            for position, record in enumerate(decoders.map(encode, rows)):
                if isinstance(record, VideoError):
                    receipt.skipped.append((position, record.reason(rows[position].path)))
                else:
                    receipt.record_sizes.append(output.write(framed(record)))
                    receipt.written.append(position)
                report(position + 1)
    except OSError as error:
        reason = f"cannot be written: {error.strerror}"
        raise OSError(error.errno, reason, path) from error
    if not receipt.written:
        remove(path)
    with write_file(job.receipt(index)) as file:
        file.write_text(json.dumps({"fingerprint": fingerprint, **receipt._asdict()}))
    return receipt


def _encode(job: Job, decoder: Decoder, row: Row) -> bytearray:
    options = dict(job.options)
    if options.pop("require_caption") and not row.captions:
        raise VideoError("no caption")
    clip = {
        "file": row.name,
        "source": job.source,
        "clip_id": row.clip_id,
        "captions": row.captions,
        "prompts": row.prompts,
        "labels": row.labels,
    }
    part = {"start": row.start, "end": row.end}
    return decoder.encode(row.path, clip, num_threads=1, **part, **options)


def read_receipt(job: Job, index: int) -> tuple[str, Receipt]:
    """Fingerprint of what a shard was made of, and its receipt."""
    content = json.loads(read_text(job.receipt(index)))
    return content.pop("fingerprint"), Receipt(**content)


def plain_rows(rows: Sequence[Row]) -> list[list]:
    """Rows as JSON knows them."""
    return [[str(row.path), *row[1:]] for row in rows]


def _fingerprint(job: Job, rows: Sequence[Row]) -> str:
    """Hash of all that the bytes of a shard depend on."""
    key = json.dumps([SCHEMA_VERSION, job.source, job.options, plain_rows(rows)])
    return hashlib.sha256(key.encode()).hexdigest()
