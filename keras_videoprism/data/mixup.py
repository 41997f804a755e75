"""Mixup (arXiv 1710.09412) and CutMix (arXiv 1905.04899): batches of clips blended in pairs.

The partner of clip i is clip B - 1 - i of the same batch, so the middle one of an odd batch stays
as it is. Defaults are those of official/vision/configs/common.py in tensorflow/models, which
VideoGLUE's strong augmentation uses; CONTRIBUTING.md names where we differ.
"""

from typing import Any

import tensorflow as tf

Tensor = Any


def mixup_cutmix(
    batch: dict[str, Tensor],
    num_classes: int,
    *,
    seed: int,
    step: Tensor,
    mixup_alpha: float = 0.8,
    cutmix_alpha: float = 1.0,
    prob: float = 1.0,
    switch_prob: float = 0.5,
    label_smoothing: float = 0.1,
) -> dict[str, Tensor]:
    """Mixes the clips of a batch with each other, by mixup or by CutMix, and their labels alike.

    Args:
        batch: dict of `videos` uint8 [B, T, H, W, 3], `labels` int [B], one class a clip, and
            others, which stay.
        num_classes: C.
        seed: the batch that comes out is a function of it and the step.
        step: int scalar, number of the batch in the run.
        mixup_alpha: share of a clip in its mixture ~ Beta(alpha, alpha), for mixup.
        cutmix_alpha: the same for CutMix.
        prob: probability that a batch is mixed at all.
        switch_prob: probability that a mixed batch is mixed by CutMix.
        label_smoothing: e; a clip's label is 1 - e + e / C for its class and e / C for the others.

    Returns:
        The batch, with `labels` float32 [B, C], which sum to 1.

    Raises:
        ValueError: labels [B, C], videos of another shape or type, or a number out of its range.
        tf.errors.InvalidArgumentError: a label that is not in [0, C).

    Example:
        batches = batches.enumerate(start).map(
            lambda step, batch: mixup_cutmix(batch, 400, seed=0, step=step)
        )
    """
    videos, labels = (tf.convert_to_tensor(batch[key]) for key in ("videos", "labels"))
    _check_batch(videos, labels)
    _check_numbers(mixup_alpha, cutmix_alpha, prob, switch_prob, label_smoothing)
    step_seed = tf.stack([tf.constant(seed, tf.int64), tf.cast(step, tf.int64)])
    choice_seed, how = tf.unstack(tf.random.experimental.stateless_split(step_seed, num=2))
    is_mixed, is_cut = tf.unstack(
        tf.random.stateless_uniform([2], choice_seed) < [prob, switch_prob]
    )
    videos, share = tf.cond(
        is_mixed,
        lambda: tf.cond(
            is_cut,
            lambda: cutmix(videos, cutmix_alpha, how),
            lambda: mixup(videos, mixup_alpha, how),
        ),
        lambda: (videos, tf.ones_like(labels, tf.float32)),
    )
    smooth = _smooth(labels, num_classes, label_smoothing)
    mixed = share[:, None] * smooth + (1.0 - share[:, None]) * _partners(smooth)
    return batch | {"videos": videos, "labels": mixed}


def draw_shares(alpha: float, num_clips: Tensor, seed: Tensor) -> Tensor:
    """Shares of clips in their mixtures, float32 [B] ~ Beta(alpha, alpha)."""
    draws = tf.random.stateless_gamma(tf.stack([2, num_clips]), seed, alpha)
    return tf.math.divide_no_nan(draws[0], draws[0] + draws[1])


