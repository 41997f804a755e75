import shutil
import sys
import threading

import numpy as np
import pytest
import tensorflow as tf

from keras_videoprism.data import remote, tfrecord
from keras_videoprism.data.manifest import read_manifest
from keras_videoprism.data.read import read_records
from keras_videoprism.data.tfrecord import fetch_records, read_record, record_sizes
from keras_videoprism.data.write import write_records

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


def test_a_missing_package_is_named(shard, monkeypatch):
    monkeypatch.setitem(sys.modules, "google_crc32c", None)
    with pytest.raises(
        ImportError, match=r"google-crc32c; pip install 'keras-videoprism\[remote\]'"
    ):
        read_record(shard, 0, 16)


def test_records_come_in_the_order_of_the_positions(shard, remote_shard):
    order = [3, 0, 2, 2, 5, 1, 7] * 20
    offsets, sizes = (np.tile(part, 2) for part in places(shard))
    positions = tf.data.Dataset.from_tensor_slices(np.array(order))
    files = [str(shard), remote_shard]
    records = fetch_records(positions, files, np.repeat([0, 1], 4), offsets, sizes)
    assert list(records.as_numpy_iterator()) == [RECORDS[number % 4] for number in order]
    assert records.element_spec == tf.TensorSpec([], tf.string)


def test_many_reads_are_in_flight(shard, monkeypatch):
    """All reads of a group must have begun before any ends."""
    barrier = threading.Barrier(tfrecord.NUM_READS, timeout=10)

    def read(path, offset, size):
        barrier.wait()
        return read_record(path, offset, size)

    monkeypatch.setattr(tfrecord, "read_record", read)
    offsets, sizes = places(shard)
    positions = tf.data.Dataset.range(2 * tfrecord.NUM_READS).map(lambda number: number % 4)
    records = fetch_records(positions, [str(shard)], np.zeros(4, int), offsets, sizes)
    assert len(list(records)) == 2 * tfrecord.NUM_READS


@pytest.fixture(scope="module")
def written(video_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("records") / "a"
    write_records(read_manifest(video_folder), folder, num_shards=2)
    return folder


def test_a_remote_folder_gives_the_same_batches(written, s3):
    for file in written.iterdir():
        remote.upload(file, f"{s3}/batches/{file.name}")
    options = {"batch_size": 2, "num_frames": 3, "image_size": 24, "augment": True, "seed": 3}
    options |= {"shuffle": True, "repeat": True, "sampling": "random_segment", "start": 1}
    datasets = [read_records(folder, **options) for folder in (written, f"{s3}/batches")]
    here, there = (list(dataset.take(7).as_numpy_iterator()) for dataset in datasets)
    for one, two in zip(here, there, strict=True):
        assert one.keys() == two.keys()
        for key in one:
            np.testing.assert_array_equal(one[key], two[key])


def test_a_damaged_record_of_a_remote_folder_is_named(written, s3, tmp_path):
    folder = shutil.copytree(written, tmp_path / "a")
    shard = sorted(folder.glob("*.tfrecord"))[1]
    content = bytearray(shard.read_bytes())
    content[-100] ^= 1  # in the last record, which opening does not look at
    shard.write_bytes(content)
    for file in folder.iterdir():
        remote.upload(file, f"{s3}/damaged/{file.name}")
    dataset = read_records(f"{s3}/damaged", batch_size=6, num_frames=1, image_size=24)
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"{shard.name}: the record at byte"):
        next(iter(dataset))
