"""Signs of collapse: do the embeddings of a batch still differ from each other?

A collapsed encoder gives every clip the same embedding, or embeddings along very few directions.
Its loss may look like that of a slow start, so these numbers are logged beside it. All take the
embeddings of a batch and cost one small product; only `effective_rank` needs eigenvalues.
"""

import numpy as np
from keras import ops

from keras_videoprism.layers.typing import Tensor
from keras_videoprism.models.video_prism_lvt import l2_normalize

# The cost of eigenvalues grows with the cube of this: 64 take 0.5 ms on a CPU.
MAX_RANK_CLIPS = 64


def embedding_std(embeddings: Tensor) -> Tensor:
    """Spread of the directions of embeddings [B, D]: 0 where all are the same, 1 at most.

    The standard deviation over the batch of each dimension of the L2-normalised embeddings, its
    mean over dimensions (Chen & He, SimSiam, 2021, section 4.1), times sqrt(D) so that the width
    does not matter.
    """
    x = ops.stop_gradient(l2_normalize(embeddings))
    width = ops.cast(ops.shape(x)[1], "float32")
    return ops.mean(ops.std(x, axis=0)) * ops.sqrt(width)


def pair_cosine(embeddings: Tensor) -> Tensor:
    """Mean cosine of two different clips among embeddings [B, D]: 1 where all are the same."""
    x = ops.stop_gradient(l2_normalize(embeddings))
    count = ops.cast(ops.shape(x)[0], "float32")
    total = ops.sum(ops.square(ops.sum(x, axis=0)))  # of all B * B cosines
    return (total - count) / ops.maximum(count * (count - 1.0), 1.0)


def effective_rank(embeddings: Tensor) -> Tensor:
    """Number of directions that embeddings [B, D] fill: 1 to min(B, D, MAX_RANK_CLIPS).

    exp of the entropy of the singular values, as shares of their sum (Roy & Vetterli, 2007;
    RankMe, Garrido et al., 2023), of the first `MAX_RANK_CLIPS` L2-normalised embeddings. They
    are the roots of the eigenvalues of the cosines of all pairs; those below the rounding error
    of float32 count as 0. NaN where an embedding is not finite.
    """
    x = ops.stop_gradient(l2_normalize(embeddings[:MAX_RANK_CLIPS]))
    finite = ops.all(ops.isfinite(x))
    x = ops.where(finite, x, 0.0)  # the eigenvalues of NaN are an error on torch
    values, _ = ops.eigh(ops.matmul(x, ops.transpose(x)))
    noise = ops.max(values) * MAX_RANK_CLIPS * np.finfo("float32").eps
    singular = ops.sqrt(ops.where(values > noise, values, 0.0))
    shares = singular / ops.maximum(ops.sum(singular), 1e-12)
    entropy = -ops.sum(shares * ops.log(ops.maximum(shares, 1e-12)))
    return ops.where(finite, ops.exp(entropy), np.nan)
