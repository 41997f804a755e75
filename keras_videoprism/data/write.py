"""Video files -> a record folder: shards of clips and, written last, `dataset.json`.

A folder with a `dataset.json` is complete. The same rows and options give the same bytes, on this
machine or on a cluster, in one go or after an interruption: shards that are whole are kept.
"""

import json
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from keras_videoprism.data.cluster import write_on_cluster
from keras_videoprism.data.decode import TIME_LIMIT, Decoders
from keras_videoprism.data.index import SUMMARY_FILE
from keras_videoprism.data.manifest import Row
from keras_videoprism.data.remote import exists, is_remote, join, remove, write_file
from keras_videoprism.data.schema import SCHEMA_VERSION, check_prompts
from keras_videoprism.data.shard import Job, Receipt, write_shard


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
    beam_options: Sequence[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> WriteReport:
    """Decodes clips and writes them as records.

    A file that cannot be decoded, or lacks a required caption, is skipped and listed. Files are
    decoded in child processes, one for each core, so that none can take the job down. Shards that
    an interrupted call with the same rows and options has finished are kept.

    Args:
        rows: clips, from `read_manifest`.
        output_dir: local or remote folder to make; it must not hold a data set yet.
        num_shards: number of files, at most one per clip.
        fps, num_frames, short_side: what to store of each clip, as in `read_video`.
        require_caption: skip clips without a caption.
        source: name of the data set; the shards are named after it.
        time_limit: seconds to decode one file.
        beam_options: write by Apache Beam with these options of its own, such as
            `["--runner=FlinkRunner"]`; an empty list uses the cores of this machine. Default: no
            Beam. The bytes are the same.
        progress: called with (clips done, clips in all) after each clip; with Beam, now and then.

    Returns:
        `WriteReport`.

    Raises:
        ValueError: no rows, a bad `source`, not one prompt for each caption, a folder that holds a
            data set, or no clip at all could be written.
        OSError: the disk is full, or the folder cannot be written to.
    """
    folder = os.fspath(output_dir)
    _check(rows, folder, num_shards, source)
    options = {"fps": fps, "num_frames": num_frames, "short_side": short_side}
    options |= {"require_caption": require_caption}
    job = Job(folder, source, min(num_shards, len(rows)), options, time_limit)
    if not is_remote(folder):
        os.makedirs(folder, exist_ok=True)
    report = progress or (lambda done, total: None)
    if beam_options is None:
        receipts = _write_here(job, rows, report)
    else:
        receipts = write_on_cluster(job, rows, beam_options, report)
    return _finish(job, rows, receipts)


def _write_here(
    job: Job, rows: Sequence[Row], progress: Callable[[int, int], None]
) -> list[Receipt]:
    """The shards one after the other, the clips of each on all cores."""
    done, receipts = 0, []
    with Decoders(os.cpu_count() or 1, job.time_limit) as decoders:
        for index in range(job.num_shards):
            part = rows[index :: job.num_shards]

            def report(number: int, done: int = done) -> None:
                progress(done + number, len(rows))

            receipts.append(write_shard(job, index, part, decoders, report))
            done += len(part)
    return receipts


def _finish(job: Job, rows: Sequence[Row], receipts: list[Receipt]) -> WriteReport:
    """Write the summary in place of the receipts."""
    step = job.num_shards
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
    skipped_ids = [rows[position].clip_id for position, _ in failed]
    files = [
        {
            "file": job.shard(index),
            "num_clips": len(receipt.written),
            "record_sizes": receipt.record_sizes,
        }
        for index, receipt in enumerate(receipts)
        if receipt.written
    ]
    if written:
        _write_summary(job, files, written, skipped, skipped_ids)
    for index in range(step):
        remove(job.receipt(index))
        if not is_remote(job.folder):
            for stale in Path(job.folder).glob(f".{job.shard(index)}.*.tmp"):  # of a killed call
                stale.unlink()
    if not written:
        name, reason = skipped[0]
        raise ValueError(f"none of {len(rows)} clips could be written; {name}: {reason}")
    return WriteReport(len(written), skipped)


def _check(rows: Sequence[Row], folder: str, num_shards: int, source: str) -> None:
    if not rows:
        raise ValueError("there is no clip to write")
    if num_shards < 1:
        raise ValueError(f"num_shards must be at least 1, received {num_shards}")
    if not re.fullmatch(r"\w[\w.-]*", source):
        raise ValueError(f"source must be letters, digits and . _ -, received {source!r}")
    if exists(join(folder, SUMMARY_FILE)):
        raise ValueError(f"{folder} holds a data set already; choose another folder")
    for row in rows:
        check_prompts(len(row.prompts), len(row.captions), row.name)


def _write_summary(
    job: Job,
    files: list[dict[str, Any]],
    written: list[Row],
    skipped: list[tuple[str, str]],
    skipped_ids: list[int],
) -> None:
    summary = {
        "schema_version": SCHEMA_VERSION,
        "source": job.source,
        "num_clips": len(written),
        "num_captioned": sum(bool(row.captions) for row in written),
        "num_labelled": sum(bool(row.labels) for row in written),
        "max_labels_per_clip": max(len(row.labels) for row in written),
        "num_classes": max((label + 1 for row in written for label in row.labels), default=0),
        "options": job.options,
        "shards": files,
        "skipped": skipped,
        "skipped_ids": skipped_ids,
    }
    with write_file(join(job.folder, SUMMARY_FILE)) as file:
        lines = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in summary.items()]
        file.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
