"""Record folders -> a `tf.data.Dataset` of batches.

The dataset is a pure function of its arguments. Position p of the stream is record
permutation(seed, epoch)[p mod n], and everything random about it is drawn from
(seed, epoch, clip_id): no state, no shuffle buffer, and the same batches on every machine.
"""

import logging
import math
import os
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf

from keras_videoprism.data.features import (
    CLIP_OPTIONS,
    Features,
    check_same,
    digest_of_records,
    open_features,
)
from keras_videoprism.data.index import RecordIndex, check_batches, clip_options, open_records
from keras_videoprism.data.load import load_clip
from keras_videoprism.data.remote import known_to_tensorflow
from keras_videoprism.data.schema import CAPTIONS, PROMPTS, parse_record
from keras_videoprism.data.tfrecord import read_record
from keras_videoprism.data.tokenize import Tokenizer

Tensor = Any
# (prompts, captions) of a batch -> arrays [B, ...] by name.
Answers = Callable[[list[str], list[str]], dict[str, np.ndarray]]

_LOGGER = logging.getLogger(__name__)
_READ_BUFFER = 2**16  # bytes read at once; a record is tens of kilobytes
# Two clips for each core: one may wait for its file while the other is decoded.
_IN_FLIGHT = 2 * (os.cpu_count() or 1)
_REMOTE_IN_FLIGHT = 16  # a server answers late, not slowly


def read_records(
    path_or_paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    batch_size: int,
    num_frames: int,
    image_size: int | tuple[int, int],
    tokenizer: Tokenizer | None = None,
    answers: Answers | None = None,
    num_classes: int | None = None,
    sampling: str = "uniform",
    augment: bool | str = False,
    flip: bool = False,
    shuffle: bool = False,
    repeat: bool = False,
    drop_remainder: bool = True,
    caption: str = "random",
    seed: int = 0,
    start: int = 0,
    process: tuple[int, int] = (0, 1),
    max_bad_records: int = 0,
    features: str | os.PathLike[str] | None = None,
    views: tuple[int, int] | None = None,
    whole: bool = False,
) -> tf.data.Dataset:
    """Reads record folders as batches.

    Args:
        path_or_paths: one or several folders made by `write_records`.
        batch_size: B, clips in a batch.
        num_frames: T, frames of each clip; a clip with fewer repeats frames.
        image_size: size in pixels, or (height, width).
        tokenizer: gives `token_ids` and `padding_mask`; every clip must have a caption.
        answers: in place of a tokenizer: function (prompts, captions) -> arrays [B, ...] by name,
            which the batches then have. The prompt is "" where a caption has none.
        num_classes: C, gives multi-hot labels; without it, labels are given as ids where every
            clip has exactly one.
        sampling: of frames, one of `index.SAMPLINGS` (see `data.sample`).
        augment: one random crop per clip instead of the central one: True or "mild", "inception",
            "strong", which adds RandAugment, or "shifted" (see `data.sample`).
        flip: mirror half of the clips; not where captions tell left from right.
        shuffle: a new order in every epoch.
        repeat: endless epochs, each with new random draws. Without it the dataset is one epoch,
            the same each time it is iterated.
        drop_remainder: leave out the last n mod B clips of each epoch.
        caption: "random" or "first" of a clip's captions.
        seed: of order, sampling, crops, flips and captions.
        start: number of batches to leave out unread; what follows is the same as without it.
        max_bad_records: so many damaged records are logged and replaced; one more is an error.
        process: (i, n): this is process i of n, which reads every n-th clip of one common order.
        features: folder of `cache_features`, made with the same records, frames, size, sampling
            and views: gives `video_tokens` in place of `videos`, without decoding a frame.
        views: (v, s) gives v windows in time (1, unless the sampling is "window") times s crops
            side by side of each clip: `videos` are [B, v*s, T, H, W, 3] (Appendix E.2).
        whole: pad frames instead of cropping; gives their `frame_size`, int32 [B, 2].

    Returns:
        Dataset of dicts with `videos` uint8 [B, T, H, W, 3] (models scale it on their device),
        `clip_id` int64 [B] and, as above, `labels` int32 [B] or float32 [B, C], `token_ids` int32
        [B, L], `padding_mask` bool [B, L] or what `answers` gives.

    Raises:
        ValueError: what `open_records` finds, a missing caption or label, a bad argument.
    """
    index, texts = open_records(path_or_paths), _texts(tokenizer, answers)
    check_batches(index, batch_size, repeat, drop_remainder, start, process)
    clip = (num_frames, image_size, num_classes, texts is not None, sampling, augment, flip)
    options = clip_options(index, *clip, caption) | {"views": views, "whole": whole}
    _check_views(options)
    cache = None if features is None else _open_features(features, index, options)
    load = partial(load_clip, seed=seed, decode=cache is None, **options)
    common_size = batch_size * process[1]  # clips that all processes read in a step
    epoch_length = len(index.offsets)
    epoch_length -= epoch_length % common_size if drop_remainder else 0
    steps = (process[0] + start * common_size, process[1])
    positions = _positions(len(index.offsets), epoch_length, steps, shuffle, repeat, seed)
    dataset = _clips(index, positions, load, max_bad_records)
    dataset = _complete(dataset.batch(batch_size, drop_remainder), index, cache, texts)
    num_batches = math.ceil(len(range(steps[0], epoch_length, steps[1])) / batch_size)
    cardinality = tf.data.INFINITE_CARDINALITY if repeat else num_batches
    return dataset.apply(tf.data.experimental.assert_cardinality(cardinality)).prefetch(2)


