"""A record -> a row of a few whole numbers and a name, of which statistics are made.

| feature | meaning |
|---|---|
| schema_version, height, width | as in the record |
| num_frames | number of frames |
| seconds | time from the first frame to the last, rounded |
| fps | frames per second, rounded; none for an image |
| num_captions | number of captions |
| caption_characters, caption_words | lengths of each caption without the space around it |
| label | class ids |
| source | name of the data set |

Frames stay out: a thousand rows take a few hundred kilobytes. Times are rounded so that their
values can be counted one by one, as `schema.pbtxt` explains.
"""

from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from typing import Any

import tensorflow as tf
from google.protobuf.message import DecodeError

from keras_videoprism.data import schema
from keras_videoprism.data.example import Example

Row = dict[str, list]
RecordBatch = Any  # pyarrow's

NUMBERS = (
    "schema_version",
    "num_frames",
    "height",
    "width",
    "seconds",
    "fps",
    "num_captions",
    "caption_characters",
    "caption_words",
    "label",
)
FEATURES = (*NUMBERS, "source")

BATCH_SIZE = 1000


def clip_features(record: bytes) -> Row:
    """The features of one record, each a list; what is missing or of another type is empty.

    Args:
        record: bytes of a `tf.train.Example`.

    Raises:
        google.protobuf.message.DecodeError: not a `tf.train.Example`.
    """
    clip = Example.FromString(record).features.feature
    times = clip[schema.TIMESTAMPS].float_list.value
    captions = clip[schema.CAPTIONS].bytes_list.value
    texts = [caption.decode(errors="replace").strip() for caption in captions]
    seconds = times[-1] - times[0] if times else 0.0
    # Lists, since a field of the record would keep the whole of it, frames and all, in memory.
    return {
        "schema_version": list(clip[schema.VERSION].int64_list.value),
        "num_frames": [len(clip[schema.FRAMES].bytes_list.value)],
        "height": list(clip[schema.HEIGHT].int64_list.value),
        "width": list(clip[schema.WIDTH].int64_list.value),
        "seconds": [round(seconds)],
        "fps": [round((len(times) - 1) / seconds)] if seconds > 0 else [],
        "num_captions": [len(texts)],
        "caption_characters": [len(text) for text in texts],
        "caption_words": [len(text.split()) for text in texts],
        "label": list(clip[schema.LABELS].int64_list.value),
        "source": list(clip[schema.SOURCE].bytes_list.value),
    }


def feature_batches(shard: str, batch_size: int = BATCH_SIZE) -> Iterator[RecordBatch]:
    """The rows of a shard, as batches that hold each feature as a list or null.

    Holds one record and one batch in memory. Records that cannot be read are left out:
    `validate_records` lists them.

    Args:
        shard: path of a TFRecord file.
        batch_size: rows of a batch, at most.
    """
    rows = _rows(shard)
    while batch := list(islice(rows, batch_size)):
        yield _batch(batch)


def _rows(shard: str) -> Iterator[Row]:
    try:
        for record in tf.data.TFRecordDataset(shard).as_numpy_iterator():
            with suppress(DecodeError):
                yield clip_features(record)
    except tf.errors.DataLossError:
        return


def _batch(rows: list[Row]) -> RecordBatch:
    import pyarrow as pa

    columns = {}
    for name in FEATURES:
        of = pa.int64() if name in NUMBERS else pa.binary()
        columns[name] = pa.array([row[name] or None for row in rows], pa.list_(of))
    return pa.RecordBatch.from_pydict(columns)
