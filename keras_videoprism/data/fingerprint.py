"""Frames -> a perceptual fingerprint that survives re-encoding, mirrors, crops, shifts and speed.

The hash of a frame is the signs of 64 low cosine frequencies, after the local mean and contrast are
taken out: a dim background then counts as much as a bright object, so that two clips of alike
objects differ where a plain perceptual hash does not. Mirroring flips the signs of the odd
horizontal frequencies, so a mirrored copy needs no hash of its own. Crops do: each frame is hashed
whole and in 18 windows. Time is compared along straight lines between two clips, which are shifts
and changes of speed.
"""

from functools import cache
from typing import NamedTuple

import numpy as np

NUM_FRAMES = 16  # hashes of a clip
_GRID = 64  # pixels of the side of the grey image that is hashed
_LOCAL = 0.08 * _GRID  # pixels; standard deviation of the neighbourhood of mean and contrast
_NOISE = 2.0  # grey levels; contrast below it is taken for noise of the codec
_FLAT = 0.1  # a normalised frame of less deviation shows nothing
_FREQUENCIES = 9  # per axis, of which the 64 lowest pairs without the mean are used
_WINDOWS = {0.9: 3, 0.8: 5}  # side of the crops that are looked for: places along an axis
_SPEEDS = (0.5, 2 / 3, 0.8, 0.9, 1.0, 1 / 0.9, 1.25, 1.5, 2.0)


class Likeness(NamedTuple):
    """How alike two clips are: share of bits that differ, 0 (equal) to about 0.4 (unrelated)."""

    distance: float
    mirrored: bool


