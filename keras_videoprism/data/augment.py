"""Frames of stored size -> frames of model size, cropped at the centre or at random.

A box is (begin, size), each (vertical, horizontal) in pixels. One box and one flip serve all frames
of a clip, so that motion stays what it was.
"""

from typing import Any

import tensorflow as tf

from keras_videoprism.data.sample import AREA_RANGE, ASPECT_RANGE

Tensor = Any
Box = tuple[Tensor, Tensor]


def central_box(stored_size: Tensor, image_size: tuple[int, int]) -> Box:
    """The largest central box of the wanted shape.

    Args:
        stored_size: int [2], height and width of the frames.
        image_size: (height, width) that the box will be resized to.

    Returns:
        int32 [2], int32 [2].
    """
    stored = tf.cast(stored_size, tf.float64)
    wanted = tf.constant(image_size, tf.float64)
    size = tf.cast(tf.round(wanted * tf.reduce_min(stored / wanted)), tf.int32)
    stored_size = tf.cast(stored_size, tf.int32)
    size = tf.clip_by_value(size, 1, stored_size)
    return (stored_size - size) // 2, size


def random_box(stored_size: Tensor, image_size: tuple[int, int], seed: Tensor) -> Box:
    """A random box of 50 to 100 % of the area, its shape within 3:4 to 4:3 of the wanted one.

    Args:
        stored_size, image_size: see `central_box`.
        seed: int [2]; the same seed gives the same box.

    Returns:
        int32 [2], int32 [2].
    """
    aspect = image_size[1] / image_size[0]
    begin, size, _ = tf.image.stateless_sample_distorted_bounding_box(
        image_size=tf.concat([tf.cast(stored_size, tf.int32), [3]], 0),
        bounding_boxes=tf.constant([[[0.0, 0.0, 1.0, 1.0]]]),
        seed=seed,
        min_object_covered=0.0,
        aspect_ratio_range=[aspect * ratio for ratio in ASPECT_RANGE],
        area_range=AREA_RANGE,
    )
    return begin[:2], size[:2]


def random_flip(frames: Tensor, seed: Tensor) -> Tensor:
    """Mirrors all frames [T, H, W, 3] left to right with probability 1/2.

    Not for clips whose captions or labels tell left from right.
    """
    flip = tf.random.stateless_uniform([], seed) < 0.5
    return tf.cond(flip, lambda: tf.reverse(frames, axis=[2]), lambda: frames)


def resize(frames: Tensor, image_size: tuple[int, int], method: str = "bilinear") -> Tensor:
    """Whole frames at another size, anti-aliased where they shrink.

    Args:
        frames: uint8 [T, H, W, 3].
        image_size: (height, width) in pixels.
        method: filter of `tf.image.resize`.

    Returns:
        uint8 [T, height, width, 3].
    """

    def filtered(antialias: bool) -> Tensor:
        pixels = tf.image.resize(frames, image_size, method, antialias=antialias)
        # Filters other than bilinear overshoot.
        return tf.cast(tf.clip_by_value(tf.round(pixels), 0.0, 255.0), tf.uint8)

    # Frames of the right size stay as they are: filtering takes five times as long as decoding.
    # Anti-aliasing changes nothing in frames that grow, but takes longer.
    stored_size = tf.shape(frames)[1:3]
    return tf.case(
        [
            (tf.reduce_all(stored_size == image_size), lambda: frames),
            (tf.reduce_any(stored_size > image_size), lambda: filtered(True)),
        ],
        default=lambda: filtered(False),
    )
