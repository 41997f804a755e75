"""Shards written by Apache Beam: on the cores of this machine, or on a cluster.

A shard is the unit of work. The rows go to the record folder as a file that each worker reads once,
so the pipeline stays small however many clips there are; receipts come back the same way. Workers
need this package, and paths of videos and of the record folder that mean the same everywhere.
"""

import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from posixpath import basename

from keras_videoprism.data.decode import Decoders
from keras_videoprism.data.manifest import Row
from keras_videoprism.data.remote import join, list_files, read_text, remove, write_file
from keras_videoprism.data.shard import Job, Receipt, plain_rows, read_receipt, write_shard

_INTERVAL = 2.0  # seconds between two looks at the receipts
# Threads: decoding is in child processes, and the JPEG encoder leaves Python's lock.
_LOCAL_OPTIONS = ("--direct_running_mode=multi_threading", f"--direct_num_workers={os.cpu_count()}")


def write_on_cluster(
    job: Job,
    rows: Sequence[Row],
    options: Sequence[str],
    progress: Callable[[int, int], None],
) -> list[Receipt]:
    """The receipts of all shards, after a pipeline has written those that were missing.

    Args:
        job: what to write.
        rows: all rows.
        options: of the pipeline, as Beam's own command line takes them.
        progress: called now and then with (rows of whole shards, rows in all).

    Raises:
        ValueError: Beam is not installed.
    """
    try:
        import apache_beam as beam
        from apache_beam.options.pipeline_options import PipelineOptions
    except ImportError as error:
        raise ValueError(
            "Apache Beam is not installed: pip install 'keras-videoprism[records]'"
        ) from error
    content = json.dumps(plain_rows(rows))
    table = join(job.folder, f".rows-{hashlib.sha256(content.encode()).hexdigest()[:16]}.json")
    with write_file(table) as file:
        file.write_text(content, encoding="utf-8")
    try:
        with (
            _watched(job, len(rows), progress),
            beam.Pipeline(options=PipelineOptions([*_LOCAL_OPTIONS, *options])) as pipeline,
        ):
            indices = pipeline | "Shards" >> beam.Create(range(job.num_shards))
            # Without it all shards would go to one worker.
            spread = indices | "Spread" >> beam.Reshuffle()
            _ = spread | "Write" >> beam.Map(_write, job, table)
    finally:
        remove(table)
    progress(len(rows), len(rows))
    return [read_receipt(job, index)[1] for index in range(job.num_shards)]


@contextmanager
def _watched(job: Job, num_rows: int, progress: Callable[[int, int], None]) -> Iterator[None]:
    """Reports the shards that get whole while the block runs, by their receipts."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(_INTERVAL):
            with suppress(OSError):  # the next look may succeed
                files = set(list_files(job.folder))
                whole = [i for i in range(job.num_shards) if basename(job.receipt(i)) in files]
                done = sum(len(range(index, num_rows, job.num_shards)) for index in whole)
                progress(done, num_rows)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _write(index: int, job: Job, table: str) -> None:
    """A shard, on a worker."""
    with Decoders(1, job.time_limit) as decoders:
        write_shard(job, index, _rows(table)[index :: job.num_shards], decoders)


@lru_cache(maxsize=1)
def _rows(table: str) -> list[Row]:
    """The rows that `write_on_cluster` wrote; the name of the table tells its content."""
    return [
        Row(path, name, tuple(captions), tuple(labels), start, end, tuple(prompts))
        for path, name, captions, labels, start, end, prompts in json.loads(read_text(table))
    ]
