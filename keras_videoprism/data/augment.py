"""Frames of stored size -> frames of model size, cropped at the centre or at random.

A box is (begin, size), each (vertical, horizontal) in pixels. One box and one flip serve all frames
of a clip, so that motion stays what it was.
"""

from typing import Any

import numpy as np
import tensorflow as tf

from keras_videoprism.data.sample import CROPS, SHIFTED_SHARE

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
    (box,) = side_boxes(stored_size, image_size, 1)
    return box


def side_boxes(
    stored_size: Tensor, image_size: tuple[int, int], num_boxes: int, share: float = 1.0
) -> list[Box]:
    """Boxes of the wanted shape side by side along the longer direction; one alone is central.

    Args:
        stored_size, image_size: see `central_box`.
        num_boxes: from the first place to the last, evenly spread.
        share: of the side of the largest box.

    Returns:
        Boxes, each int32 [2], int32 [2].
    """
    stored = tf.cast(stored_size, tf.float64)
    wanted = tf.constant(image_size, tf.float64)
    largest = wanted * tf.reduce_min(stored / wanted)
    size = tf.cast(tf.round(share * largest), tf.int32)
    stored_size = tf.cast(stored_size, tf.int32)
    size = tf.clip_by_value(size, 1, stored_size)
    room = stored_size - size
    if num_boxes == 1:
        return [(room // 2, size)]
    longer = tf.one_hot(tf.argmax(stored - largest), 2, dtype=tf.int32)
    steps = (room * i // (num_boxes - 1) for i in range(num_boxes))
    return [(step * longer + room // 2 * (1 - longer), size) for step in steps]


def random_box(
    stored_size: Tensor, image_size: tuple[int, int], seed: Tensor, crop: str = "mild"
) -> Box:
    """A random box, its area and shape within the ranges of `data.sample.CROPS`.

    Args:
        stored_size, image_size: see `central_box`.
        seed: int [2]; the same seed gives the same box.
        crop: name of the ranges; by default 50 to 100 % of the area and 3:4 to 4:3 of the shape.

    Returns:
        int32 [2], int32 [2].
    """
    area_range, aspect_range = CROPS[crop]
    aspect = image_size[1] / image_size[0]
    begin, size, _ = tf.image.stateless_sample_distorted_bounding_box(
        image_size=tf.concat([tf.cast(stored_size, tf.int32), [3]], 0),
        bounding_boxes=tf.constant([[[0.0, 0.0, 1.0, 1.0]]]),
        seed=seed,
        min_object_covered=0.0,
        aspect_ratio_range=[aspect * ratio for ratio in aspect_range],
        area_range=area_range,
    )
    return begin[:2], size[:2]


def shifted_box(stored_size: Tensor, image_size: tuple[int, int], seed: Tensor) -> Box:
    """A random box of one size within the central one: 288 of its 346 pixels (Appendix G).

    Args:
        stored_size, image_size: see `central_box`.
        seed: int [2]; the same seed gives the same box.

    Returns:
        int32 [2], int32 [2].
    """
    begin, outer = central_box(stored_size, image_size)
    size = tf.cast(tf.round(SHIFTED_SHARE * tf.cast(outer, tf.float64)), tf.int32)
    size = tf.maximum(size, 1)
    places = tf.cast(outer - size + 1, tf.float64)
    shift = tf.random.stateless_uniform([2], seed, dtype=tf.float64) * places
    return begin + tf.cast(shift, tf.int32), size


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


def pad(frames: Tensor, image_size: tuple[int, int]) -> Tensor:
    """Whole frames in the middle of black ones of another shape; `padded_boxes` follows.

    Args:
        frames: uint8 [T, H, W, 3].
        image_size: (height, width) in pixels.

    Returns:
        uint8 [T, height, width, 3].
    """
    stored = tf.cast(tf.shape(frames)[1:3], tf.float64)
    scale = tf.reduce_min(tf.constant(image_size, tf.float64) / stored)
    size = tf.clip_by_value(tf.cast(tf.round(stored * scale), tf.int32), 1, image_size)
    # Not by `resize`: the size is a tensor here.
    pixels = tf.cast(tf.round(tf.image.resize(frames, size, antialias=True)), tf.uint8)
    top, left = tf.unstack((image_size - size) // 2)
    return tf.image.pad_to_bounding_box(pixels, top, left, *image_size)


def padded_boxes(
    boxes: np.ndarray, frame_size: np.ndarray, image_size: tuple[int, int]
) -> np.ndarray:
    """Boxes in frames -> the same in the frames that `pad` gives.

    Args:
        boxes: [..., 4]: top, left, bottom, right as shares of height and width.
        frame_size: [2], height and width of the frames before.
        image_size: (height, width) after.

    Returns:
        [..., 4].
    """
    scale = min(np.divide(image_size, frame_size))
    share = np.tile(np.multiply(frame_size, scale) / image_size, 2)
    return 0.5 + (boxes - 0.5) * share
