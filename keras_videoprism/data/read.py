"""Record folders -> a `tf.data.Dataset` of batches.

The dataset is a pure function of its arguments. Position p of the stream is record
permutation(seed, epoch)[p mod n], and everything random about it is drawn from
(seed, epoch, clip_id): no state, no shuffle buffer, and the same batches on every machine.
"""

import math
import os
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf

from keras_videoprism.data.augment import random_flip, random_resized_crop, resize
from keras_videoprism.data.index import RecordIndex, open_records
from keras_videoprism.data.remote import known_to_tensorflow
from keras_videoprism.data.sample import random_segment, uniform
from keras_videoprism.data.schema import (
    CAPTIONS,
    CLIP_ID,
    FRAMES,
    LABELS,
    decode_jpegs,
    parse_clip,
)
from keras_videoprism.data.tfrecord import fetch_records
from keras_videoprism.data.tokenize import Tokenizer

Tensor = Any

_READ_BUFFER = 2**16  # bytes read at once; a record is tens of kilobytes


def read_records(
    path_or_paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    batch_size: int,
    num_frames: int,
    image_size: int | tuple[int, int],
    tokenizer: Tokenizer | None = None,
    num_classes: int | None = None,
    sampling: str = "uniform",
    augment: bool = False,
    flip: bool = False,
    shuffle: bool = False,
    repeat: bool = False,
    drop_remainder: bool = True,
    caption: str = "random",
    seed: int = 0,
    start: int = 0,
    process: tuple[int, int] = (0, 1),
) -> tf.data.Dataset:
    """Reads record folders as batches.

    Args:
        path_or_paths: one or several folders made by `write_records`.
        batch_size: B, clips in a batch.
        num_frames: T, frames of each clip; a clip with fewer repeats frames.
        image_size: size in pixels, or (height, width).
        tokenizer: gives `token_ids` and `padding_mask`; every clip must have a caption.
        num_classes: C, gives multi-hot labels; without it, labels are given as ids where every
            clip has exactly one.
        sampling: "uniform" or "random_segment" (see `data.sample`).
        augment: one random crop per clip instead of the central one.
        flip: mirror half of the clips; not where captions tell left from right.
        shuffle: a new order in every epoch.
        repeat: endless epochs, each with new random draws. Without it the dataset is one epoch,
            the same each time it is iterated.
        drop_remainder: leave out the last n mod B clips of each epoch.
        caption: "random" or "first" of a clip's captions.
        seed: seed of order, sampling, crops, flips and captions.
        start: number of batches to leave out unread; what follows is the same as without it.
        process: (i, n): this is process i of n, which reads every n-th clip of one common order.

    Returns:
        Dataset of dicts with `videos` float32 [B, T, H, W, 3] in [0, 1], `clip_id` int64 [B] and,
        as above, `labels` int32 [B] or float32 [B, C], `token_ids` int32 [B, L], `padding_mask`
        bool [B, L].

    Raises:
        ValueError: what `open_records` finds, a missing caption or label, a bad argument.
    """
    index = open_records(path_or_paths)
    image_size = (image_size, image_size) if isinstance(image_size, int) else image_size
    _check_choice("sampling", sampling, ("uniform", "random_segment"))
    _check_choice("caption", caption, ("random", "first"))
    common_size = _common_size(batch_size, process, start)
    _check_sizes(index, batch_size, common_size, num_frames, image_size, repeat, drop_remainder)
    _check_contents(index, tokenizer, num_classes)
    load = partial(
        _load_clip,
        num_frames=num_frames,
        image_size=image_size,
        num_classes=num_classes,
        single_label=index.num_labelled == len(index.offsets) and index.max_labels_per_clip == 1,
        sampling=sampling,
        augment=augment,
        flip=flip,
        caption=None if tokenizer is None else caption,
        seed=seed,
    )
    epoch_length = len(index.offsets)
    epoch_length -= epoch_length % common_size if drop_remainder else 0
    steps = (process[0] + start * common_size, process[1])
    dataset = _stream(index, epoch_length, steps, shuffle, repeat, seed)
    dataset = dataset.map(load, num_parallel_calls=tf.data.AUTOTUNE)
    dataset = dataset.batch(batch_size, drop_remainder=drop_remainder)
    if tokenizer is not None:
        dataset = dataset.map(lambda batch: _tokenize(batch, tokenizer))
    num_batches = math.ceil(len(range(steps[0], epoch_length, steps[1])) / batch_size)
    cardinality = tf.data.INFINITE_CARDINALITY if repeat else num_batches
    checked = dataset.apply(tf.data.experimental.assert_cardinality(cardinality))
    return checked.prefetch(tf.data.AUTOTUNE)


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name} must be one of {choices}, received {value!r}")


