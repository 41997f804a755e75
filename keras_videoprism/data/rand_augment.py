"""RandAugment (arXiv 1909.13719) of clips: a few random operations of one strength.

All frames of a clip get the same operations, so that motion stays what it was. Operations and
ranges are those of official/vision/ops/augment.py in tensorflow/models, which VideoGLUE's strong
augmentation uses; CONTRIBUTING.md names where we differ.
"""

import math
from typing import Any, NamedTuple

import tensorflow as tf

Tensor = Any

MAX_MAGNITUDE = 10.0
GREY = 128  # of pixels that come from outside of the frame
# Lengths are in pixels of frames of this size, and grow with the shorter side of the frames.
REFERENCE_SIZE = 224.0
MAX_ROTATION = 30.0  # degrees
MAX_SHEAR = 0.3
MAX_TRANSLATION = 10.0  # pixels
MAX_CUTOUT = 40.0  # pixels, half of a side
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601: weights of red, green and blue in a grey value

# A clip has millions of values: `tf.where`, a depthwise convolution or a last dimension of one that
# is broadcast would take ten times as long as the sums and products below.


class Draw(NamedTuple):
    """What is random about one operation; scalars, and one [2]."""

    level: Tensor  # strength from 0 to 1
    signed: Tensor  # the same, or its negative
    place: Tensor  # [2], vertical and horizontal, each from 0 to 1


def rand_augment(
    videos: Tensor,
    seed: Tensor,
    num_layers: int = 2,
    magnitude: float = 9.0,
    magnitude_std: float = 0.5,
) -> Tensor:
    """Applies `num_layers` operations, each drawn from all of `OPERATIONS`, one after the other.

    Args:
        videos: uint8 [T, H, W, 3], the frames of one clip, cropped and of the model's size.
        seed: int [2]; the same seed gives the same result.
        num_layers: number of operations.
        magnitude: mean strength of an operation, from 0 to 10.
        magnitude_std: the strength of each is normal about that, cut off at 0 and 10.

    Returns:
        uint8 [T, H, W, 3].

    Raises:
        ValueError: videos of another shape or type, or a number out of its range.

    Example:
        clips.map(lambda clip: clip | {"videos": rand_augment(clip["videos"], clip["seed"])})
    """
    videos = tf.convert_to_tensor(videos)
    _check(videos, num_layers, magnitude, magnitude_std)
    seed = tf.cast(seed, tf.int64)  # the same numbers as int32 would draw something else
    seeds = tf.unstack(tf.random.experimental.stateless_split(seed, num=2 * num_layers))
    for which, how in zip(seeds[::2], seeds[1::2], strict=True):
        choice = tf.random.stateless_uniform([], which, 0, len(OPERATIONS), tf.int32)
        draw = _draw(how, magnitude, magnitude_std)
        videos = tf.switch_case(choice, _branches(videos, draw))
    return videos


def invert(videos: Tensor) -> Tensor:
    """The negative."""
    return 255 - videos


def posterize(videos: Tensor, bits: Tensor) -> Tensor:
    """Keeps the `bits` highest bits of a value, at least one."""
    step = tf.bitwise.left_shift(1, 8 - tf.maximum(bits, 1))
    return tf.bitwise.bitwise_and(videos, tf.cast(256 - step, tf.uint8))


def solarize(videos: Tensor, threshold: Tensor) -> Tensor:
    """The negative of values from `threshold` on, which is from 0 to 256."""
    is_high = tf.cast(videos, tf.float32) >= tf.cast(threshold, tf.float32)
    return tf.bitwise.bitwise_xor(videos, 255 * tf.cast(is_high, tf.uint8))


def solarize_add(videos: Tensor, addition: Tensor) -> Tensor:
    """Lightens values below 128 by `addition`, from 0 to 127."""
    return videos + tf.cast(addition, tf.uint8) * tf.cast(videos < 128, tf.uint8)


def color(videos: Tensor, factor: Tensor) -> Tensor:
    """From grey (0) over the clip itself (1) to more colour than it has."""
    return _blend(_grey(videos), videos, factor)


def contrast(videos: Tensor, factor: Tensor) -> Tensor:
    """From the mean grey of the clip (0) over the clip itself (1) to more contrast."""
    return _blend(tf.reduce_mean(_grey(videos)), videos, factor)


def brightness(videos: Tensor, factor: Tensor) -> Tensor:
    """From black (0) over the clip itself (1) to more light."""
    return _blend(0.0, videos, factor)


