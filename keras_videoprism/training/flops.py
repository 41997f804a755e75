"""Floating-point operations of a training step, counted from the sizes of the model.

Matrix products alone count, two operations for each multiplication and its sum: of a layer, twice
its kernel for each token; of attention, four times its width for each pair of query and key. The
backward pass costs two forward passes, one where the input needs no gradient, and none in what is
frozen. These are the operations that the model needs ("model FLOPs", PaLM, Chowdhery et al., 2022,
appendix B): what is computed again to save memory, or only to be masked away, does not count.
"""

import math
import time
from typing import NamedTuple

import keras
from keras import ops

from keras_videoprism.layers.global_decoder import GlobalDecoder
from keras_videoprism.layers.joint_encoder import Encoder, JointEncoder
from keras_videoprism.layers.map_pooler import MAPPooler
from keras_videoprism.layers.masking import Grid, count_masked
from keras_videoprism.layers.text_encoder import TextEncoder
from keras_videoprism.layers.token_shuffle_decoder import TokenShuffleDecoder
from keras_videoprism.layers.transformer import Transformer
from keras_videoprism.layers.typing import Tensor
from keras_videoprism.models.video_prism_lvt import VideoPrismLvT
from keras_videoprism.training.stage import Stage
from keras_videoprism.training.stage1 import Stage1Model
from keras_videoprism.training.stage2 import Stage2Model

PRODUCT_SIZE = 4096  # of the square matrices that measure a peak


def measure_peak(dtype: str = "float32", size: int = PRODUCT_SIZE, tries: int = 5) -> float:
    """Operations per second of a large matrix product on one device, the best of some tries."""
    matrix = ops.ones((size, size), dtype)
    best = math.inf
    for _ in range(1 + tries):  # the first compiles
        start = time.perf_counter()
        ops.convert_to_numpy(ops.matmul(matrix, matrix)[0, 0])  # waits for the product
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best


class Visible(NamedTuple):
    """What the encoder sees of a clip.

    tokens: number of visible tokens.
    space_pairs, time_pairs: pairs of a query and a key in one frame, and at one place.
    """

    tokens: float
    space_pairs: float
    time_pairs: float


class Work(NamedTuple):
    """What a step does: tokens that the video encoder sees, and operations."""

    visible_tokens: float
    flops: float


def step_work(stage: Stage, batch: dict[str, Tensor]) -> Work:
    """Work of a step of `stage` on a batch, of which only the shapes are read."""
    if isinstance(stage, Stage1Model) and "video_tokens" in batch:
        work = cached_work(stage, batch["video_tokens"].shape[1], batch["token_ids"].shape[1])
    elif isinstance(stage, Stage1Model):
        work = stage1_work(stage, stage.encoder.grid(batch["videos"]), batch["token_ids"].shape[1])
    elif isinstance(stage, Stage2Model):
        work = stage2_work(stage, stage.encoder.grid(batch["videos"]))
    else:
        raise ValueError(f"stage must be a Stage1Model or a Stage2Model; received {stage!r}.")
    clips = next(iter(batch.values())).shape[0]
    return Work(clips * work.visible_tokens, clips * work.flops)


def stage1_work(stage: Stage1Model, grid: Grid, text_length: int) -> Work:
    """Work of a step for each clip, without the B x B similarities.

    Args:
        stage: the towers and the ratio of dropped tokens.
        grid: (T, rows, columns) of the clip, in patches.
        text_length: L, padding included.
    """
    visible = tube(grid, stage.dropping_ratio)
    flops = cached_work(stage, visible.tokens, text_length).flops
    if stage.pixel_decoder is not None:
        flops += 3 * _token_decoder(stage.pixel_decoder, visible.tokens, math.prod(grid))
    return Work(visible.tokens, flops + _training(stage.encoder, grid, visible))


def cached_work(stage: Stage1Model, num_tokens: float, text_length: int) -> Work:
    """Work of a step for each clip where the encoder's tokens are given; it learns nothing then."""
    model = stage.model
    learned = _pool(model, num_tokens) + _text(model.text_encoder, text_length)
    spared = 0.0
    if not stage.encoder.trainable and model.auxiliary_encoder is None:  # tokens need no gradient
        spared = _pooling(model.pooler, num_tokens)
    return Work(num_tokens, 3 * learned - spared)


def stage2_work(stage: Stage2Model, grid: Grid) -> Work:
    """Work of a step for each clip; the teacher's forward pass over all tokens is part of it."""
    visible, whole = stage2_visible(stage, grid), tube(grid, 0.0)
    teacher = stage.teacher.video_encoder.encoder
    frozen = _training(teacher, grid, whole)
    learned = _token_decoder(stage.token_decoder, visible.tokens, whole.tokens)
    if stage.global_decoder is not None:
        frozen += _pool(stage.teacher, whole.tokens)
        learned += _global_decoder(stage.global_decoder, visible.tokens)
    encoder = _training(stage.encoder, grid, visible)
    return Work(visible.tokens, frozen + 3 * learned + encoder)


