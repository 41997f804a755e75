import json
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from keras_videoprism.data import read, remote
from keras_videoprism.data.index import open_records
from keras_videoprism.data.manifest import read_manifest
from keras_videoprism.data.read import read_records
from keras_videoprism.data.schema import SCHEMA_VERSION, encode_clip
from keras_videoprism.data.tfrecord import read_record
from keras_videoprism.data.write import write_records
from tests.data.conftest import upload_folder

SIZE = {"num_frames": 4, "image_size": (24, 36)}


@pytest.fixture(scope="module")
def bare_folder(video_folder, tmp_path_factory):
    """Records with a second caption for one clip, several labels, none of either for another."""
    rows = read_manifest(video_folder)
    rows[0] = rows[0]._replace(captions=("one", "two"), labels=(1, 3))
    rows[5] = rows[5]._replace(captions=(), labels=())
    folder = tmp_path_factory.mktemp("records") / "b"
    write_records(rows, folder, num_frames=2)
    return folder


def batches(dataset, count: int | None = None) -> list[dict[str, np.ndarray]]:
    return list(dataset.take(-1 if count is None else count).as_numpy_iterator())


def assert_equal(first, second):
    assert len(first) == len(second) > 0
    for one, two in zip(first, second, strict=True):
        assert one.keys() == two.keys()
        for key in one:
            np.testing.assert_array_equal(one[key], two[key])


def test_shapes_and_types(folder, tokenizer):
    dataset = read_records(folder, batch_size=4, tokenizer=tokenizer, **SIZE)
    specs = {key: (list(spec.shape), spec.dtype.name) for key, spec in dataset.element_spec.items()}
    assert specs == {
        "videos": ([4, 4, 24, 36, 3], "uint8"),
        "clip_id": ([4], "int64"),
        "labels": ([4], "int32"),
        "token_ids": ([4, 64], "int32"),
        "padding_mask": ([4, 64], "bool"),
    }
    (batch,) = batches(dataset)
    assert batch["videos"].min() < 50 and batch["videos"].max() > 180
    assert batch["padding_mask"].any(axis=1).all()


def test_content(folder, tokenizer):
    """Colour, label and caption of a batch belong to one clip."""
    (batch,) = batches(read_records(folder, batch_size=6, tokenizer=tokenizer, **SIZE))
    brightest = batch["videos"].max(axis=(1, 2, 3)).argmax(axis=-1)  # red 0, green 1, blue 2
    np.testing.assert_array_equal(brightest, batch["labels"])
    for colour, ids in zip(batch["labels"], batch["token_ids"], strict=True):
        text = tokenizer._processor.DecodeIds(ids[ids > 0].tolist())
        assert ("red", "green", "blue")[colour] in text


def test_the_tail_is_kept_for_evaluation(folder):
    dataset = read_records(folder, batch_size=4, drop_remainder=False, **SIZE)
    assert dataset.cardinality() == 2
    assert [len(batch["clip_id"]) for batch in batches(dataset)] == [4, 2]
    assert len(set(np.concatenate([batch["clip_id"] for batch in batches(dataset)]))) == 6


@pytest.mark.parametrize("seed", [0, 1])
def test_deterministic(folder, tokenizer, seed):
    options = dict(sampling="random_segment", augment=True, flip=True, shuffle=True, repeat=True)
    datasets = [
        read_records(folder, batch_size=3, tokenizer=tokenizer, seed=seed, **options, **SIZE)
        for _ in range(2)
    ]
    first, second = (batches(dataset, 7) for dataset in datasets)
    assert_equal(first, second)
    assert_equal(batches(datasets[0].skip(4), 3), first[4:])


def test_the_seed_and_the_epoch_change_order_and_draws(folder):
    options = dict(batch_size=6, shuffle=True, repeat=True, augment=True, **SIZE)
    epochs = batches(read_records(folder, **options), 8)
    other = batches(read_records(folder, seed=1, **options), 8)
    orders = {tuple(batch["clip_id"]) for batch in epochs + other}
    assert len(orders) > 10
    assert {tuple(sorted(order)) for order in orders} == {tuple(sorted(epochs[0]["clip_id"]))}
    clip = epochs[0]["clip_id"][0]
    views = [batch["videos"][batch["clip_id"] == clip].tobytes() for batch in epochs]
    assert len(set(views)) == 8