def _common_size(batch_size: int, process: tuple[int, int], start: int) -> int:
    """Clips that all processes read in a step."""
    rank, num_processes = process
    if not 0 <= rank < num_processes or start < 0:
        raise ValueError(
            f"needs process=(i, n) with 0 <= i < n and start >= 0, received {process} and {start}"
        )
    return batch_size * num_processes


def _check_sizes(
    index: RecordIndex,
    batch_size: int,
    common_size: int,
    num_frames: int,
    image_size: tuple[int, int],
    repeat: bool,
    drop_remainder: bool,
) -> None:
    if min(batch_size, num_frames, *image_size) < 1:
        raise ValueError(
            "batch_size, num_frames and image_size must be positive, received "
            f"{batch_size}, {num_frames}, {image_size}"
        )
    if drop_remainder and common_size > len(index.offsets):
        raise ValueError(
            f"{len(index.offsets)} clips do not fill one batch of {common_size}; "
            "reduce batch_size or pass drop_remainder=False"
        )
    if repeat and not drop_remainder:
        raise ValueError("repeat=True gives full batches only: leave drop_remainder=True")


def _check_contents(
    index: RecordIndex, tokenizer: Tokenizer | None, num_classes: int | None
) -> None:
    missing = len(index.offsets) - index.num_captioned
    if tokenizer is not None and missing:
        raise ValueError(
            f"{missing} of {len(index.offsets)} clips have no caption; "
            "write the records with require_caption=True or read them without tokenizer"
        )
    if num_classes is not None and not index.num_labelled:
        raise ValueError(f"num_classes={num_classes}, but no clip has a label")
    if num_classes is not None and index.num_classes > num_classes:
        raise ValueError(
            f"num_classes={num_classes}, but the records hold the label {index.num_classes - 1}"
        )


def _stream(
    index: RecordIndex,
    epoch_length: int,
    steps: tuple[int, int],
    shuffle: bool,
    repeat: bool,
    seed: int,
) -> tf.data.Dataset:
    """Pairs of (epoch, position in the index) int64 [2] and the record there."""
    positions = _positions(len(index.offsets), epoch_length, steps, shuffle, repeat, seed)
    if not all(known_to_tensorflow(file) for file in index.files):
        places = positions.map(lambda position: position[1])
        return tf.data.Dataset.zip(positions, fetch_records(places, *index[:4]))
    # Tensors, not arrays: these would be copied into the graph.
    files, shard_ids, offsets = (tf.constant(part) for part in index[:3])
    records = positions.flat_map(
        lambda position: _record_at(files, shard_ids, offsets, position[1])
    )
    return tf.data.Dataset.zip(positions, records)


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
            position = tf.random.experimental.index_shuffle(
                position, tf.stack([tf.constant(seed, tf.int64), epoch]), num_clips - 1
            )
        return tf.stack([epoch, position])

    first, distance = steps
    if repeat:
        return tf.data.Dataset.counter(first, distance).map(locate)
    return tf.data.Dataset.range(first, epoch_length, distance).map(locate)