def stage2_visible(stage: Stage2Model, grid: Grid) -> Visible:
    """What the student sees; where the masked run has any length, the mean over all lengths."""
    if stage.mask == "tube":
        return tube(grid, stage.masking_ratio)
    frames, patches = grid[0], grid[1] * grid[2]
    masked = count_masked(stage.masking_ratio, frames * patches)
    if stage.num_masked_frames is not None:
        run = stage.num_masked_frames
        return blocks(grid, run, patches - round(masked / run))
    if masked == 0:
        return tube(grid, 0.0)
    runs = range(-(-masked // patches), frames + 1)
    each = [blocks(grid, run, patches - masked / run) for run in runs]
    return Visible(*(sum(column) / len(runs) for column in zip(*each, strict=True)))


def tube(grid: Grid, ratio: float) -> Visible:
    """All frames show the same part of the patches."""
    patches = grid[1] * grid[2]
    return blocks(grid, grid[0], patches - count_masked(ratio, patches))


def blocks(grid: Grid, num_masked_frames: int, visible_patches: float) -> Visible:
    """Some frames show the same `visible_patches`, the others all."""
    frames, patches = grid[0], grid[1] * grid[2]
    full = frames - num_masked_frames
    return Visible(
        num_masked_frames * visible_patches + full * patches,
        num_masked_frames * visible_patches**2 + full * patches**2,
        visible_patches * frames**2 + (patches - visible_patches) * full**2,
    )


# Operations of a forward pass for one clip.


def _products(layer: keras.layers.Layer, tokens: float) -> float:
    """Of all linear layers within `layer`."""
    return 2 * tokens * sum(math.prod(w.shape) for w in layer.weights if w.name == "kernel")


def _transformer(transformer: Transformer, tokens: float, pairs: float) -> float:
    widths = sum(
        block.attention.num_heads * block.attention.head_dim for block in transformer.blocks
    )
    return _products(transformer, tokens) + 4 * pairs * widths


def _patches(encoder: Encoder, grid: Grid) -> float:
    """All patches are embedded, hidden ones too; no gradient goes on to the videos."""
    return _products(encoder.patch_embedding, math.prod(grid))


def _stacks(encoder: Encoder, visible: Visible) -> list[tuple[Transformer, float]]:
    """The Transformers of an encoder, and the pairs of tokens that each compares."""
    if isinstance(encoder, JointEncoder):
        return [(encoder.joint_encoder, visible.tokens**2)]
    return [
        (encoder.spatial_encoder, visible.space_pairs),
        (encoder.temporal_encoder, visible.time_pairs),
    ]


def _training(encoder: Encoder, grid: Grid, visible: Visible) -> float:
    """Forward and, through what is not frozen, backward."""
    flops = _patches(encoder, grid) * (2 if encoder.patch_embedding.trainable else 1)
    for stack, pairs in _stacks(encoder, visible):
        flops += _transformer(stack, visible.tokens, pairs) * (3 if stack.trainable else 1)
    return flops


def _pool(model: VideoPrismLvT, tokens: float) -> float:
    flops = _map_pooler(model.pooler, tokens)
    if model.auxiliary_encoder is not None:
        flops += _transformer(model.auxiliary_encoder, tokens, tokens**2)
    return flops


def _map_pooler(pooler: MAPPooler, tokens: float) -> float:
    attention = pooler.attention
    flops = _products(attention.value, 1) + _products(attention.output_projection, 1)
    return flops + _pooling(pooler, tokens)


def _pooling(pooler: MAPPooler, tokens: float) -> float:
    """Logits of each token and head, and the average of the tokens for each head."""
    return 4 * tokens * pooler.num_heads * pooler.attention.key.kernel.shape[0]


def _text(text_encoder: TextEncoder, length: int) -> float:
    """With the class token; masked pairs are computed."""
    return _transformer(text_encoder.transformer, length + 1, (length + 1) ** 2)


def _token_decoder(decoder: TokenShuffleDecoder, visible: float, tokens: float) -> float:
    flops = _products(decoder.input_projection, visible)
    flops += _products(decoder.output_projection, tokens)
    return flops + _transformer(decoder.transformer, tokens, tokens**2)


def _global_decoder(decoder: GlobalDecoder, tokens: float) -> float:
    flops = _products(decoder.input_projection, tokens)
    flops += _products(decoder.output_projection, tokens)
    flops += _transformer(decoder.transformer, tokens, tokens**2)
    return flops + _map_pooler(decoder.pooler, tokens)
