"""Frames -> a perceptual fingerprint that survives re-encoding, mirrors, crops, shifts and speed.

The hash of a frame is the signs of 64 low cosine frequencies, read from the red, green and blue
plane in turn, after the local mean and contrast are taken out: a dim background then counts as much
as a bright object, so that two clips of alike objects differ where a plain perceptual hash does
not. Signs of small cosines are left to chance by any codec; they are marked and do not count.

A mirror flips the signs of the odd horizontal frequencies, so a mirrored copy needs no hash of its
own. Crops do: each frame is hashed whole and in 34 windows. Time is compared along straight lines
between two clips, which are shifts and changes of speed.
"""

from functools import cache
from typing import NamedTuple

import numpy as np

NUM_FRAMES = 16  # hashes of a clip
_GRID = 64  # pixels of the sides of the image that is hashed
_LOCAL = 0.08 * _GRID  # pixels; standard deviation of the neighbourhood of mean and contrast
_NOISE = 2.0  # grey levels; contrast below it is taken for noise of the codec
_SMALL = 0.2  # of the root mean square: the sign of a smaller cosine is not sure
_FEW = 16  # signs; fewer say nothing
_FLAT = 0.1  # a normalised frame of less deviation shows nothing
_FREQUENCIES = 9  # per axis, of which the 64 lowest pairs without the mean are used
_WINDOWS = {0.9: 3, 0.8: 5}  # side of the crops that are looked for: places along an axis
_NUM_TRIED = 8  # windows, mirrored or not, that are compared along lines in time
_SPEEDS = (0.5, 2 / 3, 0.8, 0.9, 1.0, 1 / 0.9, 1.25, 1.5, 2.0)


class Likeness(NamedTuple):
    """How alike two clips are: share of signs that differ, 0 (equal) to about 0.3 (unrelated)."""

    distance: float
    mirrored: bool


def fingerprint(frames: np.ndarray) -> np.ndarray:
    """The hashes of a clip, 9 KB.

    Args:
        frames: uint8 RGB [T, H, W, 3], evenly spread over the clip; T is brought to `NUM_FRAMES`
            by repeating or leaving out frames.

    Returns:
        uint64 [2, K, NUM_FRAMES]: signs, and which of them are sure; the whole frame first, then
        its K - 1 windows. 0 for a frame that shows nothing, such as a black one.
    """
    if frames.ndim != 4 or frames.shape[-1] != 3 or not frames.size:
        raise ValueError(f"frames must be [T, H, W, 3] with T >= 1, received {frames.shape}")
    frames = frames[np.arange(NUM_FRAMES) * len(frames) // NUM_FRAMES]
    image = _normalise(_shrink(frames))  # [T, 3, N, N]
    basis = _window_cosines()  # [I F, N]
    coefficients = basis @ image @ basis.T  # [T, 3, I F, I F]
    rows, columns = _chosen()
    cosines = coefficients[:, np.arange(64) % 3, rows, columns]  # [T, K, 64]
    unsure = _SMALL * np.sqrt(np.square(cosines).mean(axis=-1, keepdims=True))
    sure = (abs(cosines) > unsure) & (image.std(axis=(1, 2, 3)) > _FLAT)[:, None, None]
    return np.stack([_pack(sure & (cosines > 0)), _pack(sure)])


def mirror(prints: np.ndarray) -> np.ndarray:
    """Fingerprints [..., 2, K, T] of the same clips seen in a mirror; windows keep their rows."""
    signs, sure = np.moveaxis(prints, -3, 0)
    return np.stack([(signs ^ _odd_frequencies()) & sure, sure], axis=-3)


def _pack(bits: np.ndarray) -> np.ndarray:
    """bool [T, K, 64] -> uint64 [K, T]."""
    hashes = np.packbits(bits, axis=-1, bitorder="little").view("<u8")[..., 0]
    return np.ascontiguousarray(hashes.T.astype(np.uint64))


def likeness(first: np.ndarray, second: np.ndarray) -> Likeness:
    """Compare two fingerprints; either may be a crop, a mirror image or a part of the other.

    The windows that fit best frame by frame are chosen, then the frames are compared along the
    straight line in time that fits best and covers at least half of a clip.

    Args:
        first, second: uint64 [2, K, T] of `fingerprint`.
    """
    ours = np.concatenate([np.broadcast_to(first[:, :1], first.shape), first[:, 1:]], axis=1)
    whole = np.broadcast_to(second[:, :1], second[:, 1:].shape)
    theirs = np.concatenate([second, whole], axis=1)  # [2, 2K - 1, T]
    theirs = np.stack([theirs, mirror(theirs)], axis=1)  # [2, 2, 2K - 1, T]
    distances = _bit_distance(ours[:, None, :, :, None], theirs[..., None, :])  # [2, 2K - 1, T, T]
    fit = (distances.min(axis=-1).mean(-1) + distances.min(axis=-2).mean(-1)).ravel()
    best = np.argpartition(fit, _NUM_TRIED)[:_NUM_TRIED]
    along = distances.reshape(len(fit), -1)[best] @ _time_lines(first.shape[-1]).T
    which = best[along.min(axis=1).argmin()]
    return Likeness(float(along.min()), bool(which >= len(fit) // 2))


def _bit_distance(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Share of the signs that differ, of those that are sure in both; 0.5 where these are few."""
    both = first[1] & second[1]
    count = np.bitwise_count(both)
    differ = np.bitwise_count((first[0] ^ second[0]) & both)
    return np.where(count < _FEW, np.float32(0.5), differ / np.maximum(count, np.float32(1)))


def _shrink(frames: np.ndarray) -> np.ndarray:
    """uint8 [T, H, W, 3] -> float32 [T, 3, N, N]."""
    rows, columns = (_gaussians(_GRID, size, 0.5) for size in frames.shape[1:3])
    return rows @ np.moveaxis(frames, -1, 1).astype("float32") @ columns.T


def _normalise(planes: np.ndarray) -> np.ndarray:
    """Take out the mean and the contrast of each neighbourhood."""
    blur = _gaussians(_GRID, _GRID, _LOCAL)
    centred = planes - blur @ planes @ blur.T
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
def _odd_frequencies() -> np.uint64:
    """The bits that a mirror changes."""
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
