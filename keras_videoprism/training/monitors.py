"""Signs of collapse: do the embeddings of a batch still differ from each other?

A collapsed encoder gives every clip the same embedding, or embeddings along very few directions.
Its loss may look like that of a slow start, so these numbers are logged beside it. All take the
embeddings of a batch and cost one small product.
"""

from keras import ops

from keras_videoprism.layers.typing import Tensor
from keras_videoprism.models.video_prism_lvt import l2_normalize


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
    """Number of directions along which embeddings [B, D] differ: 1 to min(B - 1, D).

    (sum of the eigenvalues of their covariance)^2 / sum of the squares: the participation ratio,
    n for n equal eigenvalues. It needs no eigenvalues, which take half of a small step on a CPU.
    1 where all embeddings are the same.
    """
    x = ops.stop_gradient(l2_normalize(embeddings))
    x = x - ops.mean(x, axis=0)
    covariance = ops.matmul(ops.transpose(x), x)  # [D, D], times B
    total = ops.trace(covariance)
    squares = ops.sum(ops.square(covariance))
    # Rounding errors of equal embeddings point anywhere.
    noise = 1e-6 * ops.cast(ops.shape(x)[0], "float32")
    return ops.where(total < noise, 1.0, ops.square(total) / ops.maximum(squares, 1e-30))
