"""What a stage-2 student must beat: predictors of the teacher's tokens that learn nothing."""

from typing import Any

import numpy as np

Array = Any


def clip_mean_share(tokens: Array) -> float:
    """Share of the variance of tokens [n, S, D] that the mean token of each clip explains.

    Near 1, all tokens of a clip say the same, and masked distillation has nothing to teach.
    """
    tokens = np.asarray(tokens, dtype="float64")
    centred = tokens - tokens.mean(axis=(0, 1))
    return float(np.square(centred.mean(axis=1)).sum() * tokens.shape[1] / np.square(centred).sum())


def trivial_predictors(train: Array, test: Array) -> dict[str, dict[str, float]]:
    """Losses of predictors that see no frame.

    Args:
        train, test: teacher tokens [n, S, D] of other clips and of the clips to predict.

    Returns:
        `position_mean`: the mean token of each position; `global_mean`: of all positions;
        `clip_mean`: the predicted clip's own mean, an oracle. Each with `token_loss` (mean
        cosine distance) and `residual_cosine` (see `training.losses.residual_cosine`).
    """
    train, test = np.asarray(train, "float32"), np.asarray(test, "float32")
    predictions = {
        "position_mean": train.mean(axis=0, keepdims=True),
        "global_mean": train.mean(axis=(0, 1), keepdims=True),
        "clip_mean": test.mean(axis=1, keepdims=True),
    }
    residual = test - test.mean(axis=1, keepdims=True)
    return {
        name: {
            "token_loss": float(1.0 - cosine(prediction, test).mean()),
            "residual_cosine": float(
                cosine(prediction - prediction.mean(axis=1, keepdims=True), residual).mean()
            ),
        }
        for name, prediction in predictions.items()
    }


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cosines along the last axis; 0 for a zero vector."""
    norms = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    return (a * b).sum(axis=-1) / np.maximum(norms, 1e-12)
