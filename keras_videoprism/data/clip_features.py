"""A record -> a row of a few numbers and words that statistics can be made of.

| feature | type | meaning |
|---|---|---|
| schema_version, height, width | int64 | as in the record |
| num_frames | int64 | number of frames |
| duration | float32 | seconds from the first frame to the last |
| fps | float32 | frames per second; none for an image |
| num_captions | int64 | number of captions |
| caption_characters, caption_words | int64 | lengths of each caption without the space around it |
| label | int64 | class ids |
| source | bytes | name of the data set |

Frames stay out, so that a thousand rows are a few hundred kilobytes.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import tensorflow as tf
from google.protobuf.message import DecodeError

from keras_videoprism.data import schema

RecordBatch = Any  # pyarrow's

INTEGERS = (
    "schema_version",
    "num_frames",
    "height",
    "width",
    "num_captions",
    "caption_characters",
    "caption_words",
    "label",
)
FLOATS = ("duration", "fps")
FEATURES = (*INTEGERS, *FLOATS, "source")

BATCH_SIZE = 1000


def clip_features(record: bytes) -> dict[str, Sequence[int] | Sequence[float] | Sequence[bytes]]:
    """The features of one record, each a list; what is missing or of another type is empty.

    Args:
        record: bytes of a `tf.train.Example`.

    Raises:
        google.protobuf.message.DecodeError: not a `tf.train.Example`.
    """
    clip = tf.train.Example.FromString(record).features.feature
    times = clip[schema.TIMESTAMPS].float_list.value
    captions = clip[schema.CAPTIONS].bytes_list.value
    texts = [caption.decode(errors="replace").strip() for caption in captions]
    duration = times[-1] - times[0] if times else 0.0
    return {
        "schema_version": clip[schema.VERSION].int64_list.value,
        "num_frames": [len(clip[schema.FRAMES].bytes_list.value)],
        "height": clip[schema.HEIGHT].int64_list.value,
        "width": clip[schema.WIDTH].int64_list.value,
        "duration": [duration],
        "fps": [(len(times) - 1) / duration] if duration > 0 else [],
        "num_captions": [len(texts)],
        "caption_characters": [len(text) for text in texts],
        "caption_words": [len(text.split()) for text in texts],
        "label": clip[schema.LABELS].int64_list.value,
        "source": clip[schema.SOURCE].bytes_list.value,
    }


def feature_batches(shard: str, batch_size: int = BATCH_SIZE) -> Iterator[RecordBatch]:
    """The rows of a shard as `pyarrow.RecordBatch`es; holds one record and one batch in memory.

    Records that cannot be read are left out: `validate_records` lists them.

    Args:
        shard: path of a TFRecord file.
        batch_size: rows of a batch, at most.
    """
    rows = []
    for row in _rows(shard):
        rows.append(row)
        if len(rows) == batch_size:
            yield _batch(rows)
            rows = []
    if rows:
        yield _batch(rows)


def _rows(shard: str) -> Iterator[dict]:
    records = iter(tf.data.TFRecordDataset(shard))
    while True:
        try:
            yield clip_features(next(records).numpy())
        except DecodeError:
            continue
        except (StopIteration, tf.errors.DataLossError):
            return


def _batch(rows: list[dict]) -> RecordBatch:
    import pyarrow as pa

    types = dict.fromkeys(INTEGERS, pa.int64()) | dict.fromkeys(FLOATS, pa.float32())
    columns = [
        pa.array([list(row[name]) or None for row in rows], pa.list_(types.get(name, pa.binary())))
        for name in FEATURES
    ]
    return pa.RecordBatch.from_arrays(columns, names=list(FEATURES))
