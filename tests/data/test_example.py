import pytest
import tensorflow as tf
from google.protobuf.message import DecodeError

from keras_videoprism.data.example import Example


def fill(example):
    feature = example.features.feature
    feature["b"].bytes_list.value.extend([b"", b"\xff"])
    feature["a"].int64_list.value[:] = [-1, 2**62]
    feature["c"].float_list.value[:] = [0.5, 1e-30]
    feature["empty"].bytes_list.value[:] = []
    return example


def test_bytes_are_those_of_tensorflow():
    ours = fill(Example()).SerializeToString(deterministic=True)
    theirs = fill(tf.train.Example()).SerializeToString(deterministic=True)
    assert ours == theirs
    parsed = Example.FromString(theirs).features.feature
    assert parsed["a"].int64_list.value == [-1, 2**62]
    assert set(parsed) == {"a", "b", "c", "empty"}


def test_garbage_is_an_error():
    with pytest.raises(DecodeError):
        Example.FromString(b"\xff\xff\xff no message")
