import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

from keras_videoprism.data.index import open_records, record_offsets
from keras_videoprism.data.manifest import read_manifest
from keras_videoprism.data.write import write_records


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


def test_offsets(tmp_path):
    records = [b"a" * size for size in (0, 5, 70)]
    with tf.io.TFRecordWriter(str(tmp_path / "a")) as writer:
        for record in records:
            writer.write(record)
    assert record_offsets(tmp_path / "a") == [0, 16, 37]


def test_several_folders_are_one(written):
    index = open_records([written, written])
    assert len(index.files) == 4 and len(index.offsets) == 12
    np.testing.assert_array_equal(index.shard_ids, np.repeat([0, 1, 2, 3], 3))
    assert (index.num_captioned, index.num_labelled) == (12, 12)
    assert (index.max_labels_per_clip, index.num_classes) == (1, 3)


def test_truncated_shard(folder):
    shard = next(folder.glob("*00000-of*"))
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(ValueError, match="00000-of-00002.tfrecord: truncated: record 2"):
        open_records(folder)


def test_lost_record(folder):
    shard = next(folder.glob("*00001-of*"))
    shard.write_bytes(shard.read_bytes()[: record_offsets(shard)[2]])
    with pytest.raises(ValueError, match="2 records, dataset.json says 3"):
        open_records(folder)


def test_damaged_record(folder):
    shard = next(folder.glob("*00001-of*"))
    content = bytearray(shard.read_bytes())
    content[100] ^= 1
    shard.write_bytes(content)
    with pytest.raises(ValueError, match="00001-of-00002.tfrecord: the first record is damaged"):
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
        open_records(folder)


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
