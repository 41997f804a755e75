"""Losses of both stages, and the measures that tell what stage 2 has learned."""

import keras
from keras import ops

from keras_videoprism.layers.patch_embedding import patchify
from keras_videoprism.layers.typing import Tensor
from keras_videoprism.models.video_prism_lvt import l2_normalize


def contrastive_loss(video: Tensor, text: Tensor, logit_scale: Tensor) -> Tensor:
    """Symmetric cross-entropy over the similarities of all pairs in the batch (section 2.3.1).

    Args:
        video, text: [B, D], L2-normalised; row i of both belongs together.
        logit_scale: factor of the similarities, 1 / temperature.
    """
    logits = similarity(video, text) * logit_scale  # [B, B]
    matching = ops.mean(ops.diagonal(logits))
    video_to_text = ops.mean(ops.logsumexp(logits, axis=1))
    text_to_video = ops.mean(ops.logsumexp(logits, axis=0))
    return (video_to_text + text_to_video) / 2.0 - matching


def sigmoid_loss(video: Tensor, text: Tensor, logit_scale: Tensor, logit_bias: Tensor) -> Tensor:
    """Binary cross-entropy of each pair in the batch (SigLIP, Zhai et al., 2023).

    Args:
        video, text, logit_scale: see `contrastive_loss`.
        logit_bias: added to the logits; negative, since most pairs do not match.

    Returns:
        The sum over all pairs, divided by B.
    """
    logits = similarity(video, text) * logit_scale + logit_bias  # [B, B]
    no_match = ops.sum(ops.softplus(logits), axis=1)  # as if no pair belonged together
    return ops.mean(no_match - ops.diagonal(logits))  # softplus(-x) = softplus(x) - x


def similarity(video: Tensor, text: Tensor) -> Tensor:
    """Cosines of all pairs, [B, B], in float32."""
    return ops.matmul(ops.cast(video, "float32"), ops.transpose(ops.cast(text, "float32")))


def recall_at_1(video: Tensor, text: Tensor) -> Tensor:
    """Share of clips whose own text is the nearest within the batch."""
    nearest = ops.cast(ops.argmax(similarity(video, text), axis=1), "int32")
    return ops.mean(ops.cast(ops.equal(nearest, ops.arange(ops.shape(video)[0])), "float32"))


def cosine_distance(x: Tensor, y: Tensor) -> Tensor:
    """1 - cosine along the last axis, in float32 (Appendix C.2)."""
    return 1.0 - ops.sum(l2_normalize(x) * l2_normalize(y), axis=-1)


def pixel_targets(videos: Tensor, patch_size: int) -> Tensor:
    """Pixels of each patch, less their mean and over their deviation, as in MAE.

    Args:
        videos: [B, T, H, W, 3], float in [0, 1] or uint8.
        patch_size: side P of a patch in pixels.

    Returns:
        float32 [B, T*N, P*P*3].
    """
    patches = patchify(videos, patch_size)  # [B, T, N, P*P*3]
    scale = 255.0 if keras.backend.standardize_dtype(patches.dtype) == "uint8" else 1.0
    patches = ops.cast(patches, "float32") / scale
    mean = ops.mean(patches, axis=-1, keepdims=True)
    variance = ops.mean(ops.square(patches - mean), axis=-1, keepdims=True)
    normalized = (patches - mean) * ops.rsqrt(variance + 1e-6)
    _, frames, count, width = ops.shape(normalized)
    return ops.reshape(normalized, (-1, frames * count, width))


def reconstruction_loss(pixels: Tensor, target: Tensor, dropped: Tensor) -> Tensor:
    """Mean squared error over the dropped patches of each clip (Feichtenhofer et al., 2022).

    Args:
        pixels, target: [B, S, P*P*3].
        dropped: bool [B, S]; as many of each clip, at least one.

    Returns:
        float32 [B].
    """
    difference = ops.cast(pixels, "float32") - ops.cast(target, "float32")
    error = ops.mean(ops.square(difference), axis=-1)  # [B, S]
    weights = ops.cast(dropped, "float32")
    return ops.sum(error * weights, axis=1) / ops.sum(weights, axis=1)


def masked_mean(x: Tensor, mask: Tensor = None) -> Tensor:
    """Mean of x [B, S] where mask is True, or of all."""
    if mask is None:
        return ops.mean(x)
    weights = ops.cast(mask, x.dtype)
    return ops.sum(x * weights) / ops.maximum(ops.sum(weights), 1.0)


def residual_cosine(tokens: Tensor, target: Tensor, mask: Tensor = None) -> Tensor:
    """Cosine of predicted and true tokens [B, S, D], each without its own clip's mean.

    A predictor that knows the clip but nothing within the clip scores 0, however low its cosine
    distance is.
    """
    tokens = tokens - ops.mean(tokens, axis=1, keepdims=True)
    target = target - ops.mean(target, axis=1, keepdims=True)
    return 1.0 - masked_mean(cosine_distance(tokens, target), mask)
