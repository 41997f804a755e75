"""Which tokens the encoder sees: tube masks (stage 1) and BEVT block masks (stage 2).

Every mask has an exact count, so that shapes are static, and is a pure function of
(seed, step, clip_id). Grids are (T, rows, columns) in patches and N = rows * columns.
"""

import math
from typing import NamedTuple

import numpy as np
from keras import ops

from keras_videoprism.layers.random import random_bits, random_permutation, random_uniform
from keras_videoprism.layers.typing import Tensor

# BEVT's configuration on its 14 x 14 grid: blocks of at least 16 patches, aspect 0.3 to 1/0.3.
MIN_BLOCK_FRACTION = 16 / 196
MIN_ASPECT = 0.3
# With this many blocks nearly every patch is covered, even for a ratio of 0.9.
NUM_BLOCKS = 24

Grid = tuple[int, int, int]


class TubeVisible(NamedTuple):
    """The same patches are visible in every frame.

    patches: int [B, V], ascending.
    """

    patches: Tensor

    def positions(self, grid: Grid) -> Tensor:
        """Flat positions t * N + n, int [B, T * V], frame by frame."""
        frames, rows, columns = grid
        starts = ops.arange(frames, dtype="int32") * (rows * columns)
        tubes = ops.expand_dims(starts, 1) + ops.expand_dims(self.patches, 1)  # [B, T, V]
        return ops.reshape(tubes, (-1, frames * self.patches.shape[1]))


class BlockVisible(NamedTuple):
    """A BEVT mask as two groups of frames: some lose the same patches, the others none.

    masked_frames: int [B, t], the frames that lose patches.
    full_frames: int [B, T - t], the others.
    visible_patches: int [B, v], the patches that every frame keeps.
    masked_patches: int [B, N - v], the others.
    """

    masked_frames: Tensor
    full_frames: Tensor
    visible_patches: Tensor
    masked_patches: Tensor

    @property
    def frames(self) -> Tensor:
        """int [B, T]: a permutation, masked frames first."""
        return ops.concatenate([self.masked_frames, self.full_frames], axis=1)

    @property
    def patches(self) -> Tensor:
        """int [B, N]: a permutation, visible patches first."""
        return ops.concatenate([self.visible_patches, self.masked_patches], axis=1)

    def positions(self, grid: Grid) -> Tensor:
        """Flat positions, int [B, K]: the masked frames' visible patches, then the others'."""
        groups = (
            (self.masked_frames, self.visible_patches),
            (self.full_frames, self.patches),
        )
        positions = []
        for frames, patches in groups:
            starts = ops.expand_dims(frames, 2) * (grid[1] * grid[2])
            tokens = starts + ops.expand_dims(patches, 1)  # [B, frames, patches]
            count = frames.shape[1] * patches.shape[1]  # 0 where every frame is masked
            positions.append(ops.reshape(tokens, (ops.shape(tokens)[0], count)))
        return ops.concatenate(positions, axis=1)


def count_masked(ratio: float, count: int) -> int:
    """Number of masked among `count` tokens; at least one stays visible or ValueError."""
    if not 0.0 <= ratio < 1.0:
        raise ValueError(f"a masking ratio must be in [0, 1); received {ratio}.")
    masked = round(ratio * count)
    if masked == count:
        raise ValueError(
            f"a masking ratio of {ratio} leaves none of {count} tokens visible; lower the ratio "
            "or use larger inputs."
        )
    return masked


def tube_visible(seed: int, step: Tensor, clip_id: Tensor, grid: Grid, ratio: float) -> TubeVisible:
    """Random patches, the same in all frames (stage 1, ratio 0.5: Table 9, Appendix C.1)."""
    num_patches = grid[1] * grid[2]
    num_visible = num_patches - count_masked(ratio, num_patches)
    order = random_permutation(seed, step, clip_id, num_patches, stream=1)
    return TubeVisible(ops.sort(order[:, :num_visible], axis=1))


