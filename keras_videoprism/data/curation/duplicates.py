"""Which clips are near-duplicates of earlier ones (section 2.1 of the paper).

Pairs are proposed by blocks and then compared one by one. A block is all clips with a frame hash,
or an embedding, that agrees in some chosen bits. The number of these bits grows with the logarithm
of the number of clips, so that a clip meets about as many others in a corpus of any size; what is
left of the cost grows as sorting does.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from keras_videoprism.data.curation.fingerprint import likeness, mirror

_LOW_BITS = 48  # of a hash, those of the lowest frequencies, which crops change least
_MAX_BLOCK = 32  # clips of a block that a clip is compared with: its first
_CHUNK = 256  # clips whose keys are looked up at a time: bounds the memory


class Duplicate(NamedTuple):
    """The clip of index `clip` shows what the earlier clip `original` shows; see `Likeness`."""

    clip: int
    original: int
    distance: float
    mirrored: bool


def find_duplicates(
    fingerprints: np.ndarray,
    embeddings: np.ndarray | None = None,
    num_references: int = 0,
    *,
    max_distance: float = 0.15,
    max_loose_distance: float = 0.17,
    min_cosine: float = 0.9,
    num_tables: int = 24,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> list[Duplicate]:
    """The clips to remove so that no two alike are left; of each group the first stays.

    A removed clip is always like a clip that stays: likeness is not carried on from copy to copy.

    Args:
        fingerprints: uint64 [n, 2, K, T] of `fingerprint`, in the order of preference.
        embeddings: [n, D] of any model, where there is one. Pairs of at least `min_cosine` are
            compared too, and `max_loose_distance` holds for them.
        num_references: the first so many clips are of benchmarks: they stay in any case.
        max_distance: share of differing bits up to which two clips are alike.
        max_loose_distance: the same where the embeddings agree too.
        min_cosine: cosine from which embeddings agree, after the mean of all is taken out: those of
            one corpus all point much the same way.
        num_tables: different choices of bits; more find more pairs and take longer.
        seed: of these choices.
        progress: called with (pairs compared, pairs in all).

    Returns:
        The `Duplicate`s, in the order of the clips.
    """
    _check(fingerprints, embeddings, num_references, max_distance, max_loose_distance)
    rng = np.random.default_rng(seed)
    unit = None if embeddings is None else _centred(embeddings)
    pairs = [_hash_pairs(fingerprints, num_tables, rng)]
    if unit is not None:
        proposed = _embedding_pairs(unit, num_tables, rng)
        cosines = np.einsum("nd,nd->n", unit[proposed[:, 0]], unit[proposed[:, 1]])
        pairs.append(proposed[cosines >= min_cosine])
    candidates = np.unique(np.concatenate(pairs), axis=0)
    removed: dict[int, Duplicate] = {}
    for done, (later, earlier) in enumerate(candidates.tolist(), 1):
        if progress is not None:
            progress(done, len(candidates))
        if later in removed or earlier in removed or later < num_references:
            continue
        found = likeness(fingerprints[earlier], fingerprints[later])
        agree = unit is not None and unit[earlier] @ unit[later] >= min_cosine
        if found.distance <= (max_loose_distance if agree else max_distance):
            removed[later] = Duplicate(later, earlier, *found)
    return list(removed.values())


def _hash_pairs(prints: np.ndarray, num_tables: int, rng: np.random.Generator) -> np.ndarray:
    """Pairs (later, earlier) of clips that share a frame in some bits: whole against any window."""
    num_clips, _, _, num_frames = prints.shape
    num_bits = min(_LOW_BITS, 12 + _log2(num_clips * num_frames))
    pairs = []
    for _ in range(num_tables):
        chosen = rng.permutation(_LOW_BITS)[:num_bits]
        mask = np.bitwise_or.reduce(np.uint64(1) << chosen.astype(np.uint64))
        table = _sorted_keys(prints[:, 0, 0], mask)
        for start in range(0, num_clips, _CHUNK):
            part = prints[start : start + _CHUNK]
            queries = np.stack([part[:, 0], mirror(part)[:, 0]], axis=1)  # [n, 2, K, T]
            pairs += _look_up(table, queries.reshape(len(part), -1), mask, start)
    return _ordered(pairs)


def _embedding_pairs(unit: np.ndarray, num_tables: int, rng: np.random.Generator) -> np.ndarray:
    """Pairs (later, earlier) of clips whose embeddings lie on the same sides of random planes."""
    num_bits = min(62, 4 + _log2(len(unit)))
    every = np.uint64(2**64 - 1)
    pairs = []
    for _ in range(num_tables):
        sides = unit @ rng.normal(size=(unit.shape[1], num_bits)) > 0  # [n, bits]
        # The highest bit is always set: 0 would say that there is nothing to compare.
        keys = sides @ (np.uint64(1) << np.arange(num_bits, dtype=np.uint64)) | np.uint64(1 << 63)
        pairs += _look_up(_sorted_keys(keys[:, None], every), keys[:, None], every, 0)
    return _ordered(pairs)


def _look_up(
    table: tuple[np.ndarray, np.ndarray], queries: np.ndarray, mask: np.uint64, start: int
) -> list[np.ndarray]:
    """Pairs (clip of a query, clip of a key) that agree under the mask; 0 agrees with nothing.

    Args:
        table: of `_sorted_keys`, under the same mask.
        queries: uint64 [n, q], q queries of each clip.
        mask: the bits to compare.
        start: index of the first clip that asks.
    """
    keys, owners = table
    clips = start + np.repeat(np.arange(len(queries)), queries.shape[1])
    asked = queries.ravel() != 0
    values, clips = (queries.ravel() & mask)[asked], clips[asked]
    first = np.searchsorted(keys, values)
    pairs = []
    for position in range(_MAX_BLOCK):
        at = np.minimum(first + position, len(keys) - 1)
        equal = (first + position < len(keys)) & (keys[at] == values) if len(keys) else at < 0
        if not equal.any():
            break
        values, clips, first = values[equal], clips[equal], first[equal]
        pairs.append(np.stack([clips, owners[at[equal]]], axis=1))
    return pairs


def _sorted_keys(keys: np.ndarray, mask: np.uint64) -> tuple[np.ndarray, np.ndarray]:
    """Masked keys in order, and the clip of each; a clip once for each key, earlier clips first."""
    owners = np.repeat(np.arange(len(keys)), keys.shape[1])
    shows = keys.ravel() != 0
    values, owners = (keys.ravel() & mask)[shows], owners[shows]
    order = np.argsort(values, kind="stable")
    values, owners = values[order], owners[order]
    new = np.ones(len(values), bool)
    new[1:] = (values[1:] != values[:-1]) | (owners[1:] != owners[:-1])
    return values[new], owners[new]


def _ordered(pairs: list[np.ndarray]) -> np.ndarray:
    """Distinct pairs (later, earlier), int64 [m, 2]."""
    joined = np.concatenate([np.zeros((0, 2), np.int64), *pairs])
    joined = np.sort(joined, axis=1)[:, ::-1]
    return np.unique(joined[joined[:, 0] != joined[:, 1]], axis=0)


def _centred(vectors: np.ndarray) -> np.ndarray:
    """Unit vectors from the mean of all."""
    vectors = _normalise(vectors)
    return _normalise(vectors - vectors.mean(axis=0))


def _normalise(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def _log2(number: int) -> int:
    return max(number - 1, 1).bit_length()


def _check(
    fingerprints: np.ndarray,
    embeddings: np.ndarray | None,
    num_references: int,
    max_distance: float,
    max_loose_distance: float,
) -> None:
    if fingerprints.ndim != 4 or fingerprints.dtype != np.uint64:
        raise ValueError(
            "fingerprints must be uint64 [n, 2, K, T] of `fingerprint`, received "
            f"{fingerprints.dtype} {fingerprints.shape}"
        )
    if embeddings is not None and (embeddings.ndim != 2 or len(embeddings) != len(fingerprints)):
        raise ValueError(
            f"embeddings must be [{len(fingerprints)}, D], one row per fingerprint, received "
            f"{embeddings.shape}"
        )
    if not 0 <= num_references <= len(fingerprints):
        raise ValueError(
            f"num_references must be 0 to {len(fingerprints)}, received {num_references}"
        )
    if not 0 <= max_distance <= max_loose_distance < 0.5:
        raise ValueError(
            "needs 0 <= max_distance <= max_loose_distance < 0.5, received "
            f"max_distance={max_distance}, max_loose_distance={max_loose_distance}"
        )
