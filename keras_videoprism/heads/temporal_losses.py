"""Losses of G-TAD (Xu et al., 2020, section 3.5; public code: loss_function.py)."""

from keras import ops

from keras_videoprism.layers.typing import Tensor

BOUNDARY_THRESHOLD = 0.5  # a step is a boundary from this share of its target on
COMPLETE_OVERLAP = 0.9  # a candidate is positive for the classification
HIGH_OVERLAP, LOW_OVERLAP = 0.7, 0.3  # groups of candidates for the regression
REGRESSION_WEIGHT = 10.0
EPSILON = 1e-6  # inside of logarithms


def balanced_cross_entropy(
    probabilities: Tensor, positives: Tensor, valid: Tensor | None = None
) -> Tensor:
    """Half the mean over all positives of a batch, plus half the mean over all negatives.

    The same as the ratios of counts in the public code, but defined where a batch has no positive
    (or no negative): that half is then 0.

    Args:
        probabilities: in [0, 1], any shape.
        positives: bool, the same shape.
        valid: bool, broadcastable; entries that are False do not count. None counts all.
    """
    positives = ops.cast(positives, "float32")
    negatives = 1.0 - positives
    if valid is not None:
        valid = ops.cast(valid, "float32")
        positives, negatives = positives * valid, negatives * valid
    hits = _mean(-ops.log(probabilities + EPSILON), positives)
    misses = _mean(-ops.log(1.0 - probabilities + EPSILON), negatives)
    return 0.5 * (hits + misses)


def regression_loss(predicted: Tensor, overlaps: Tensor, draws: Tensor) -> Tensor:
    """Half the squared error, over as many candidates of high, of middle and of low overlap.

    All candidates above 0.7 count. Of those in (0.3, 0.7] and in (0, 0.3], each counts with the
    probability that makes their expected numbers equal to it. Candidates without overlap never do.

    Args:
        predicted, overlaps: [B, D, S] in [0, 1].
        draws: [B, D, S], uniform in [0, 1): a candidate counts where its draw is low enough.
    """
    high = ops.cast(overlaps > HIGH_OVERLAP, "float32")
    middle = ops.cast(overlaps > LOW_OVERLAP, "float32") - high
    low = ops.cast(overlaps > 0.0, "float32") - middle - high
    weights = high
    for group in (middle, low):
        share = ops.sum(high) / ops.maximum(ops.sum(group), 1.0)
        weights = weights + group * ops.cast(ops.less(draws, share), "float32")
    return 0.5 * _mean(ops.square(predicted - overlaps), weights)


def localisation_losses(
    outputs: dict[str, Tensor], targets: dict[str, Tensor], draws: Tensor, valid: Tensor
) -> dict[str, Tensor]:
    """The losses of a batch and their weighted sum.

    Args:
        outputs: "map" [B, 2, D, S], "start" and "end" [B, T] of the detector.
        targets: "overlaps" [B, D, S], "starts" and "ends" [B, T] of `segment_targets`.
        draws: see `regression_loss`.
        valid: bool [D, S]; True for candidates inside the video.

    Returns:
        Scalars "boundary", "regression", "classification" and "total".
    """
    boundary = sum(
        balanced_cross_entropy(outputs[name], targets[f"{name}s"] > BOUNDARY_THRESHOLD)
        for name in ("start", "end")
    )
    overlaps = targets["overlaps"]
    regression = regression_loss(outputs["map"][:, 0], overlaps, draws)
    classification = balanced_cross_entropy(
        outputs["map"][:, 1], overlaps > COMPLETE_OVERLAP, valid
    )
    total = boundary + REGRESSION_WEIGHT * regression + classification
    return {
        "boundary": boundary,
        "regression": regression,
        "classification": classification,
        "total": total,
    }


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    """Mean by weights of 0 or 1; 0 where all are 0."""
    return ops.sum(values * weights) / ops.maximum(ops.sum(weights), 1.0)
