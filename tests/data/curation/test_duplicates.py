import numpy as np
import pytest

from keras_videoprism.data.curation.duplicates import Duplicate, find_duplicates
from keras_videoprism.data.curation.fingerprint import likeness, mirror

RNG = np.random.default_rng(0)
SHAPE = (5, 16)  # windows, frames


def random_prints(count: int) -> np.ndarray:
    """Fingerprints whose signs are all sure."""
    signs = RNG.integers(1, 2**64 - 1, (count, *SHAPE), dtype=np.uint64)
    return np.stack([signs, np.full_like(signs, 2**64 - 1)], axis=1)


def flip_bits(prints: np.ndarray, count: int) -> np.ndarray:
    """Change `count` signs of each hash."""
    prints = prints.copy()
    signs = np.moveaxis(prints, -3, 0)[0]
    for index in np.ndindex(*signs.shape):
        for bit in RNG.permutation(64)[:count]:
            signs[index] ^= np.uint64(1) << np.uint64(bit)
    return prints


def test_copies_are_found_and_the_first_stays():
    clips = random_prints(50)
    copies = [flip_bits(clips[3], 4), mirror(flip_bits(clips[7], 4)), flip_bits(clips[3], 4)]
    found = find_duplicates(np.concatenate([clips, copies]))
    assert [(f.clip, f.original, f.mirrored) for f in found] == [
        (50, 3, False),
        (51, 7, True),
        (52, 3, False),
    ]
    assert found[0].distance == pytest.approx(4 / 64)


def test_a_window_is_found_from_either_side():
    clips = random_prints(20)
    crop = random_prints(1)[0]
    crop[:, 0] = clips[5][:, 3]  # the whole of the copy is the third window of clip 5
    for order in (np.concatenate([clips, crop[None]]), np.concatenate([crop[None], clips])):
        assert len(find_duplicates(order)) == 1


def test_like_all_pairs():
    """The blocks lose no pair that a comparison of all pairs finds."""
    clips = random_prints(30)
    clips[20:] = [flip_bits(clip, 8) for clip in clips[:10]]
    slow = [
        (j, i) for j in range(30) for i in range(j) if likeness(clips[i], clips[j]).distance <= 0.15
    ]
    assert [(f.clip, f.original) for f in find_duplicates(clips)] == slow


def test_likeness_is_not_carried_on():
    """b is like a and c like b but not like a: b goes, c stays."""
    a = random_prints(1)
    b = flip_bits(a, 8)
    clips = np.concatenate([a, b, flip_bits(b, 8)])
    found = find_duplicates(clips, max_distance=0.15)
    assert [(f.clip, f.original) for f in found] == [(1, 0)]


def test_references_stay():
    a = random_prints(1)
    clips = np.concatenate([a, a, a])
    assert find_duplicates(clips, num_references=2) == [Duplicate(2, 0, 0.0, False)]


def test_embeddings_propose_pairs_and_loosen_the_limit():
    clips = random_prints(40)
    clips[39] = flip_bits(clips[0], 10)  # 0.16 of the signs
    embeddings = RNG.normal(size=(40, 16))
    embeddings[39] = embeddings[0] + 0.01
    assert find_duplicates(clips) == []
    assert [f[:2] for f in find_duplicates(clips, embeddings)] == [(39, 0)]
    assert find_duplicates(clips, RNG.normal(size=(40, 16))) == []


def test_empty_frames_make_no_block():
    clips = random_prints(4)
    clips[..., 4:] = 0  # as after a fade to black
    assert find_duplicates(clips) == []
    assert find_duplicates(np.zeros((3, 2, *SHAPE), np.uint64)) == []


def test_a_block_of_many_copies_costs_little():
    """All like the first: each is compared with it once."""
    pairs = []
    clips = np.repeat(random_prints(1), 200, axis=0)
    found = find_duplicates(clips, progress=lambda done, total: pairs.append(total))
    assert len(found) == 199 and pairs[0] <= 200 * 33


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fingerprints": np.zeros((2, 3), np.uint64)}, "uint64"),
        ({"fingerprints": np.zeros((2, 3, 4))}, "float64"),
        ({"embeddings": np.zeros((1, 2))}, "one row per fingerprint"),
        ({"num_references": 3}, "num_references"),
        ({"max_distance": 0.4}, "max_distance=0.4"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        find_duplicates(**({"fingerprints": np.zeros((2, 2, *SHAPE), np.uint64)} | arguments))
