import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

from keras_videoprism.data import remote
from keras_videoprism.data.index import open_records
from keras_videoprism.data.manifest import read_manifest
from keras_videoprism.data.tfrecord import record_sizes
from keras_videoprism.data.write import write_records
from tests.data.conftest import upload_folder


@pytest.fixture(scope="module")
def written(video_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("records") / "a"
    write_records(read_manifest(video_folder), folder, num_shards=2, num_frames=2)
    return folder


@pytest.fixture
def folder(written, tmp_path):
    return shutil.copytree(written, tmp_path / "a")


def change_summary(folder, **changes):
    path = folder / "dataset.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def without_sizes(folder):
    """The summary as other writers, who do not know the sizes of the records, leave it."""
    shards = json.loads((folder / "dataset.json").read_text())["shards"]
    for shard in shards:
        del shard["record_sizes"]
    change_summary(folder, shards=shards)
    return folder


def test_several_folders_are_one(written):
    index = open_records([written, written])
    assert len(index.files) == 4 and len(index.offsets) == 12
    np.testing.assert_array_equal(index.shard_ids, np.repeat([0, 1, 2, 3], 3))
    assert (index.num_captioned, index.num_labelled) == (12, 12)
    assert (index.max_labels_per_clip, index.num_classes) == (1, 3)


def test_places_of_the_records(written):
    index = open_records(written)
    for number, (shard, offset, size) in enumerate(zip(*index[1:4], strict=True)):
        with open(index.files[shard], "rb") as file:
            file.seek(offset)
            assert int.from_bytes(file.read(8), "little") == size - 16, number
    assert sum(index.sizes) == sum(shard.stat().st_size for shard in written.glob("*.tfrecord"))


def test_sizes_in_the_summary_spare_the_headers(folder, monkeypatch):
    plain = open_records(without_sizes(shutil.copytree(folder, folder.with_name("b"))))
    shards = json.loads((folder / "dataset.json").read_text())["shards"]
    assert all(shard["record_sizes"] == record_sizes(folder / shard["file"]) for shard in shards)
    monkeypatch.setattr("keras_videoprism.data.index.record_sizes", None)
    for one, two in zip(open_records(folder)[1:], plain[1:], strict=True):
        np.testing.assert_array_equal(one, two)
    shards[0]["record_sizes"][0] += 1
    change_summary(folder, shards=shards)
    with pytest.raises(ValueError, match=r"00000-of-00002.tfrecord: \d+ bytes, dataset.json says"):
        open_records(folder)
    shards[0]["record_sizes"][0] = -1
    change_summary(folder, shards=shards)
    with pytest.raises(ValueError, match="a negative count"):
        open_records(folder)


@pytest.fixture
def remote_folder(folder, s3, tmp_path):
    """The same records on the S3 server."""
    return upload_folder(folder, f"{s3}/{tmp_path.name}")


def test_a_remote_folder_has_the_same_index(folder, remote_folder):
    here, there = open_records(folder), open_records(remote_folder)
    assert there.files == [f"{remote_folder}/{file.rpartition('/')[2]}" for file in here.files]
    for one, two in zip(here[1:], there[1:], strict=True):
        np.testing.assert_array_equal(one, two)
    both = open_records([folder, remote_folder])
    assert both.files == here.files + there.files and len(both.offsets) == 12


def test_damage_of_a_remote_folder_is_found(folder, remote_folder):
    first, second = sorted(folder.glob("*.tfrecord"))
    content = first.read_bytes()
    first.write_bytes(content[:100] + bytes([content[100] ^ 1]) + content[101:])
    remote.upload(first, f"{remote_folder}/{first.name}")
    with pytest.raises(ValueError, match=f"s3://.*/{first.name}: the record at byte 0 is damaged"):
        open_records(remote_folder)
    first.write_bytes(content[:-1])
    remote.upload(first, f"{remote_folder}/{first.name}")
    with pytest.raises(ValueError, match=f"s3://.*/{first.name}: .*cut or changed"):
        open_records(remote_folder)
    remote.remove(f"{remote_folder}/{first.name}")
    with pytest.raises(ValueError, match=f"s3://.*/{first.name}: the shard is missing"):
        open_records(remote_folder)
    with pytest.raises(ValueError, match="s3://no-such-bucket/a: .*dataset.json is missing"):
        open_records("s3://no-such-bucket/a")


def test_truncated_shard(folder):
    shard = next(folder.glob("*00000-of*"))
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(ValueError, match="00000-of-00002.tfrecord: .*cut or changed"):
        open_records(folder)
    with pytest.raises(ValueError, match="00000-of-00002.tfrecord: truncated: record 2"):
        open_records(without_sizes(folder))


def test_lost_record(folder):
    shard = next(folder.glob("*00001-of*"))
    shard.write_bytes(shard.read_bytes()[: sum(record_sizes(shard)[:2])])
    with pytest.raises(ValueError, match="2 records, dataset.json says 3"):
        open_records(without_sizes(folder))


def test_damaged_record(folder):
    shard = next(folder.glob("*00001-of*"))
    content = bytearray(shard.read_bytes())
    content[100] ^= 1
    shard.write_bytes(content)
    with pytest.raises(ValueError, match="00001-of-00002.tfrecord: the record at byte 0 is"):
        open_records(folder)


def test_other_schema_version(folder):
    change_summary(folder, schema_version=99)
    with pytest.raises(ValueError, match="schema version 99, this package reads version 1"):
        open_records(folder)


def test_other_schema_version_in_a_shard(folder):
    example = tf.train.Example()
    example.features.feature["schema_version"].int64_list.value[:] = [2]
    shard = next(folder.glob("*00000-of*"))
    with tf.io.TFRecordWriter(str(shard)) as writer:
        for _ in range(3):
            writer.write(example.SerializeToString())
    with pytest.raises(ValueError, match="schema version 2, this package reads version 1"):
        open_records(without_sizes(folder))


def test_unfinished_or_foreign_folders(folder, tmp_path):
    with pytest.raises(ValueError, match="dataset.json is missing"):
        open_records(tmp_path)
    with pytest.raises(ValueError, match="no record folder"):
        open_records([])
    next(folder.glob("*00000-of*")).unlink()
    with pytest.raises(ValueError, match="the shard is missing"):
        open_records(folder)
    change_summary(folder, shards=[{"file": "../x", "num_clips": 1}])
    with pytest.raises(ValueError, match="must be files of the same folder"):
        open_records(folder)
    change_summary(folder, shards=[], num_captioned=-1)
    with pytest.raises(ValueError, match="a negative count"):
        open_records(folder)
    (folder / "dataset.json").write_text("[]")
    with pytest.raises(ValueError, match="not a data set summary"):
        open_records(folder)