def bevt_visible(seed: int, step: Tensor, clip_id: Tensor, grid: Grid, ratio: float) -> Tensor:
    """BEVT block mask with an exact count (stage 2, ratio 0.65: Table 9, Appendix C.2).

    As in BEVT, one set of blocks is masked in a run of consecutive frames that wraps around the
    end of the clip, and the other frames are fully visible. The run has ceil(ratio * T) to T
    frames; the blocks grow until exactly round(ratio * T * N) tokens are masked, the last patch
    perhaps not in all frames of the run.

    Returns:
        Visible positions t * N + n, ascending, int [B, T * N - masked].
    """
    frames, rows, columns = grid
    num_patches = rows * columns
    num_masked = count_masked(ratio, frames * num_patches)
    shortest = -(-num_masked // num_patches)
    draws = random_bits(seed, step, clip_id, 2, stream=2)
    length = shortest + draws[:, :1] % (frames - shortest + 1)  # [B, 1]
    offset = _frame_offset(draws[:, 1:], frames)
    order = _block_order(
        seed, step, clip_id, rows, columns, num_masked / ops.cast(length, "float32")
    )  # [B, N]
    within = ops.expand_dims(order, 1) * frames + ops.expand_dims(offset, 2)  # [B, T, N]
    last = ops.max(within) + 1
    key = ops.where(ops.expand_dims(offset < length, 2), within, last + within)
    key = ops.reshape(key, (-1, frames * num_patches))
    return ops.sort(ops.argsort(key, axis=1)[:, num_masked:], axis=1)


def bevt_block_visible(
    seed: int,
    step: Tensor,
    clip_id: Tensor,
    grid: Grid,
    ratio: float,
    num_masked_frames: int,
) -> BlockVisible:
    """BEVT block mask whose run has the same length in all clips: regular shapes, fastest.

    The count is exact up to `num_masked_frames / 2` tokens, the same for all clips.
    """
    frames, rows, columns = grid
    num_patches = rows * columns
    count = count_masked(ratio, frames * num_patches)
    lengths = [t for t in range(1, frames + 1) if 0 < round(count / t) < num_patches]
    if num_masked_frames not in lengths:
        raise ValueError(
            f"num_masked_frames must be one of {lengths} for {frames} frames of {num_patches} "
            f"patches and a masking ratio of {ratio}; received {num_masked_frames}."
        )
    num_masked = round(count / num_masked_frames)
    draws = random_bits(seed, step, clip_id, 2, stream=2)
    offset = _frame_offset(draws[:, 1:], frames)
    order = _block_order(seed, step, clip_id, rows, columns, float(num_masked))
    frame_order = ops.argsort(offset, axis=1)
    patch_order = ops.argsort(-order, axis=1)
    num_visible = num_patches - num_masked
    return BlockVisible(
        frame_order[:, :num_masked_frames],
        frame_order[:, num_masked_frames:],
        patch_order[:, :num_visible],
        patch_order[:, num_visible:],
    )


def bevt_released_mask(rng: np.random.Generator, grid: Grid = (8, 14, 14)) -> np.ndarray:
    """Mask as BEVT's released configuration draws it, bool [T, rows, columns]; True is masked.

    For comparison only: its count varies and never exceeds half of the tokens.
    """
    frames, rows, columns = grid
    target, minimum = rows * columns // 2, round(MIN_BLOCK_FRACTION * rows * columns)
    spatial = np.zeros((rows, columns), dtype=bool)
    while spatial.sum() < target and _add_released_block(rng, spatial, target, minimum):
        pass
    start = rng.integers(frames)
    length = rng.integers(max(frames // 2, 1), frames + 1)
    masked = np.zeros(grid, dtype=bool)
    masked[(start + np.arange(length)) % frames] = spatial
    return masked


def _add_released_block(
    rng: np.random.Generator, spatial: np.ndarray, target: int, minimum: int
) -> bool:
    """Mask one more block in place; False where ten attempts found none that fits."""
    rows, columns = spatial.shape
    room = target - spatial.sum()
    for _ in range(10):
        area = rng.uniform(*sorted((minimum, room)))
        aspect = math.exp(rng.uniform(math.log(MIN_ASPECT), -math.log(MIN_ASPECT)))
        height, width = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if height >= rows or width >= columns:
            continue
        top, left = rng.integers(rows - height + 1), rng.integers(columns - width + 1)
        block = spatial[top : top + height, left : left + width]
        if 0 < np.sum(~block) <= room:
            block[:] = True
            return True
    return False


def slots_in_place(positions: Tensor, count: int) -> Tensor:
    """Where each position finds its token: int [B, count], K for a masked position.

    Args:
        positions: int [B, K], the positions of the visible tokens.
        count: number of all positions.
    """
    batch_size, num_visible = ops.shape(positions)[0], positions.shape[1]
    starts = ops.expand_dims(ops.arange(batch_size, dtype="int32") * count, 1)
    indices = ops.reshape(ops.cast(positions, "int32") + starts, (-1, 1))
    values = ops.tile(ops.arange(num_visible, dtype="int32"), [batch_size])
    slots = ops.full((batch_size * count,), num_visible, dtype="int32")
    return ops.reshape(ops.scatter_update(slots, indices, values), (-1, count))


def slots_shuffled(permutation: Tensor, num_visible: int) -> Tensor:
    """Slots of a shuffled sequence (Algorithm 1): int [B, count], K for a mask token."""
    return ops.minimum(permutation, num_visible)


def _frame_offset(start: Tensor, frames: int) -> Tensor:
    """How many frames after the first masked one each frame comes, cyclic: int [B, T]."""
    return (ops.arange(frames, dtype="int32") - start % frames) % frames


def _block_order(
    seed: int, step: Tensor, clip_id: Tensor, rows: int, columns: int, num_masked: Tensor
) -> Tensor:
    """Order in which random blocks mask the patches: distinct int [B, N], lowest first.

    Blocks have BEiT's sizes: area uniform between the minimum and the target, aspect log-uniform.
    """
    u = random_uniform(seed, step, clip_id, 4 * NUM_BLOCKS + 1, stream=3)
    u, direction = u[:, :-1], u[:, -1:]
    area, aspect, top, left = ops.split(u, 4, axis=1)  # [B, NUM_BLOCKS]
    minimum = MIN_BLOCK_FRACTION * rows * columns
    area = minimum + area * ops.maximum(num_masked - minimum, 0.0)
    aspect = ops.exp((2.0 * aspect - 1.0) * math.log(MIN_ASPECT))
    inside_rows = _span(ops.sqrt(area * aspect), top, rows)  # [B, NUM_BLOCKS, rows]
    inside_columns = _span(ops.sqrt(area / aspect), left, columns)
    covered = ops.logical_and(
        ops.expand_dims(inside_rows, 3), ops.expand_dims(inside_columns, 2)
    )  # [B, NUM_BLOCKS, rows, columns]
    index = np.arange(NUM_BLOCKS, dtype="int32").reshape(1, -1, 1, 1)
    first = ops.min(ops.where(covered, index, NUM_BLOCKS), axis=1)
    num_patches = rows * columns
    first = ops.reshape(first, (-1, num_patches))  # number of the first block that covers a patch
    # Row by row within a block, from above or from below, so that a cut block stays a block.
    raster = ops.arange(num_patches, dtype="int32")
    raster = ops.where(direction < 0.5, raster, num_patches - 1 - raster)
    return first * num_patches + raster


def _span(length: Tensor, place: Tensor, size: int) -> Tensor:
    """Bool [B, NUM_BLOCKS, size]: inside the segment of this length at this relative place."""
    length = ops.clip(ops.round(length), 1, max(size - 1, 1))
    start = ops.expand_dims(ops.floor(place * (size - length + 1)), 2)
    axis = ops.arange(size, dtype="float32")
    return ops.logical_and(axis >= start, axis < start + ops.expand_dims(length, 2))
