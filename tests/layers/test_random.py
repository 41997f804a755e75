import numpy as np
import pytest
from keras import ops

from keras_videoprism.layers.random import random_bits, random_permutation, random_uniform

pytestmark = pytest.mark.backends

CLIPS = np.array([7, 123_456, 2**31 - 1, -5])


def draw(function, *arguments, **keywords) -> np.ndarray:
    return ops.convert_to_numpy(function(*arguments, **keywords))


def hash_reference(x: int) -> int:
    """The same hash in unsigned Python integers."""
    x = (x ^ x >> 16) * 0x7FEB352D & 0xFFFFFFFF
    x = (x ^ x >> 15) * 0x846CA68B & 0xFFFFFFFF
    return x ^ x >> 16


def test_bits_equal_the_hash_in_python_integers():
    expected = []
    for clip in CLIPS:
        key = hash_reference(42 + 3 * 7919)
        key = hash_reference(key ^ 1000)
        key = hash_reference(key ^ int(clip) & 0xFFFFFFFF)
        counters = [i * 0x9E3779B9 & 0xFFFFFFFF for i in range(5)]
        expected.append([hash_reference(key ^ counter) & 0x7FFFFFFF for counter in counters])
    np.testing.assert_array_equal(draw(random_bits, 42, 1000, CLIPS, 5, stream=3), expected)


def test_frozen_numbers():
    """Another hash would change every mask of a run that is resumed."""
    bits = [[1492470133, 1573952294, 425398080], [911671261, 1585645556, 905194429]]
    np.testing.assert_array_equal(draw(random_bits, 0, 0, [1, 2], 3), bits)
    order = [[7, 4, 1, 5, 6, 3, 0, 2]]
    np.testing.assert_array_equal(draw(random_permutation, 0, 5, [9], 8), order)


def test_low_32_bits_of_the_clip_id_count():
    wide = np.array([2**40 + 5], "int64")
    np.testing.assert_array_equal(draw(random_bits, 0, 0, wide, 4), draw(random_bits, 0, 0, [5], 4))


def test_each_clip_draws_alone():
    together = draw(random_permutation, 1, 2, CLIPS, 20)
    for clip, row in zip(CLIPS, together, strict=True):
        np.testing.assert_array_equal(draw(random_permutation, 1, 2, [clip], 20)[0], row)


@pytest.mark.parametrize("other", [(1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)])
def test_seed_step_clip_and_stream_are_independent(other):
    def uniform(seed: int, step: int, clip: int, stream: int) -> np.ndarray:
        return draw(random_uniform, seed, step, [clip], 4000, stream=stream)[0]

    assert abs(np.corrcoef(uniform(0, 0, 0, 0), uniform(*other))[0, 1]) < 0.05


def test_uniform_numbers():
    u = draw(random_uniform, 0, 0, np.arange(20), 1000)
    assert u.dtype == np.float32
    assert u.min() >= 0.0 and u.max() < 1.0
    counts = np.histogram(u, bins=10, range=(0, 1))[0]
    np.testing.assert_allclose(counts, 2000, atol=200)  # 5 standard deviations are 212


@pytest.mark.parametrize("count", [1, 25, 256])
def test_permutations(count):
    order = draw(random_permutation, 0, 0, np.arange(8), count)
    np.testing.assert_array_equal(np.sort(order, axis=1), np.tile(np.arange(count), (8, 1)))
    if count >= 25:
        assert len({tuple(row) for row in order}) == 8


def test_every_place_of_a_permutation_is_as_likely():
    order = draw(random_permutation, 0, 0, np.arange(4000), 8)
    for place in order.T:
        np.testing.assert_allclose(np.bincount(place, minlength=8), 500, atol=110)
