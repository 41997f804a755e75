"""Frames of stored size -> frames of model size, cropped at the centre or at random.

One crop and one flip serve all frames of a clip, so that motion stays what it was.
"""

from typing import Any

import tensorflow as tf

Tensor = Any

# The paper names no augmentation; these are the usual ranges of video training, mild because
# captions and the teacher's targets speak of the whole scene.
AREA_RANGE = (0.5, 1.0)
ASPECT_RANGE = (3 / 4, 4 / 3)


def resize(
    frames: Tensor, image_size: tuple[int, int], method: str = "bilinear", crop: bool = True
) -> Tensor:
    """Largest central crop of the wanted shape, resized with anti-aliasing.

    Args:
        frames: uint8 [T, H, W, 3].
        image_size: (height, width) in pixels.
        method: filter of `tf.image.resize`.
        crop: False squeezes the whole frame into `image_size`.

    Returns:
        float32 [T, height, width, 3] in [0, 1].
    """
    stored = tf.shape(frames)[1:3]
    stored_size, wanted = tf.cast(stored, tf.float64), tf.constant(image_size, tf.float64)
    size = tf.cast(tf.round(wanted * tf.reduce_min(stored_size / wanted)), tf.int32)
    size = tf.clip_by_value(size, 1, stored) if crop else stored
    return _crop_and_resize(frames, (stored - size) // 2, size, image_size, method)


def random_resized_crop(frames: Tensor, image_size: tuple[int, int], seed: Tensor) -> Tensor:
    """As `resize`, with one random box of 50 to 100 % of the area for all frames.

    Args:
        frames: uint8 [T, H, W, 3].
        image_size: (height, width) in pixels.
        seed: int [2]; the same seed gives the same box.

    Returns:
        float32 [T, height, width, 3] in [0, 1].
    """
    aspect = image_size[1] / image_size[0]
    begin, size, _ = tf.image.stateless_sample_distorted_bounding_box(
        image_size=tf.shape(frames)[1:],
        bounding_boxes=tf.constant([[[0.0, 0.0, 1.0, 1.0]]]),
        seed=seed,
        min_object_covered=0.0,
        aspect_ratio_range=[aspect * ratio for ratio in ASPECT_RANGE],
        area_range=AREA_RANGE,
    )
    return _crop_and_resize(frames, begin[:2], size[:2], image_size)


def random_flip(frames: Tensor, seed: Tensor) -> Tensor:
    """Mirrors all frames [T, H, W, 3] left to right with probability 1/2.

    Not for clips whose captions or labels tell left from right.
    """
    flip = tf.random.stateless_uniform([], seed) < 0.5
    return tf.cond(flip, lambda: tf.reverse(frames, axis=[2]), lambda: frames)


def _crop_and_resize(
    frames: Tensor,
    begin: Tensor,
    size: Tensor,
    image_size: tuple[int, int],
    method: str = "bilinear",
) -> Tensor:
    crop = frames[:, begin[0] : begin[0] + size[0], begin[1] : begin[1] + size[1]]
    crop = tf.image.convert_image_dtype(crop, tf.float32)

    def resized() -> Tensor:
        frames = tf.image.resize(crop, image_size, method, antialias=True)
        # Sums of weights can pass 1 by a rounding error; filters other than bilinear overshoot.
        return tf.clip_by_value(frames, 0.0, 1.0)

    # Frames of the right size stay as they are: filtering takes five times as long as decoding.
    return tf.cond(tf.reduce_all(tf.equal(size, image_size)), lambda: crop, resized)
