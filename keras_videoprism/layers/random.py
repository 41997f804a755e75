"""Stateless random numbers: pure functions of (seed, step, clip_id), equal on every backend.

Backends draw different numbers from the same seed, and a stateful generator depends on the number
of devices and on what ran before. A hash of the counters depends on neither, so the same run has
the same masks after a resume, on any number of devices and on any backend.
"""

from keras import ops

from keras_videoprism.layers.typing import Tensor

_GOLDEN = -0x61C88647  # 2**32 / golden ratio, as int32


def random_bits(seed: int, step: Tensor, clip_id: Tensor, count: int, stream: int = 0) -> Tensor:
    """Uniform integers in [0, 2**31).

    Args:
        seed: int, the seed of the run.
        step: int scalar, the training step.
        clip_id: int [B]; the low 32 bits count.
        count: number of draws per clip.
        stream: int; different streams are independent.

    Returns:
        int32 [B, count].
    """
    key = _mix(_int32(seed & 0x7FFFFFFF) + stream * 7919)
    key = _mix(ops.bitwise_xor(_int32(step), key))
    key = _mix(ops.bitwise_xor(_int32(clip_id), key))  # [B]
    counters = ops.arange(count, dtype="int32") * _GOLDEN
    bits = _mix(ops.bitwise_xor(ops.expand_dims(key, 1), counters))
    return ops.bitwise_and(bits, 0x7FFFFFFF)


def random_uniform(seed: int, step: Tensor, clip_id: Tensor, count: int, stream: int = 0) -> Tensor:
    """Uniform float32 [B, count] in [0, 1); arguments as in `random_bits`."""
    bits = random_bits(seed, step, clip_id, count, stream)
    return ops.cast(ops.right_shift(bits, 7), "float32") * 2.0**-24


def random_permutation(
    seed: int, step: Tensor, clip_id: Tensor, count: int, stream: int = 0
) -> Tensor:
    """One permutation of range(count) per clip, int32 [B, count]; arguments as in `random_bits`."""
    low = (1 << max(count - 1, 1).bit_length()) - 1
    bits = random_bits(seed, step, clip_id, count, stream)
    # The position in the low bits makes all keys distinct, so every backend sorts them alike.
    keys = ops.bitwise_or(ops.bitwise_and(bits, ~low), ops.arange(count, dtype="int32"))
    return ops.bitwise_and(ops.sort(keys, axis=1), low)


def _int32(x: Tensor) -> Tensor:
    return ops.cast(ops.convert_to_tensor(x), "int32")


def _mix(x: Tensor) -> Tensor:
    """Hash of 32 bits in which each input bit flips about half of the output bits."""
    x = ops.bitwise_xor(x, _logical_shift(x, 16)) * 0x7FEB352D
    x = ops.bitwise_xor(x, _logical_shift(x, 15)) * -0x7B935975
    return ops.bitwise_xor(x, _logical_shift(x, 16))


def _logical_shift(x: Tensor, bits: int) -> Tensor:
    """Right shift that fills with zeros; int32 is the one integer type all backends share."""
    return ops.bitwise_and(ops.right_shift(x, bits), (1 << (32 - bits)) - 1)