def mixup(videos: Tensor, alpha: float, seed: Tensor) -> tuple[Tensor, Tensor]:
    """Weighted means of all pixels of two clips.

    Args:
        videos: uint8 [B, T, H, W, 3].
        alpha: see `mixup_cutmix`.
        seed: int [2].

    Returns:
        uint8 [B, T, H, W, 3]; float32 [B], the share of each clip in its mixture.
    """
    share = draw_shares(alpha, tf.shape(videos)[0], seed)

    def blend(clip: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        own, partner = (tf.cast(frames, tf.float32) for frames in clip[:2])
        return tf.cast(tf.round(partner + clip[2] * (own - partner)), tf.uint8)

    # Clip by clip: float copies of a whole batch would be too large for the processor's caches.
    clips = (videos, _partners(videos), share)
    return tf.map_fn(
        blend, clips, fn_output_signature=tf.TensorSpec(videos.shape[1:], tf.uint8)
    ), share


def cutmix(videos: Tensor, alpha: float, seed: Tensor) -> tuple[Tensor, Tensor]:
    """Clips with a box of another clip's pixels, at one place in all frames.

    The centre of the box is anywhere in the frame. What is cut off at the border is not counted:
    the share is that of the pixels.

    Args, Returns: see `mixup`.
    """
    share_seed, centre_seed = tf.unstack(tf.random.experimental.stateless_split(seed, num=2))
    num_clips = tf.shape(videos)[0]
    frame_size = tf.cast(tf.shape(videos)[2:4], tf.float32)
    side = tf.sqrt(1.0 - draw_shares(alpha, num_clips, share_seed))
    box_size = tf.floor(side[:, None] * frame_size)  # [B, 2]
    centre = tf.floor(tf.random.stateless_uniform([num_clips, 2], centre_seed) * frame_size)
    begin = centre - tf.floor(box_size / 2.0)
    rows, columns = (
        _between(begin[:, axis], box_size[:, axis], frame_size[axis]) for axis in (0, 1)
    )
    inside = rows[:, :, None] & columns[:, None, :]  # [B, H, W]
    # Bits of both clips differ inside the box. This takes half the time of `tf.where`.
    box = tf.repeat(tf.cast(inside, tf.uint8)[:, None, :, :, None] * 255, 3, axis=-1)
    change = tf.bitwise.bitwise_and(tf.bitwise.bitwise_xor(videos, _partners(videos)), box)
    share = 1.0 - tf.reduce_mean(tf.cast(inside, tf.float32), axis=[1, 2])
    return tf.bitwise.bitwise_xor(videos, change), share


def _partners(clips: Tensor) -> Tensor:
    """The partner of each of [B, ...]; `clips[::-1]` would take fifty times as long."""
    return tf.reverse(clips, [0])


def _between(begin: Tensor, length: Tensor, size: Tensor) -> Tensor:
    """Which of `size` pixels lie in [begin, begin + length): [B] -> bool [B, size]."""
    pixels = tf.range(size)
    return (pixels >= begin[:, None]) & (pixels < (begin + length)[:, None])


def _smooth(labels: Tensor, num_classes: int, label_smoothing: float) -> Tensor:
    """Class ids [B] -> float32 [B, C]."""
    message = f"Labels must be in [0, {num_classes})."
    in_range = (
        tf.debugging.assert_non_negative(labels, message),
        tf.debugging.assert_less(labels, tf.cast(num_classes, labels.dtype), message),
    )
    with tf.control_dependencies([check for check in in_range if check is not None]):
        others = label_smoothing / num_classes
        return tf.one_hot(labels, num_classes, 1.0 - label_smoothing + others, others)


def _check_batch(videos: Tensor, labels: Tensor) -> None:
    if videos.dtype != tf.uint8 or videos.shape.rank != 5:
        raise ValueError(
            f"videos must be uint8 [B, T, H, W, 3]. Received: {videos.dtype.name} {videos.shape}."
        )
    if labels.shape.rank != 1 or not labels.dtype.is_integer:
        raise ValueError(
            "Only clips of one class each are mixed: labels must be int [B]. "
            f"Received: {labels.dtype.name} {labels.shape}. Train several labels a clip without."
        )


def _check_numbers(
    mixup_alpha: float, cutmix_alpha: float, prob: float, switch_prob: float, label_smoothing: float
) -> None:
    if not (mixup_alpha > 0 and cutmix_alpha > 0):
        raise ValueError(
            f"mixup_alpha and cutmix_alpha must be above 0. Received: {mixup_alpha} and "
            f"{cutmix_alpha}. For one kind of mixing alone give switch_prob=0 or 1."
        )
    shares = {"prob": prob, "switch_prob": switch_prob, "label_smoothing": label_smoothing}
    wrong = {name: value for name, value in shares.items() if not 0 <= value <= 1}
    if wrong:
        raise ValueError(f"Probabilities and smoothing must be from 0 to 1. Received: {wrong}.")