def shuffled(position: Tensor, epoch: Tensor, seed: int, num_clips: int) -> Tensor:
    """Where in the records the clips at these positions [...] of an epoch stand, int64."""
    key = tf.stack([tf.constant(seed, tf.int64), tf.cast(epoch, tf.int64)])
    return tf.random.experimental.index_shuffle(position, key, num_clips - 1)


def _positions(
    num_clips: int,
    epoch_length: int,
    steps: tuple[int, int],
    shuffle: bool,
    repeat: bool,
    seed: int,
) -> tf.data.Dataset:
    """Pairs (epoch, position in the index), int64 [2]; `steps`: the first and their distance."""

    def locate(step: Tensor) -> Tensor:
        epoch, position = step // epoch_length, step % epoch_length
        if shuffle:
            position = shuffled(position, epoch, seed, num_clips)
        return tf.stack([epoch, position])

    first, distance = steps
    if repeat:
        return tf.data.Dataset.counter(first, distance).map(locate)
    return tf.data.Dataset.range(first, epoch_length, distance).map(locate)


class _BadRecords:
    """Counts damaged records, and ends the reading when there are too many."""

    def __init__(self, index: RecordIndex, limit: int):
        self._index = index
        self._limit = limit
        self._found: set[int] = set()
        self._lock = threading.Lock()
        self.unreached: dict[int, OSError] = {}  # by position: these are not damaged

    def report(self, position: Tensor, count: Tensor) -> Tensor:
        """`position`, after `count` records from it on were noted as damaged (graph mode)."""
        return tf.ensure_shape(tf.numpy_function(self._note, [position, count], tf.int64), [])

    def _note(self, position: np.int64, count: np.int64) -> np.int64:
        num_clips = len(self._index.offsets)
        for bad in (position + np.arange(count)) % num_clips:
            if bad in self.unreached:
                raise self.unreached.pop(bad)
            with self._lock:
                known, number = bad in self._found, len(self._found | {bad})
                self._found.add(bad)
            file, offset, _ = self._index.place(bad)
            place = f"{file}: the record at byte {offset} is damaged"
            if number > self._limit:
                raise ValueError(
                    f"{place}; {number} are, max_bad_records={self._limit}. List them with "
                    "`validate-records` and write them again, or allow more"
                )
            if not known:
                _LOGGER.warning("%s: another stands in (%d of %d)", place, number, self._limit)
        return position


def _clips(
    index: RecordIndex,
    positions: tf.data.Dataset,
    load: Callable[[Tensor, Tensor], dict[str, Tensor]],
    max_bad_records: int,
) -> tf.data.Dataset:
    """The clip at each (epoch, position), or the next whole one in place of a damaged one.

    So batches stay full, and which clips are in a batch does not depend on where reading began.
    """
    bad_records = _BadRecords(index, max_bad_records)
    here = all(known_to_tensorflow(file) for file in index.files)
    record_at = _read_by_tensorflow(index) if here else _fetch(index, bad_records)

    def clip_at(epoch_and_position: Tensor) -> tf.data.Dataset:
        epoch, position = tf.unstack(epoch_and_position)

        def attempt(ahead: Tensor) -> tf.data.Dataset:
            record = record_at((position + ahead) % len(index.offsets))
            return record.map(lambda record: (ahead, load(record, epoch)))

        def note(ahead: Tensor, clip: dict[str, Tensor]) -> dict[str, Tensor]:
            found = tf.cond(ahead > 0, lambda: bad_records.report(position, ahead), lambda: ahead)
            with tf.control_dependencies([found]):
                return {key: tf.identity(value) for key, value in clip.items()}

        attempts = tf.data.Dataset.range(max_bad_records + 1).flat_map(attempt).ignore_errors()
        # Reached only when all failed: reporting them ends the reading.
        failure = tf.data.Dataset.range(1).map(
            lambda _: bad_records.report(position, max_bad_records + 1)
        )
        return attempts.concatenate(failure.flat_map(attempt)).take(1).map(note)

    in_flight = _IN_FLIGHT if here else max(_IN_FLIGHT, _REMOTE_IN_FLIGHT)
    options = tf.data.Options()
    if not here:  # TensorFlow's own threads are as many as cores, too few to wait in
        options.threading.private_threadpool_size = in_flight
    clips = positions.interleave(
        clip_at, cycle_length=in_flight, num_parallel_calls=in_flight, deterministic=True
    )
    return clips.with_options(options)