def sharpness(videos: Tensor, factor: Tensor) -> Tensor:
    """From smoothed frames (0) over the clip itself (1) to sharper edges; the border stays.

    A smoothed pixel is the mean of it and its eight neighbours, of which it counts five times.
    """
    pixels = tf.cast(videos, tf.float32)
    columns = pixels[:, :-2] + pixels[:, 1:-1] + pixels[:, 2:]
    sums = columns[:, :, :-2] + columns[:, :, 1:-1] + columns[:, :, 2:]
    smooth = (sums + 4.0 * pixels[:, 1:-1, 1:-1]) / 13.0
    sharp = _blend(smooth, videos[:, 1:-1, 1:-1], factor)
    sharp = tf.concat([videos[:, 1:-1, :1], sharp, videos[:, 1:-1, -1:]], axis=2)
    return tf.concat([videos[:, :1], sharp, videos[:, -1:]], axis=1)


def auto_contrast(videos: Tensor) -> Tensor:
    """Stretches each channel of the clip to the full range of values."""
    low, high = (
        tf.cast(reduce(videos, [0, 1, 2]), tf.float32) for reduce in (tf.reduce_min, tf.reduce_max)
    )
    flat = high == low  # such a channel stays
    scale = 255.0 / tf.where(flat, 255.0, high - low)
    return _to_uint8((tf.cast(videos, tf.float32) - tf.where(flat, 0.0, low)) * scale)


