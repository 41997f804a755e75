import numpy as np
import pytest
from keras import ops

from keras_videoprism.layers import masking
from keras_videoprism.layers.masking import (
    bevt_block_visible,
    bevt_released_mask,
    bevt_visible,
    count_masked,
    slots_in_place,
    slots_shuffled,
    tube_visible,
)
from keras_videoprism.layers.random import random_permutation

pytestmark = pytest.mark.backends

CLIPS = np.arange(40)


def positions_of(visible, grid: tuple[int, int, int]) -> np.ndarray:
    positions = visible.positions(grid) if hasattr(visible, "positions") else visible
    return ops.convert_to_numpy(positions)


def masked_of(visible, grid: tuple[int, int, int]) -> np.ndarray:
    """Bool [B, T, N]; True is masked."""
    positions = positions_of(visible, grid)
    masked = np.ones((len(positions), grid[0] * grid[1] * grid[2]), bool)
    np.put_along_axis(masked, positions, False, axis=1)
    return masked.reshape(len(positions), grid[0], -1)


@pytest.mark.parametrize("ratio", [0.5, 0.65, 0.75, 0.9])
@pytest.mark.parametrize("frames", [1, 2, 4, 8, 16])
def test_counts_are_exact(frames, ratio):
    grid = frames, 5, 6
    for name, masked_tokens in (
        ("tube_visible", frames * round(ratio * 30)),
        ("bevt_visible", round(ratio * frames * 30)),
    ):
        visible = getattr(masking, name)(0, 3, CLIPS, grid, ratio)
        masked = masked_of(visible, grid)
        np.testing.assert_array_equal(masked.sum(axis=(1, 2)), masked_tokens)
        assert len(positions_of(visible, grid)[0]) == frames * 30 - masked_tokens
        assert len({clip.tobytes() for clip in masked}) > 20  # of 40


def test_tubes_are_the_same_in_all_frames():
    masked = masked_of(tube_visible(0, 0, CLIPS, (4, 3, 5), 0.5), (4, 3, 5))
    np.testing.assert_array_equal(masked, np.broadcast_to(masked[:, :1], masked.shape))
    np.testing.assert_allclose(masked.mean(axis=(0, 1)), 8 / 15, atol=0.35)


def run_of(frames: np.ndarray) -> int:
    """Length of the cyclic run of True in bool [T]; -1 if there are several runs."""
    starts = np.sum(frames & ~np.roll(frames, 1))
    return int(frames.sum()) if starts <= 1 else -1


@pytest.mark.parametrize("ratio", [0.5, 0.65, 0.75, 0.9])
@pytest.mark.parametrize("frames", [2, 8, 16])
def test_bevt_masks_one_set_of_patches_in_one_run_of_frames(frames, ratio):
    grid = frames, 6, 7
    lengths = set()
    for masked in masked_of(bevt_visible(0, 0, CLIPS, grid, ratio), grid):
        touched = masked.any(axis=1)
        length = run_of(touched)
        lengths.add(length)
        assert length >= np.floor(ratio * frames)
        whole = masked[touched].all(axis=0)
        assert np.sum(masked.any(axis=0) & ~whole) <= 1  # one patch may miss some frames
    assert len(lengths) > 1 or np.ceil(ratio * frames) == frames


@pytest.mark.parametrize("ratio", [0.35, 0.65])
def test_bevt_masks_are_blocks(ratio):
    """Neighbours of a masked patch are masked much more often than patches are."""
    grid = 4, 14, 14
    masked = masked_of(bevt_visible(0, 0, CLIPS, grid, ratio), grid).reshape(-1, 4, 14, 14)
    masked = masked[masked.any(axis=(2, 3))]
    right = masked[:, :, 1:][masked[:, :, :-1]].mean()
    below = masked[:, 1:][masked[:, :-1]].mean()
    assert min(right, below) > masked.mean() + 0.6 * (1 - masked.mean())


@pytest.mark.parametrize("length", [6, 7, 8])
def test_block_masks_have_one_shape(length):
    grid = 8, 5, 6
    visible = bevt_block_visible(0, 0, CLIPS, grid, 0.65, length)
    masked = masked_of(visible, grid)
    np.testing.assert_array_equal(masked.sum(axis=(1, 2)), round(156 / length) * length)
    for clip in masked:
        touched = clip.any(axis=1)
        assert run_of(touched) == length
        np.testing.assert_array_equal(clip[touched].any(axis=0), clip[touched].all(axis=0))
    assert positions_of(visible, grid).shape == (40, 240 - round(156 / length) * length)


