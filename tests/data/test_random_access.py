import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from keras_videoprism.data.augment import central_box
from keras_videoprism.data.random_access import (
    RecordSource,
    _central_box,
    _random_box,
    _random_segment,
    grain_dataset,
)
from keras_videoprism.data.read import read_records
from keras_videoprism.data.sample import uniform

pytest.importorskip("grain")
READING = {"batch_size": 2, "num_frames": 4, "image_size": (48, 48)}
RANDOM = {"augment": True, "flip": True, "sampling": "random_segment", "shuffle": True}


def test_source_gives_the_clips_in_order(folder):
    source = RecordSource(folder)
    assert len(source) == 6 and len(source[5]["frames"]) == 12
    (batch,) = read_records(folder, **(READING | {"batch_size": 6})).as_numpy_iterator()
    assert [source[i]["clip_id"] for i in range(6)] == batch["clip_id"].tolist()


@pytest.mark.parametrize(("size", "levels"), [((48, 48), 0), ((30, 24), 2), ((60, 60), 2)])
@pytest.mark.parametrize("num_classes", [None, 4])
def test_batches_are_those_of_the_other_reader(folder, tokenizer, size, levels, num_classes):
    options = READING | {"image_size": size, "num_classes": num_classes, "tokenizer": tokenizer}
    ours, theirs = (list(read(folder, **options)) for read in (grain_dataset, read_records))
    assert len(ours) == len(theirs) == 3
    for one, two in zip(ours, theirs, strict=True):
        assert one.keys() == two.keys()
        videos = one.pop("videos"), two.pop("videos").numpy()
        assert videos[0].dtype == np.uint8
        assert np.abs(np.int32(videos[0]) - np.int32(videos[1])).max() <= levels
        for key in one:
            assert one[key].dtype == two[key].numpy().dtype
            np.testing.assert_array_equal(one[key], two[key])


def test_a_batch_is_a_function_of_seed_and_number(folder):
    options = READING | RANDOM | {"repeat": True}
    first, second = grain_dataset(folder, **options), grain_dataset(folder, **options)
    for number in (0, 4, 7):
        np.testing.assert_array_equal(first[number]["videos"], second[number]["videos"])
    other = grain_dataset(folder, **options, seed=1)
    assert any((first[i]["clip_id"] != other[i]["clip_id"]).any() for i in range(3))
    epochs = [[c for i in range(e, e + 3) for c in first[i]["clip_id"]] for e in (0, 3)]
    assert epochs[0] != epochs[1] and sorted(epochs[0]) == sorted(epochs[1])


def test_an_iterator_goes_on_from_its_state(folder):
    dataset = grain_dataset(folder, **READING, **RANDOM, repeat=True).to_iter_dataset()
    iterator = iter(dataset)
    for _ in range(4):
        next(iterator)
    state, expected = iterator.get_state(), next(iterator)
    again = iter(dataset)
    again.set_state(state)
    np.testing.assert_array_equal(next(again)["videos"], expected["videos"])


def test_processes_share_an_epoch(folder):
    options = READING | {"batch_size": 1, "shuffle": True}
    parts = [grain_dataset(folder, **options, process=(rank, 3)) for rank in range(3)]
    ids = [int(batch["clip_id"][0]) for part in parts for batch in part]
    assert len(ids) == len(set(ids)) == 6


def test_wrong_calls_and_damaged_records(folder, tmp_path):
    for change in ({"sampling": "dense"}, {"sampling": "window"}, {"augment": "strong"}):
        with pytest.raises(ValueError, match="this reader has the samplings .*; `read_records`"):
            grain_dataset(folder, **READING, **change)
    with pytest.raises(ValueError, match="6 clips do not fill one batch of 8"):
        grain_dataset(folder, **(READING | {"batch_size": 8}))
    shard = sorted(folder.glob("*.tfrecord"))[1]
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    content = bytearray(shard.read_bytes())
    content[-100] ^= 1
    (tmp_path / shard.name).write_bytes(content)
    with pytest.raises(ValueError, match=f"{shard.name}: the record at byte"):
        RecordSource(tmp_path)[5]


def test_central_boxes_agree():
    rng = np.random.default_rng(0)
    for stored, wanted in rng.integers(1, 500, (200, 2, 2)).tolist():
        begin, size = (part.numpy() for part in central_box(tf.constant(stored), wanted))
        expected = begin[1], begin[0], begin[1] + size[1], begin[0] + size[0]
        assert _central_box(stored, wanted) == expected


def test_random_draws():
    rng = np.random.default_rng(0)
    boxes = np.array([_random_box((40, 60), (24, 36), rng) for _ in range(200)])
    assert boxes.min() >= 0 and (boxes[:, 2:] <= [60, 40]).all()
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]) / 2400
    assert areas.min() > 0.48 and areas.max() > 0.9
    assert _random_box((10, 1000), (36, 36), rng) == _central_box((10, 1000), (36, 36))
    segments = np.array([_random_segment(12, 4, rng) for _ in range(200)])
    assert [set(column.tolist()) for column in segments.T] == [
        set(range(first, first + 3)) for first in uniform(12, 4)
    ]


WITHOUT_TENSORFLOW = """
import sys
sys.modules["tensorflow"] = None
from keras_videoprism.data import grain_dataset
print(grain_dataset(sys.argv[1], batch_size=6, num_frames=2, image_size=24)[0]["videos"].shape)
"""


def test_needs_no_tensorflow(folder):
    result = subprocess.run(
        [sys.executable, "-c", WITHOUT_TENSORFLOW, str(folder)],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert result.stdout == "(6, 2, 24, 24, 3)\n", result.stderr