def _record_at(
    files: Tensor, shard_ids: Tensor, offsets: Tensor, position: Tensor
) -> tf.data.Dataset:
    """The one record at a position of the index; its checksum is verified."""
    # TFRecordDataset cannot start within a file; the operation below it can.
    variant = tf.raw_ops.TFRecordDatasetV2(
        filenames=tf.gather(files, tf.gather(shard_ids, [position])),
        compression_type="",
        buffer_size=tf.constant(_READ_BUFFER, tf.int64),
        byte_offsets=tf.gather(offsets, [position]),
    )
    return tf.data.experimental.from_variant(variant, tf.TensorSpec([], tf.string)).take(1)


def _load_clip(
    position: Tensor,
    record: Tensor,
    *,
    num_frames: int,
    image_size: tuple[int, int],
    num_classes: int | None,
    single_label: bool,
    sampling: str,
    augment: bool,
    flip: bool,
    caption: str | None,
    seed: int,
) -> dict[str, Tensor]:
    """One record at (epoch, position) -> one element of a batch, its caption still a string."""
    clip = parse_clip(record)
    seeds = _seeds(seed, position[0], clip[CLIP_ID])
    videos = _sample_frames(clip[FRAMES], num_frames, sampling, seeds[0])
    if augment:
        videos = random_resized_crop(videos, image_size, seeds[1])
    else:
        videos = resize(videos, image_size)
    if flip:
        videos = random_flip(videos, seeds[2])
    element = {
        "videos": tf.ensure_shape(videos, [num_frames, *image_size, 3]),
        "clip_id": clip[CLIP_ID],
    }
    if num_classes is not None:
        element["labels"] = _multi_hot(clip[LABELS], num_classes)
    elif single_label:
        element["labels"] = tf.cast(clip[LABELS][0], tf.int32)
    if caption is not None:
        element["caption"] = _choose_caption(clip[CAPTIONS], caption, seeds[3])
    return element


def _seeds(seed: int, epoch: Tensor, clip_id: Tensor) -> Tensor:
    """Four independent seeds [4, 2] of a clip in an epoch."""
    epoch_seed = tf.stack([tf.constant(seed, tf.int64), epoch])
    clip_seed = tf.random.experimental.stateless_fold_in(epoch_seed, clip_id)
    return tf.random.experimental.stateless_split(clip_seed, num=4)


def _sample_frames(frames: Tensor, num_frames: int, sampling: str, seed: Tensor) -> Tensor:
    """JPEG strings [n] -> uint8 frames [T, H, W, 3]; only these are decoded."""
    available = tf.size(frames, out_type=tf.int64)
    if sampling == "uniform":
        chosen = uniform(available, num_frames)
    else:
        chosen = random_segment(available, num_frames, seed)
    return decode_jpegs(tf.gather(frames, chosen))


def _multi_hot(labels: Tensor, num_classes: int) -> Tensor:
    counts = tf.math.bincount(tf.cast(labels, tf.int32), minlength=num_classes)
    return tf.ensure_shape(tf.cast(counts > 0, tf.float32), [num_classes])


def _choose_caption(captions: Tensor, caption: str, seed: Tensor) -> Tensor:
    if caption == "first":
        return captions[0]
    return captions[tf.random.stateless_uniform([], seed, 0, tf.size(captions), tf.int32)]


def _tokenize(batch: dict[str, Tensor], tokenizer: Tokenizer) -> dict[str, Tensor]:
    """Replaces the captions [B] of a batch by token ids and padding mask [B, L]."""

    def tokenize(captions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        tokens = tokenizer([caption.decode() for caption in captions])
        return tokens["token_ids"], tokens["padding_mask"]

    captions = batch.pop("caption")
    token_ids, mask = tf.numpy_function(tokenize, [captions], [tf.int32, tf.bool])
    shape = [captions.shape[0], tokenizer.max_length]
    tokens = {
        "token_ids": tf.ensure_shape(token_ids, shape),
        "padding_mask": tf.ensure_shape(mask, shape),
    }
    return batch | tokens