def test_no_clip_twice_in_an_epoch(folder):
    dataset = read_records(folder, batch_size=4, shuffle=True, repeat=True, **SIZE)
    for batch in batches(dataset, 20):
        assert len(set(batch["clip_id"])) == 4
    assert dataset.cardinality() == -1


def test_flip_is_off_unless_asked_for(folder):
    options = dict(batch_size=6, num_frames=1, image_size=(48, 64))
    (plain,) = batches(read_records(folder, **options))
    (flipped,) = batches(read_records(folder, flip=True, **options))
    same = (plain["videos"] == flipped["videos"]).all(axis=(1, 2, 3, 4))
    mirrored = (plain["videos"] == flipped["videos"][:, :, :, ::-1]).all(axis=(1, 2, 3, 4))
    assert (same ^ mirrored).all() and mirrored.any()
    (again,) = batches(read_records(folder, seed=5, **options))
    assert_equal([plain], [again])


def test_multi_hot_labels(bare_folder):
    (batch,) = batches(read_records(bare_folder, batch_size=6, num_classes=4, **SIZE))
    assert batch["labels"].dtype == np.float32
    expected = [[0, 1, 0, 1], [1, 0, 0, 0], [0, 1, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    np.testing.assert_array_equal(batch["labels"], expected)
    assert "labels" not in batches(read_records(bare_folder, batch_size=6, **SIZE))[0]


def test_captions_are_drawn(folder, bare_folder, tokenizer, video_folder, tmp_path):
    row = read_manifest(video_folder)[0]._replace(captions=("one", "two"))
    write_records([row], tmp_path / "c")
    options = dict(batch_size=1, tokenizer=tokenizer, repeat=True, **SIZE)
    ids = {
        batch["token_ids"].tobytes()
        for batch in batches(read_records(tmp_path / "c", **options), 12)
    }
    assert ids == {tokenizer([text])["token_ids"].tobytes() for text in ("one", "two")}
    first = batches(read_records(tmp_path / "c", caption="first", **options), 12)
    assert {batch["token_ids"].tobytes() for batch in first} == {
        tokenizer(["one"])["token_ids"].tobytes()
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_classes": 3}, "the records hold the label 3"),
        ({"sampling": "dense"}, "sampling must be one of"),
        ({"caption": "last"}, "caption must be one of"),
        ({"batch_size": 7}, "6 clips do not fill one batch of 7"),
        ({"batch_size": 0}, "must be positive"),
        ({"repeat": True, "drop_remainder": False}, "full batches only"),
    ],
)
def test_errors_before_training(bare_folder, changes, message):
    with pytest.raises(ValueError, match=message):
        read_records(bare_folder, **({"batch_size": 2} | SIZE | changes))


def test_missing_caption_or_label(bare_folder, tokenizer, video_folder, tmp_path):
    with pytest.raises(ValueError, match="1 of 6 clips have no caption"):
        read_records(bare_folder, batch_size=2, tokenizer=tokenizer, **SIZE)
    row = read_manifest(video_folder)[0]._replace(labels=())
    write_records([row], tmp_path / "c")
    with pytest.raises(ValueError, match="no clip has a label"):
        read_records(tmp_path / "c", batch_size=1, num_classes=3, **SIZE)


@pytest.mark.parametrize("start", [1, 4, 7])
def test_goes_on_where_it_stopped(folder, tokenizer, start):
    """Three batches an epoch: the same batches, in the middle of an epoch and after others."""
    reading = {"batch_size": 2, "shuffle": True, "repeat": True, "tokenizer": tokenizer, "seed": 3}
    reading |= {"augment": True, "sampling": "random_segment", **SIZE}
    whole = batches(read_records(folder, **reading), 10)
    assert_equal(batches(read_records(folder, start=start, **reading), 10 - start), whole[start:])


def test_goes_on_in_a_finite_epoch(folder):
    whole = batches(read_records(folder, batch_size=4, drop_remainder=False, **SIZE))
    rest = read_records(folder, batch_size=4, drop_remainder=False, start=1, **SIZE)
    assert rest.cardinality() == 1
    assert_equal(batches(rest), whole[1:])


@pytest.mark.parametrize("num_processes", [1, 2, 3])
def test_processes_share_an_epoch(folder, num_processes):
    """Each clip once, whatever the number of processes; another order in the next epoch."""
    epochs = []
    for epoch in range(2):
        ids = []
        for rank in range(num_processes):
            dataset = read_records(
                folder,
                batch_size=1,
                shuffle=True,
                repeat=True,
                process=(rank, num_processes),
                start=epoch * (6 // num_processes),
                **SIZE,
            )
            ids.append([int(b["clip_id"][0]) for b in batches(dataset, 6 // num_processes)])
        epochs.append([clip for step in zip(*ids, strict=True) for clip in step])
    assert len(set(epochs[0])) == 6 and set(epochs[0]) == set(epochs[1]) and epochs[0] != epochs[1]
    single = read_records(folder, batch_size=1, shuffle=True, repeat=True, **SIZE)
    assert epochs[0] == [int(batch["clip_id"][0]) for batch in batches(single, 6)]


def test_wrong_process_or_start(folder):
    for wrong in ({"process": (2, 2)}, {"process": (-1, 2)}, {"start": -1}):
        with pytest.raises(ValueError, match="process"):
            read_records(folder, batch_size=1, **wrong, **SIZE)
    with pytest.raises(ValueError, match="do not fill one batch of 8"):
        read_records(folder, batch_size=4, process=(0, 2), **SIZE)


@pytest.fixture
def damaged_folder(folder, tmp_path):
    """A copy of the records in which the second of six has a wrong byte, and which clip that is."""
    copy = shutil.copytree(folder, tmp_path / "damaged")
    index = open_records(copy)
    shard = index.files[index.shard_ids[1]]
    content = bytearray(Path(shard).read_bytes())
    content[index.offsets[1] + 500] ^= 1
    Path(shard).write_bytes(content)
    (batch,) = batches(read_records(folder, batch_size=6, **SIZE))
    return copy, batch["clip_id"].tolist()


def test_another_clip_stands_in_for_a_damaged_one(damaged_folder, caplog):
    copy, ids = damaged_folder
    reading = {"batch_size": 2, "repeat": True, "max_bad_records": 1, **SIZE}
    whole = batches(read_records(copy, **reading), 6)
    found = [int(clip) for batch in whole for clip in batch["clip_id"]]
    assert found == 2 * [ids[0], ids[2], *ids[2:]]
    messages = [
        record.getMessage() for record in caplog.records if "is damaged" in record.getMessage()
    ]
    assert len(messages) == 1 and "another stands in (1 of 1)" in messages[0]
    assert_equal(batches(read_records(copy, start=2, **reading), 4), whole[2:])


@pytest.mark.parametrize("shuffle", [False, True])
def test_too_many_damaged_records_are_an_error(damaged_folder, shuffle):
    copy, _ = damaged_folder
    dataset = read_records(copy, batch_size=2, shuffle=shuffle, **SIZE)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"the record at byte \d+ is damaged"):
        batches(dataset)


@pytest.mark.parametrize(
    ("broken", "ids"),
    [((1, 3), [0, 2, 2, 4, 4]), ((1, 2), [0, 3, 3, 3, 4]), ((4, 0), [1, 1, 2, 3, 1])],
)
def test_a_frame_that_is_no_image_is_a_damaged_record(tmp_path, broken, ids):
    """Its checksum is right, so only decoding finds it."""
    write_clips(tmp_path, broken=broken)
    found = batches(read_records(tmp_path, batch_size=5, max_bad_records=2, **SIZE))
    assert found[0]["clip_id"].tolist() == ids
    for limit in (0, 1):
        dataset = read_records(tmp_path, batch_size=5, max_bad_records=limit, **SIZE)
        with pytest.raises(tf.errors.InvalidArgumentError, match=f"max_bad_records={limit}"):
            batches(dataset)


def test_nothing_but_damaged_records(tmp_path):
    write_clips(tmp_path, broken=range(5))
    with pytest.raises(tf.errors.InvalidArgumentError, match="max_bad_records=3"):
        batches(read_records(tmp_path, batch_size=5, max_bad_records=3, **SIZE))


def write_clips(folder: Path, broken) -> None:
    """Five records, their clip id is their position; those in `broken` have no JPEG as frame."""
    frames = np.zeros((2, 24, 36, 3), np.uint8)
    with tf.io.TFRecordWriter(str(folder / "a.tfrecord")) as writer:
        for position in range(5):
            record = encode_clip(
                frames, np.arange(2.0), file="a", source="a", clip_id=position, captions=["a"]
            )
            if position in broken:
                example = tf.train.Example.FromString(record)
                example.features.feature["frames"].bytes_list.value[0] = b"no image"
                record = example.SerializeToString()
            writer.write(record)
    counts = {"num_captioned": 5, "num_labelled": 0, "max_labels_per_clip": 0, "num_classes": 0}
    shards = [{"file": "a.tfrecord", "num_clips": 5}]
    summary = {"schema_version": SCHEMA_VERSION, "shards": shards, **counts}
    (folder / "dataset.json").write_text(json.dumps(summary))


def test_a_remote_folder_gives_the_same_batches(folder, s3):
    upload_folder(folder, f"{s3}/batches")
    options = {"batch_size": 2, "num_frames": 3, "image_size": 24, "augment": True, "seed": 3}
    options |= {"shuffle": True, "repeat": True, "sampling": "random_segment", "start": 1}
    datasets = [read_records(path, **options) for path in (folder, f"{s3}/batches")]
    here, there = (list(dataset.take(7).as_numpy_iterator()) for dataset in datasets)
    assert_equal(here, there)


def test_a_damaged_record_of_a_remote_folder_is_named(folder, s3, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "a")
    shard = sorted(copy.glob("*.tfrecord"))[1]
    content = bytearray(shard.read_bytes())
    content[-100] ^= 1  # in the last record, which opening does not look at
    shard.write_bytes(content)
    upload_folder(copy, f"{s3}/damaged")
    dataset = read_records(f"{s3}/damaged", batch_size=6, num_frames=1, image_size=24)
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"{shard.name}: the record at byte"):
        next(iter(dataset))


@pytest.fixture
def remote_folder(folder, s3, tmp_path):
    return upload_folder(folder, f"{s3}/{tmp_path.name}")


def test_many_remote_reads_are_in_flight(remote_folder, monkeypatch):
    """Each waits until eight have begun, more than TensorFlow has threads on a small machine."""
    barrier = threading.Barrier(8, timeout=30)

    def read_together(*place):
        barrier.wait()
        return read_record(*place)

    monkeypatch.setattr(read, "read_record", read_together)
    dataset = read_records(remote_folder, batch_size=4, repeat=True, **SIZE)
    assert len(batches(dataset, 6)) == 6


@pytest.mark.parametrize("limit", [0, 3])
def test_a_record_that_is_not_reached_is_not_damaged(remote_folder, limit):
    """No other stands in for it, and the error tells why."""
    dataset = read_records(remote_folder, batch_size=2, max_bad_records=limit, **SIZE)
    shard = open_records(remote_folder).files[1]
    remote.remove(shard)
    with pytest.raises(tf.errors.OpError, match=f"no such file, .*{shard}"):
        batches(dataset)


def test_local_and_remote_folders_together(folder, remote_folder):
    (batch,) = batches(read_records([folder, remote_folder], batch_size=12, **SIZE))
    np.testing.assert_array_equal(batch["videos"][:6], batch["videos"][6:])


def test_a_folder_on_a_file_system_of_tensorflow(folder):
    datasets = [read_records(path, batch_size=3, **SIZE) for path in (folder, f"file://{folder}")]
    assert_equal(*map(batches, datasets))


def test_views_and_whole_frames(folder):
    options = {"batch_size": 2, "num_frames": 3, "image_size": 24}
    (batch, *_) = batches(read_records(folder, **options, sampling="window", views=(2, 3)))
    assert batch["videos"].shape == (2, 6, 3, 24, 24, 3)
    (batch, *_) = batches(read_records(folder, **options, whole=True))
    assert batch["frame_size"].tolist() == [[48, 64]] * 2 and not batch["videos"][:, :, 0].any()


@pytest.mark.parametrize(
    "wrong",
    [
        {"views": (0, 3), "sampling": "window"},
        {"views": (2, 1)},
        {"views": (1, 3), "sampling": "random_window"},
        {"views": (1, 3), "augment": True},
        {"views": (1, 3), "flip": True},
        {"views": (1, 3), "whole": True},
        {"whole": True, "augment": True},
        {"whole": True, "flip": True},
        {"augment": "wild"},
        {"sampling": "dense"},
    ],
)
def test_views_and_augmentations_that_make_no_sense(folder, wrong):
    with pytest.raises(ValueError, match="views|augment must be|boxes lie in|sampling must be"):
        read_records(folder, batch_size=2, **SIZE, **wrong)
