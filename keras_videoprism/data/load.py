"""One record -> one element of a batch; what is random is drawn from (seed, epoch, clip_id)."""

from typing import Any

import tensorflow as tf

from keras_videoprism.data.augment import central_box, random_box, random_flip, resize
from keras_videoprism.data.sample import random_segment, uniform
from keras_videoprism.data.schema import (
    CAPTIONS,
    CLIP_ID,
    FRAMES,
    HEIGHT,
    LABELS,
    WIDTH,
    decode_jpegs,
    parse_clip,
)

Tensor = Any


def load_clip(
    record: Tensor,
    epoch: Tensor,
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
    decode: bool = True,
) -> dict[str, Tensor]:
    """Decodes the frames that are used, and of these the box that is used.

    Args:
        record: serialised clip, scalar string.
        epoch: int64 scalar.
        num_classes: gives `labels` as multi-hot float32 [C].
        single_label: gives `labels` as int32 scalar.
        caption: "random" or "first" gives `caption`, a scalar string.
        decode: False leaves out the videos.

    The others are those of `read_records`.

    Returns:
        Dict of `videos` uint8 [T, H, W, 3], `clip_id` int64 scalar, and as above.
    """
    clip = parse_clip(record)
    seeds = _seeds(seed, epoch, clip[CLIP_ID])
    element = {"clip_id": clip[CLIP_ID]}
    if decode:
        frames = _choose_frames(clip[FRAMES], num_frames, sampling, seeds[0])
        stored_size = tf.stack([clip[HEIGHT], clip[WIDTH]])
        if augment:
            box = random_box(stored_size, image_size, seeds[1])
        else:
            box = central_box(stored_size, image_size)
        videos = resize(decode_jpegs(frames, box), image_size)
        if flip:
            videos = random_flip(videos, seeds[2])
        element["videos"] = tf.ensure_shape(videos, [num_frames, *image_size, 3])
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


def _choose_frames(frames: Tensor, num_frames: int, sampling: str, seed: Tensor) -> Tensor:
    """JPEG strings [n] -> those that are used [T]."""
    available = tf.size(frames, out_type=tf.int64)
    if sampling == "uniform":
        return tf.gather(frames, uniform(available, num_frames))
    return tf.gather(frames, random_segment(available, num_frames, seed))


def _multi_hot(labels: Tensor, num_classes: int) -> Tensor:
    counts = tf.math.bincount(tf.cast(labels, tf.int32), minlength=num_classes)
    return tf.ensure_shape(tf.cast(counts > 0, tf.float32), [num_classes])


def _choose_caption(captions: Tensor, caption: str, seed: Tensor) -> Tensor:
    if caption == "first":
        return captions[0]
    return captions[tf.random.stateless_uniform([], seed, 0, tf.size(captions), tf.int32)]