def _read_by_tensorflow(index: RecordIndex) -> Callable[[Tensor], tf.data.Dataset]:
    """Function: position in the index -> a dataset of the one record there, checksums verified."""
    # Tensors, not arrays: these would be copied into the graph.
    files, shard_ids, offsets = (tf.constant(part) for part in index[:3])

    def read(position: Tensor) -> tf.data.Dataset:
        # TFRecordDataset cannot start within a file; the operation below it can.
        variant = tf.raw_ops.TFRecordDatasetV2(
            filenames=tf.gather(files, tf.gather(shard_ids, [position])),
            compression_type="",
            buffer_size=tf.constant(_READ_BUFFER, tf.int64),
            byte_offsets=tf.gather(offsets, [position]),
        )
        return tf.data.experimental.from_variant(variant, tf.TensorSpec([], tf.string)).take(1)

    return read


def _fetch(index: RecordIndex, bad_records: _BadRecords) -> Callable[[Tensor], tf.data.Dataset]:
    """The same where TensorFlow does not know the file system."""

    def whole(position: np.int64) -> bytes:
        try:
            return read_record(*index.place(int(position)))
        except OSError as error:
            bad_records.unreached[int(position)] = error
            raise

    def read(position: Tensor) -> tf.data.Dataset:
        return tf.data.Dataset.from_tensors(position).map(
            lambda position: tf.ensure_shape(tf.numpy_function(whole, [position], tf.string), [])
        )

    return read


def _check_views(options: dict[str, Any]) -> None:
    views, sampling = options["views"], options["sampling"]
    if options["whole"] and (options["augment"] or options["flip"]):
        raise ValueError("boxes lie in whole frames: leave augment and flip out")
    if views is None:
        return
    if min(views) < 1 or (views[0] > 1 and sampling != "window") or sampling.startswith("random"):
        raise ValueError(
            f"views {views} of the sampling {sampling!r}: needs positive numbers, a sampling that "
            'is not random, and "window" for more than one part of the time'
        )
    if options["augment"] or options["flip"] or options["whole"]:
        raise ValueError("views are not augmented: leave augment, flip and whole out")


def _open_features(
    folder: str | os.PathLike[str], index: RecordIndex, options: dict[str, Any]
) -> Features:
    """The features of these clips; ValueError where they are others."""
    if options["augment"] or options["flip"]:
        raise ValueError("features are of whole frames: leave augment and flip out")
    wanted = {name: options[name] for name in CLIP_OPTIONS}
    features = open_features(folder)
    check_same(folder, features.plan.made_by, {**wanted, "records": digest_of_records(index)})
    return features


def _complete(
    batches: tf.data.Dataset, index: RecordIndex, cache: Features | None, texts: Answers | None
) -> tf.data.Dataset:
    """Adds what is not in the records: features, and arrays of the texts."""
    if cache is not None:
        batches = batches.map(lambda batch: _look_up(batch, cache))
    if texts is None:
        return batches
    like = _example(texts, parse_record(read_record(*index.place(0))))
    return batches.map(lambda batch: _add_texts(batch, texts, like))


def _look_up(batch: dict[str, Tensor], features: Features) -> dict[str, Tensor]:
    """Adds the features [B, ...] of the clips of a batch."""
    clip_ids = batch["clip_id"]
    tokens = tf.numpy_function(features.of, [clip_ids], features.plan.dtype)
    return batch | {
        "video_tokens": tf.ensure_shape(tokens, [clip_ids.shape[0], *features.plan.shape])
    }


def _texts(tokenizer: Tokenizer | None, answers: Answers | None) -> Answers | None:
    """What makes arrays of texts."""
    if tokenizer is None:
        return answers
    if answers is not None:
        raise ValueError("give either a tokenizer, for captions, or answers, for a captioner")
    return lambda prompts, captions: tokenizer(captions)


def _example(texts: Answers, clip: dict[str, Any]) -> dict[str, np.ndarray]:
    """Arrays of the first texts of a clip: names, types and shapes are those of every batch."""
    first = ((clip[name] or [b""])[:1] for name in (PROMPTS, CAPTIONS))
    return texts(*([text.decode() for text in part] for part in first))


def _add_texts(
    batch: dict[str, Tensor], texts: Answers, like: dict[str, np.ndarray]
) -> dict[str, Tensor]:
    """Replaces the prompts and captions [B] of a batch by arrays that are `like` these."""

    def arrays(*of_batch: np.ndarray) -> list[np.ndarray]:
        found = texts(*([text.decode() for text in part] for part in of_batch))
        return [found[name] for name in like]

    prompts, captions = batch.pop("prompt"), batch.pop("caption")
    found = tf.numpy_function(arrays, [prompts, captions], [value.dtype for value in like.values()])
    shapes = ([captions.shape[0], *value.shape[1:]] for value in like.values())
    return batch | dict(zip(like, map(tf.ensure_shape, found, shapes), strict=True))
