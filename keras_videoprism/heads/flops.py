"""What an adaptation costs: trainable parameters and trainable operations (Tables 13 to 17).

The "trainable FLOPs" of the paper are those of a forward pass through what trains, for one clip and
one view. Matrix products alone count here, two operations for each multiplication and its sum; the
paper's numbers are up to 1.6 % off (its own count was not published).
"""

import math

from keras_videoprism.heads.adaptation import AdaptedVideoPrism
from keras_videoprism.heads.cross_attention import MLP_RATIO
from keras_videoprism.models.video_prism import VideoPrism

Grid = tuple[int, int, int]  # (T, rows, columns) in patches


def trainable_parameters(model: AdaptedVideoPrism) -> int:
    """Number of parameters that train."""
    return sum(math.prod(weight.shape) for weight in model.trainable_weights)


def trainable_flops(model: AdaptedVideoPrism, grid: Grid, num_queries: int = 1) -> float:
    """Operations of a forward pass through what trains, for one clip.

    As in the paper, each token goes through the kernels of keys and values. `Attention.pool`
    spares them in the first round of a learned query, so that a step may cost less.

    Args:
        model: of which the sizes and the method are read.
        grid: (T, rows, columns) of the clip, in patches.
        num_queries: of the head; 1 for a class, the number of boxes for a detector.
    """
    head = _head_flops(model, math.prod(grid), num_queries)
    if model.method == "adapter":
        return head + _adapter_flops(model, math.prod(grid))
    if model.method == "finetune":
        return head + encoder_flops(model.encoder, grid)
    return head


def encoder_flops(encoder: VideoPrism, grid: Grid) -> float:
    """Operations of the encoder's forward pass for one clip."""
    frames, patches, tokens = grid[0], grid[1] * grid[2], math.prod(grid)
    width, spatial, temporal = (
        encoder.hidden_dim,
        encoder.num_spatial_layers,
        encoder.num_temporal_layers,
    )
    patch = 2 * tokens * 3 * encoder.patch_size**2 * width
    # Query, key, value, output; then both layers of the MLP.
    kernels = 4 * width**2 + 2 * width * encoder.mlp_dim
    if encoder.attention == "joint":
        pairs = (spatial + temporal) * tokens**2
    else:
        pairs = spatial * frames * patches**2 + temporal * patches * frames**2
    return patch + 2 * tokens * kernels * (spatial + temporal) + 4 * pairs * width


def _head_flops(model: AdaptedVideoPrism, tokens: int, queries: int) -> float:
    head, width = model.head, model.encoder.hidden_dim
    inner, paper = head.hidden_dim, head.variant == "paper"
    query_width = inner if paper else width
    kernels = 2 * query_width * inner  # of the query and the output
    if paper:
        kernels += 2 * MLP_RATIO * inner**2
    of_tokens = 2 * tokens * 2 * width * inner  # keys and values
    attention = 4 * queries * tokens * inner
    a_round = of_tokens + attention + 2 * queries * kernels
    return head.num_layers * a_round + 2 * queries * query_width * head.num_classes


def _adapter_flops(model: AdaptedVideoPrism, tokens: int) -> float:
    """Down and Up of each block."""
    return len(model.adapters) * 2 * tokens * 2 * model.encoder.hidden_dim * model.adapter_dim