def equalize(videos: Tensor) -> Tensor:
    """Spreads the values of each channel of the clip so that all are about as frequent.

    The rule is Pillow's: values are shared out by whole steps of the cumulative histogram, and the
    highest value is not counted.
    """
    values = tf.cast(videos, tf.int32) + 256 * tf.range(3)
    counts = tf.reshape(tf.math.bincount(tf.reshape(values, [-1]), minlength=768), [3, 256])
    highest = tf.cast(tf.reduce_max(videos, [0, 1, 2]), tf.int32)
    num_lower = tf.reduce_sum(counts, 1) - tf.gather(counts, highest, batch_dims=1)
    step = (num_lower // 255)[:, None]
    below = tf.cumsum(counts, axis=1, exclusive=True)
    spread = tf.minimum((below + step // 2) // tf.maximum(step, 1), 255)
    table = tf.where(step == 0, tf.range(256), spread)  # too few pixels: the channel stays
    return tf.gather(tf.reshape(tf.cast(table, tf.uint8), [-1]), values)


def rotate(videos: Tensor, degrees: Tensor) -> Tensor:
    """Turns the frames about their centre, anticlockwise."""
    height, width = _size(videos)
    sine, cosine = (f(degrees * math.pi / 180.0) for f in (tf.sin, tf.cos))
    x, y = (width - 1.0) / 2.0, (height - 1.0) / 2.0
    return _transform(
        videos, (cosine, -sine, x - cosine * x + sine * y, sine, cosine, y - sine * x - cosine * y)
    )


def shear_x(videos: Tensor, factor: Tensor) -> Tensor:
    """Moves each row to the left by `factor` times its distance from the top."""
    return _transform(videos, (1.0, factor, 0.0, 0.0, 1.0, 0.0))


def shear_y(videos: Tensor, factor: Tensor) -> Tensor:
    """Moves each column up by `factor` times its distance from the left side."""
    return _transform(videos, (1.0, 0.0, 0.0, factor, 1.0, 0.0))


def translate_x(videos: Tensor, pixels: Tensor) -> Tensor:
    """Moves the frames to the left."""
    return _transform(videos, (1.0, 0.0, pixels, 0.0, 1.0, 0.0))


def translate_y(videos: Tensor, pixels: Tensor) -> Tensor:
    """Moves the frames up."""
    return _transform(videos, (1.0, 0.0, 0.0, 0.0, 1.0, pixels))


def cutout(videos: Tensor, half_side: Tensor, place: Tensor) -> Tensor:
    """Greys a square about `place` (shares of height and width), the same in all frames.

    The part of the square that is outside of the frame is lost.
    """
    rows, columns = (
        tf.abs(tf.range(size) + 0.5 - tf.floor(size * share)) < tf.floor(half_side)
        for size, share in zip(_size(videos), tf.unstack(place), strict=True)
    )
    inside = tf.cast((rows[:, None] & columns)[..., None], tf.uint8)
    # Where GREY is less than the value, the difference wraps around, and so does the sum.
    return videos + tf.repeat(inside, 3, axis=-1) * (GREY - videos)


# Each is as likely as any other. Strength makes solarize and posterize weaker, as in the source.
OPERATIONS = {
    "identity": lambda videos, draw: tf.identity(videos),
    "auto_contrast": lambda videos, draw: auto_contrast(videos),
    "equalize": lambda videos, draw: equalize(videos),
    "invert": lambda videos, draw: invert(videos),
    "rotate": lambda videos, draw: rotate(videos, MAX_ROTATION * draw.signed),
    "posterize": lambda videos, draw: posterize(videos, tf.cast(4.0 * draw.level, tf.int32)),
    "solarize": lambda videos, draw: solarize(videos, tf.cast(256.0 * draw.level, tf.int32)),
    "color": lambda videos, draw: color(videos, 0.1 + 1.8 * draw.level),
    "contrast": lambda videos, draw: contrast(videos, 0.1 + 1.8 * draw.level),
    "brightness": lambda videos, draw: brightness(videos, 0.1 + 1.8 * draw.level),
    "sharpness": lambda videos, draw: sharpness(videos, 0.1 + 1.8 * draw.level),
    "shear_x": lambda videos, draw: shear_x(videos, MAX_SHEAR * draw.signed),
    "shear_y": lambda videos, draw: shear_y(videos, MAX_SHEAR * draw.signed),
    "translate_x": lambda videos, draw: translate_x(
        videos, _pixels(videos, MAX_TRANSLATION * draw.signed)
    ),
    "translate_y": lambda videos, draw: translate_y(
        videos, _pixels(videos, MAX_TRANSLATION * draw.signed)
    ),
    "cutout": lambda videos, draw: cutout(
        videos, _pixels(videos, MAX_CUTOUT * draw.level), draw.place
    ),
    "solarize_add": lambda videos, draw: solarize_add(videos, 110.0 * draw.level),
}


def _draw(seed: Tensor, magnitude: float, magnitude_std: float) -> Draw:
    level_seed, seed = tf.unstack(tf.random.experimental.stateless_split(seed, num=2))
    strength = magnitude + magnitude_std * tf.random.stateless_normal([], level_seed)
    level = tf.clip_by_value(strength / MAX_MAGNITUDE, 0.0, 1.0)
    sign, *place = tf.unstack(tf.random.stateless_uniform([3], seed))
    return Draw(level, tf.where(sign < 0.5, level, -level), tf.stack(place))


def _branches(videos: Tensor, draw: Draw) -> list[Any]:
    return [lambda apply=apply: apply(videos, draw) for apply in OPERATIONS.values()]


def _blend(start: Tensor, videos: Tensor, factor: Tensor) -> Tensor:
    """From `start` (factor 0) to the videos (factor 1) and beyond."""
    return _to_uint8(start + factor * (tf.cast(videos, tf.float32) - start))


def _to_uint8(values: Tensor) -> Tensor:
    return tf.cast(tf.round(tf.clip_by_value(values, 0.0, 255.0)), tf.uint8)


def _grey(videos: Tensor) -> Tensor:
    """float32 [T, H, W, 3], three times the grey value."""
    return tf.tensordot(tf.cast(videos, tf.float32), tf.constant([LUMA] * 3), [[-1], [1]])


def _size(videos: Tensor) -> tuple[Tensor, Tensor]:
    """Height and width, float32."""
    height, width = tf.unstack(tf.cast(tf.shape(videos)[1:3], tf.float32))
    return height, width


def _pixels(videos: Tensor, reference_pixels: Tensor) -> Tensor:
    """A length in frames of 224 pixels -> the same part of these frames, in pixels."""
    return reference_pixels * tf.reduce_min(_size(videos)) / REFERENCE_SIZE


def _transform(videos: Tensor, matrix: tuple[Any, ...]) -> Tensor:
    """Takes the pixel at (x, y) from (a x + b y + c, d x + e y + f); the matrix is (a, ..., f)."""
    row = tf.stack([tf.cast(entry, tf.float32) for entry in (*matrix, 0.0, 0.0)])
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=videos,
        transforms=row[None],
        output_shape=tf.shape(videos)[1:3],
        fill_value=float(GREY),
        interpolation="NEAREST",
        fill_mode="CONSTANT",
    )


def _check(videos: Tensor, num_layers: int, magnitude: float, magnitude_std: float) -> None:
    if videos.dtype != tf.uint8 or videos.shape.rank != 4 or videos.shape[-1] != 3:
        raise ValueError(
            "videos must be the frames of one clip, uint8 [T, H, W, 3]. "
            f"Received: {videos.dtype.name} {videos.shape}."
        )
    if num_layers < 0:
        raise ValueError(f"num_layers must be at least 0. Received: {num_layers}.")
    if not 0 <= magnitude <= MAX_MAGNITUDE or magnitude_std < 0:
        raise ValueError(
            f"magnitude must be from 0 to {MAX_MAGNITUDE:g} and magnitude_std at least 0. "
            f"Received: {magnitude} and {magnitude_std}."
        )
