"""One record -> one element of a batch; what is random is drawn from (seed, epoch, clip_id)."""

from typing import Any

import tensorflow as tf

from keras_videoprism.data.augment import (
    central_box,
    pad,
    random_box,
    random_flip,
    resize,
    shifted_box,
    side_boxes,
)
from keras_videoprism.data.rand_augment import rand_augment
from keras_videoprism.data.sample import (
    random_segment,
    random_window,
    segment_centres,
    uniform,
    windows,
)
from keras_videoprism.data.schema import (
    CAPTIONS,
    CLIP_ID,
    FRAMES,
    HEIGHT,
    LABELS,
    PROMPTS,
    WIDTH,
    decode_jpegs,
    parse_clip,
)

Tensor = Any

# Of the largest box: VideoGLUE cuts 224 of 256 pixels where it looks at several views.
VIEW_SHARE = 7 / 8


def load_clip(
    record: Tensor,
    epoch: Tensor,
    *,
    num_frames: int,
    image_size: tuple[int, int],
    num_classes: int | None,
    single_label: bool,
    sampling: str,
    augment: str | None,
    flip: bool,
    caption: str | None,
    seed: int,
    views: tuple[int, int] | None = None,
    whole: bool = False,
    decode: bool = True,
) -> dict[str, Tensor]:
    """Decodes the frames that are used, and of these the box that is used.

    Args:
        record: serialised clip, scalar string.
        epoch: int64 scalar.
        num_classes: gives `labels` as multi-hot float32 [C].
        single_label: gives `labels` as int32 scalar.
        augment: name of the random crop, None for the central one.
        caption: "random" or "first" gives `caption`, and `prompt` ("" where it has none), scalar
            strings.
        decode: False leaves out the videos.

    The others are those of `read_records`.

    Returns:
        Dict of `videos` uint8 [T, H, W, 3] ([V, T, H, W, 3] with views), `clip_id` int64 scalar,
        and as above.
    """
    clip = parse_clip(record)
    seeds = _seeds(seed, epoch, clip[CLIP_ID])
    element = {"clip_id": clip[CLIP_ID]}
    if decode:
        stored_size = tf.cast(tf.stack([clip[HEIGHT], clip[WIDTH]]), tf.int32)
        if views is not None:
            element["videos"] = _views(
                clip[FRAMES], stored_size, num_frames, image_size, sampling, views
            )
        else:
            frames = _choose_frames(clip[FRAMES], num_frames, sampling, seeds[0])
            videos = _fit(frames, stored_size, image_size, augment, whole, seeds[1])
            if flip:
                videos = random_flip(videos, seeds[2])
            if augment == "strong":
                videos = rand_augment(videos, seeds[4])
            element["videos"] = tf.ensure_shape(videos, [num_frames, *image_size, 3])
        if whole:
            element["frame_size"] = stored_size
    if num_classes is not None:
        element["labels"] = _multi_hot(clip[LABELS], num_classes)
    elif single_label:
        element["labels"] = tf.cast(clip[LABELS][0], tf.int32)
    if caption is not None:
        chosen = _choose_caption(clip[CAPTIONS], caption, seeds[3])
        element["caption"] = clip[CAPTIONS][chosen]
        element["prompt"] = tf.cond(
            tf.size(clip[PROMPTS]) > 0, lambda: clip[PROMPTS][chosen], lambda: tf.constant("")
        )
    return element


def _seeds(seed: int, epoch: Tensor, clip_id: Tensor) -> Tensor:
    """Five independent seeds [5, 2] of a clip in an epoch."""
    epoch_seed = tf.stack([tf.constant(seed, tf.int64), epoch])
    clip_seed = tf.random.experimental.stateless_fold_in(epoch_seed, clip_id)
    return tf.random.experimental.stateless_split(clip_seed, num=5)


def _choose_frames(frames: Tensor, num_frames: int, sampling: str, seed: Tensor) -> Tensor:
    """JPEG strings [n] -> those that are used [T]."""
    available = tf.size(frames, out_type=tf.int64)
    if sampling == "random_segment":
        return tf.gather(frames, random_segment(available, num_frames, seed))
    if sampling == "random_window":
        return tf.gather(frames, random_window(available, num_frames, seed))
    if sampling == "window":
        return tf.gather(frames, windows(available, num_frames)[0])
    spread = {"uniform": uniform, "segment_centres": segment_centres}[sampling]
    return tf.gather(frames, spread(available, num_frames))


def _fit(
    frames: Tensor,
    stored_size: Tensor,
    image_size: tuple[int, int],
    augment: str | None,
    whole: bool,
    seed: Tensor,
) -> Tensor:
    """JPEG strings [T] -> uint8 [T, H, W, 3]."""
    if whole:
        return pad(decode_jpegs(frames, (tf.zeros([2], tf.int32), stored_size)), image_size)
    if augment == "shifted":
        box = shifted_box(stored_size, image_size, seed)
    elif augment:
        box = random_box(stored_size, image_size, seed, augment)
    else:
        box = central_box(stored_size, image_size)
    return resize(decode_jpegs(frames, box), image_size)


def _views(
    frames: Tensor,
    stored_size: Tensor,
    num_frames: int,
    image_size: tuple[int, int],
    sampling: str,
    views: tuple[int, int],
) -> Tensor:
    """JPEG strings [n] -> uint8 [V, T, H, W, 3]: each part of the time at each place."""
    num_windows, num_boxes = views
    if sampling == "window":
        available = tf.size(frames, out_type=tf.int64)
        frames = tf.gather(frames, tf.reshape(windows(available, num_frames, num_windows), [-1]))
    else:
        frames = _choose_frames(frames, num_frames, sampling, tf.zeros([2], tf.int64))
    boxes = side_boxes(stored_size, image_size, num_boxes, VIEW_SHARE)
    videos = tf.concat([resize(decode_jpegs(frames, box), image_size) for box in boxes], 0)
    return tf.reshape(videos, [num_windows * num_boxes, num_frames, *image_size, 3])


def _multi_hot(labels: Tensor, num_classes: int) -> Tensor:
    counts = tf.math.bincount(tf.cast(labels, tf.int32), minlength=num_classes)
    return tf.ensure_shape(tf.cast(counts > 0, tf.float32), [num_classes])


def _choose_caption(captions: Tensor, caption: str, seed: Tensor) -> Tensor:
    """Its index, int32."""
    if caption == "first":
        return tf.constant(0)
    return tf.random.stateless_uniform([], seed, 0, tf.size(captions), tf.int32)
