import numpy as np
import pytest
import tensorflow as tf

from keras_videoprism.data import remote, tfrecord
from keras_videoprism.data.tfrecord import framed, read_record, record_sizes

RECORDS = [b"", b"abcde", b"\0" * 70, "ä".encode() * 1000]


@pytest.fixture
def shard(tmp_path):
    """A file that TensorFlow itself has written."""
    path = tmp_path / "a.tfrecord"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in RECORDS:
            writer.write(record)
    return path


@pytest.fixture
def remote_shard(shard, s3, tmp_path):
    path = f"{s3}/{tmp_path.name}/a.tfrecord"
    remote.upload(shard, path)
    return path


def places(path):
    """(offsets, sizes) of the records."""
    sizes = np.array(record_sizes(path))
    return np.cumsum(sizes) - sizes, sizes


@pytest.mark.parametrize("where", ["shard", "remote_shard"])
def test_records_are_those_that_tensorflow_wrote(where, request):
    path = request.getfixturevalue(where)
    assert record_sizes(path) == [16, 21, 86, 2016]
    found = [read_record(path, *place) for place in np.transpose(places(path)).tolist()]
    assert found == RECORDS


def test_framed_as_tensorflow_does(shard):
    assert b"".join(map(framed, RECORDS)) == shard.read_bytes()


def test_no_record(tmp_path):
    (tmp_path / "a").touch()
    assert record_sizes(tmp_path / "a") == []


@pytest.mark.parametrize("length", [2138, 130, 5])
def test_a_file_that_ends_in_a_record(shard, length):
    shard.write_bytes(shard.read_bytes()[:length])
    with pytest.raises(ValueError, match=f"a.tfrecord: truncated: .* the file has {length}"):
        record_sizes(shard)


@pytest.mark.parametrize("byte", [0, 8, 12, 17])
def test_each_damaged_part_is_found(shard, byte):
    """Length, its checksum, data, and their checksum of the record at byte 16."""
    content = bytearray(shard.read_bytes())
    content[16 + byte] ^= 1
    shard.write_bytes(content)
    with pytest.raises(ValueError, match="a.tfrecord: the record at byte 16 is damaged"):
        read_record(shard, 16, 21)


def test_a_place_that_is_none(shard):
    for offset, size in ((16, 20), (17, 21), (0, 0), (0, 15)):
        with pytest.raises(ValueError, match=f"the record at byte {offset} is damaged"):
            read_record(shard, offset, size)
    with pytest.raises(OSError, match="a.tfrecord"):
        read_record(shard, 2130, 21)


def test_only_headers_and_records_are_fetched(remote_shard, monkeypatch):
    fetched = []
    read = remote.read_range

    def read_range(path, start, length):
        fetched.append(length)
        return read(path, start, length)

    monkeypatch.setattr(remote, "read_range", read_range)
    monkeypatch.setattr(tfrecord, "read_range", read_range)
    record_sizes(remote_shard)
    assert fetched == [12] * 4
    read_record(remote_shard, 16, 21)
    assert fetched == [12] * 4 + [21]