def fingerprint(frames: np.ndarray) -> np.ndarray:
    """The hashes of a clip, 2.4 KB.

    Args:
        frames: uint8 RGB [T, H, W, 3], evenly spread over the clip; T is brought to `NUM_FRAMES`
            by repeating or leaving out frames.

    Returns:
        uint64 [K, NUM_FRAMES]: the whole frame first, then its K - 1 windows. 0 for a frame that
        shows nothing, such as a black one.
    """
    if frames.ndim != 4 or frames.shape[-1] != 3 or not frames.size:
        raise ValueError(f"frames must be [T, H, W, 3] with T >= 1, received {frames.shape}")
    frames = frames[np.arange(NUM_FRAMES) * len(frames) // NUM_FRAMES]
    image = _normalise(_grey(frames))  # [T, N, N]
    basis = _window_cosines()  # [I F, N]
    coefficients = basis @ image @ basis.T  # [T, I F, I F]
    rows, columns = _chosen()
    bits = coefficients[:, rows, columns] > 0  # [T, K, 64]
    bits &= (image.std(axis=(1, 2)) > _FLAT)[:, None, None]
    hashes = np.packbits(bits, axis=-1, bitorder="little").view("<u8")[..., 0]  # [T, K]
    return np.ascontiguousarray(hashes.T.astype(np.uint64))


def mirror(hashes: np.ndarray) -> np.ndarray:
    """Hashes of the same frames seen in a mirror; those of the windows change places with it."""
    return np.where(hashes == 0, hashes, hashes ^ _mirror_bits())


def likeness(first: np.ndarray, second: np.ndarray) -> Likeness:
    """Compare two fingerprints [K, T]; either may be a crop, a mirror image or a part of the other.

    The window and mirror that fit best frame by frame are chosen, then the frames are compared
    along the straight line in time that fits best and covers at least half of a clip.
    """
    ours = np.concatenate([np.broadcast_to(first[:1], first.shape), first[1:]])  # [2K - 1, T]
    theirs = np.concatenate([second, np.broadcast_to(second[:1], second[1:].shape)])
    theirs = np.stack([theirs, mirror(theirs)])  # [2, 2K - 1, T]
    distances = _bit_distance(ours[..., :, None], theirs[..., None, :])  # [2, 2K - 1, T, T]
    fit = (distances.min(axis=-1).mean(-1) + distances.min(axis=-2).mean(-1)) / 2
    mirrored, window = np.unravel_index(fit.argmin(), fit.shape)
    along = _time_lines(first.shape[1]) @ distances[mirrored, window].ravel()
    return Likeness(float(along.min()), bool(mirrored))


def _bit_distance(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Share of bits that differ; 0.5, which says nothing, where a frame shows nothing."""
    distance = np.bitwise_count(first ^ second).astype("float32") / 64
    return np.where((first == 0) | (second == 0), np.float32(0.5), distance)


def _grey(frames: np.ndarray) -> np.ndarray:
    """uint8 [T, H, W, 3] -> float32 [T, N, N]."""
    grey = frames @ np.array([0.299, 0.587, 0.114], "float32")
    rows, columns = (_gaussians(_GRID, size, 0.5) for size in grey.shape[1:])
    return rows @ grey @ columns.T


def _normalise(grey: np.ndarray) -> np.ndarray:
    """Take out the mean and the contrast of each neighbourhood."""
    blur = _gaussians(_GRID, _GRID, _LOCAL)
    centred = grey - blur @ grey @ blur.T
    return centred / np.sqrt(blur @ centred**2 @ blur.T + _NOISE**2)


@cache
def _gaussians(num_out: int, num_in: int, width: float) -> np.ndarray:
    """Weights [num_out, num_in] of a blur and resize; `width` in pixels of the coarser side."""
    scale = max(1.0, num_in / num_out)
    centres = (np.arange(num_out) + 0.5) * num_in / num_out - 0.5
    weights = np.exp(-0.5 * ((centres[:, None] - np.arange(num_in)) / (width * scale)) ** 2)
    return (weights / weights.sum(axis=1, keepdims=True)).astype("float32")


def _intervals() -> list[tuple[float, float]]:
    """(start, length) of the windows along one axis: the whole, then those of each length."""
    crops = [(start, s) for s, n in _WINDOWS.items() for start in np.linspace(0, 1 - s, n)]
    return [(0.0, 1.0), *crops]


@cache
def _window_cosines() -> np.ndarray:
    """The cosines of each interval, zero outside: [I F, N]. A window needs no resize of its own."""
    pixels = (np.arange(_GRID) + 0.5) / _GRID
    half = 0.5 / _GRID
    rows = []
    for start, length in _intervals():
        covered = np.minimum(pixels + half, start + length) - np.maximum(pixels - half, start)
        phase = np.pi * (pixels - start) / length
        rows += [np.cos(f * phase) * covered.clip(0) for f in range(_FREQUENCIES)]
    return np.array(rows, "float32")


@cache
def _frequencies() -> np.ndarray:
    """The 64 lowest pairs (vertical, horizontal) without the mean, lowest first: [64, 2]."""
    pairs = [(y, x) for y in range(_FREQUENCIES) for x in range(_FREQUENCIES) if y or x]
    return np.array(sorted(pairs, key=lambda pair: (pair[0] ** 2 + pair[1] ** 2, pair))[:64])


@cache
def _chosen() -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns [K, 64] of the coefficients: square windows, 64 frequencies each."""
    lengths = [length for _, length in _intervals()]
    windows = [(y, x) for y, a in enumerate(lengths) for x, b in enumerate(lengths) if a == b]
    corners = np.array(windows)[:, None] * _FREQUENCIES  # [K, 1, 2]
    chosen = corners + _frequencies()  # [K, 64, 2]
    return chosen[..., 0], chosen[..., 1]


@cache
def _mirror_bits() -> np.uint64:
    odd = _frequencies()[:, 1] % 2 == 1
    return np.packbits(odd, bitorder="little").view("<u8")[0]


@cache
def _time_lines(num_frames: int) -> np.ndarray:
    """Means along lines j = speed i + shift through [T, T] distances: weights [L, T T]."""
    first = np.arange(num_frames)
    lines = set()
    for speed in _SPEEDS:
        for shift in range(-num_frames, num_frames):
            second = np.round(speed * first + shift).astype(int)
            inside = (second >= 0) & (second < num_frames)
            if inside.sum() >= num_frames / 2:
                lines.add(tuple((first * num_frames + second)[inside].tolist()))
    weights = np.zeros((len(lines), num_frames**2), "float32")
    for row, line in zip(weights, sorted(lines), strict=True):
        row[list(line)] = 1 / len(line)
    return weights