@pytest.mark.parametrize("name", ["tube_visible", "bevt_visible"])
def test_masks_depend_on_seed_step_and_clip_alone(name):
    def masks(seed: int, step: int, clips: list[int]) -> np.ndarray:
        visible = getattr(masking, name)(seed, step, np.array(clips), (4, 5, 5), 0.65)
        return positions_of(visible, (4, 5, 5))

    batch = masks(0, 0, [5, 9, 2**31 + 7])
    for index, clip in enumerate([5, 9, 2**31 + 7]):
        np.testing.assert_array_equal(masks(0, 0, [clip])[0], batch[index])
    assert not np.array_equal(masks(1, 0, [5])[0], batch[0])
    assert not np.array_equal(masks(0, 1, [5])[0], batch[0])
    assert not np.array_equal(batch[0], batch[1])


def test_frozen_masks():
    """Equal on every backend and for ever: a resumed run must get the masks it had."""
    grid = 3, 3, 3
    tube = tube_visible(0, 1, [2, 3], grid, 0.5).patches
    np.testing.assert_array_equal(ops.convert_to_numpy(tube), [[0, 1, 2, 6, 7], [0, 2, 3, 5, 8]])
    bevt = bevt_visible(0, 1, [2, 3], grid, 0.65)
    expected = [[2, 3, 4, 11, 12, 13, 20, 21, 22], [2, 3, 8, 11, 12, 17, 20, 21, 26]]
    np.testing.assert_array_equal(ops.convert_to_numpy(bevt), expected)
    large = bevt_visible(7, 123_456, np.arange(64), (16, 16, 16), 0.65)
    assert int(np.sum(ops.convert_to_numpy(large)[:, ::97], dtype="int64")) == 1853763


def test_released_bevt_statistics():
    """400 draws of the released configuration mask .374 of the tokens on average, .5 at most."""
    rng = np.random.default_rng(0)
    masks = [bevt_released_mask(rng) for _ in range(400)]
    ratios = np.array([mask.mean() for mask in masks])
    assert ratios.mean() == pytest.approx(0.374, abs=0.012)
    assert ratios.max() <= 0.5
    assert {run_of(mask.any(axis=(1, 2))) for mask in masks} == {4, 5, 6, 7, 8}
    spatial = [mask.any(axis=0).sum() for mask in masks]
    assert max(spatial) == 98 and np.mean(spatial) == pytest.approx(0.497 * 196, abs=1.5)


def test_slots_in_place():
    slots = ops.convert_to_numpy(slots_in_place(np.array([[4, 0], [1, 5]]), 6))
    np.testing.assert_array_equal(slots, [[1, 2, 2, 2, 0, 2], [2, 0, 2, 2, 2, 1]])


def test_slots_shuffled_hold_each_visible_token_once():
    slots = ops.convert_to_numpy(slots_shuffled(random_permutation(0, 0, CLIPS, 10), 4))
    for row in slots:
        np.testing.assert_array_equal(np.sort(row), [0, 1, 2, 3] + [4] * 6)


@pytest.mark.parametrize("ratio", [-0.1, 1.0, 1.5])
def test_ratio_out_of_range(ratio):
    with pytest.raises(ValueError, match=rf"in \[0, 1\); received {ratio}"):
        count_masked(ratio, 10)


def test_a_ratio_that_leaves_nothing():
    with pytest.raises(ValueError, match="0.9 leaves none of 4 tokens visible"):
        tube_visible(0, 0, [1], (8, 2, 2), 0.9)
    with pytest.raises(ValueError, match="leaves none of 16 tokens"):
        bevt_visible(0, 0, [1], (1, 4, 4), 0.99)


@pytest.mark.parametrize("length", [0, 5, 9])
def test_runs_that_cannot_hold_the_mask(length):
    with pytest.raises(ValueError, match=rf"\[6, 7, 8\] .* received {length}"):
        bevt_block_visible(0, 0, [1], (8, 4, 4), 0.65, length)


def test_block_masks_that_leave_nothing():
    with pytest.raises(ValueError, match="received 8"):
        bevt_block_visible(0, 0, [1], (8, 4, 4), 0.99, 8)
