import json

import numpy as np
import pytest

from keras_videoprism.data import features, open_records
from keras_videoprism.data.features import (
    begin_features,
    digest_of_records,
    open_features,
    plan_features,
    write_shard,
)

MADE_BY = {"model": "a", "records": "b", "num_frames": 2, "image_size": [8, 8]}
IDS = np.array([70, 30, 90, 10, 50])
VALUES = np.arange(30, dtype="float32").reshape(5, 2, 3)


def make(folder, ids=IDS, values=VALUES, **change):
    """Three shards of at most two clips."""
    plan = plan_features(MADE_BY, len(ids), 2, values.shape[1:], "float32")._replace(**change)
    begin_features(folder, plan)
    for shard in range(plan.num_shards):
        part = slice(shard * plan.shard_clips, (shard + 1) * plan.shard_clips)
        write_shard(folder, plan, shard, ids[part], values[part])
    return plan


@pytest.fixture
def small_shards(monkeypatch):
    monkeypatch.setattr(features, "SHARD_BYTES", 1)


def test_features_are_found_by_clip(tmp_path, small_shards):
    make(tmp_path / "a")
    found = open_features(tmp_path / "a")
    assert [len(shard) for shard in found.shards] == [2, 2, 1]
    assert all(isinstance(shard, np.memmap) for shard in found.shards)
    np.testing.assert_array_equal(found.of(np.array([10, 70, 50, 10])), VALUES[[3, 0, 4, 3]])
    for missing in (11, 5, 99):
        with pytest.raises(ValueError, match=rf"no features of the clips \[{missing}\]"):
            found.of(np.array([10, missing]))


def test_shards_are_whole_batches_of_bounded_size():
    plan = plan_features(MADE_BY, 10**6, 32, (200, 96), "float32")
    assert plan.shard_clips == 3488 and plan.shard_clips % 32 == 0  # 76,800 bytes a clip
    assert plan_features(MADE_BY, 10**6, 32, (200, 96), "float16").shard_clips == 6976
    assert plan_features(MADE_BY, 100, 32, (4096, 1024), "float32").shard_clips == 32
    with pytest.raises(ValueError, match="received 'int8'"):
        plan_features(MADE_BY, 1, 1, (1,), "int8")


def test_an_interrupted_folder_goes_on(tmp_path, small_shards):
    plan = make(tmp_path)
    assert begin_features(tmp_path, plan) == (plan, 3)
    assert begin_features(tmp_path, plan._replace(shard_clips=4)) == (plan, 3)
    (tmp_path / "features-00001.npy").unlink()  # its ids are written before it
    assert begin_features(tmp_path, plan) == (plan, 1)
    with pytest.raises(ValueError, match="1 of 3 shards are missing"):
        open_features(tmp_path)


def test_other_features_are_refused(tmp_path):
    plan = make(tmp_path)
    other = plan._replace(made_by={**MADE_BY, "model": "c", "num_frames": 4}, dtype="float16")
    with pytest.raises(ValueError) as error:
        begin_features(tmp_path, other)
    for part in ("model: 'a' there, 'c' wanted", "num_frames: 2 there, 4", "dtype: 'float32'"):
        assert part in str(error.value)
    assert "image_size" not in str(error.value)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "features.json").unlink(), "features.json is missing"),
        (lambda f: (f / "features.json").write_text("{}"), "does not describe features"),
        (lambda f: (f / "features.json").write_text("[]"), "does not describe features"),
        (lambda f: (f / "features-00000.npy").write_bytes(b"abc"), "cannot be read"),
        (lambda f: (f / "ids-00000.npy").unlink(), "cannot be read"),
        (lambda f: np.save(f / "ids-00000.npy", np.array([{}] * 5)), "cannot be read"),
        (lambda f: np.save(f / "features-00000.npy", VALUES[:4]), r"is float32 \[4, 2, 3\]"),
        (lambda f: np.save(f / "ids-00000.npy", IDS.astype("float64")), "is float64"),
    ],
)
def test_damaged_folders(tmp_path, damage, message):
    make(tmp_path)
    damage(tmp_path)
    with pytest.raises(ValueError, match=message):
        open_features(tmp_path)


@pytest.mark.parametrize("change", [{"shape": [-1, 3]}, {"num_clips": 0}, {"dtype": "object"}])
def test_senseless_plans(tmp_path, change):
    make(tmp_path)
    path = tmp_path / "features.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ValueError, match="does not describe features"):
        open_features(tmp_path)


def test_ids_of_two_clips(tmp_path):
    """A clip may follow itself, where it stands in for a damaged one; the last wraps around."""
    make(tmp_path / "a", ids=np.array([70, 70, 90, 10, 70]))
    assert len(open_features(tmp_path / "a").clip_ids) == 5
    make(tmp_path / "b", ids=np.array([70, 30, 70, 10, 50]))
    with pytest.raises(ValueError, match="two record folders have the same id"):
        open_features(tmp_path / "b")


def test_values_must_be_finite(tmp_path):
    plan = plan_features(MADE_BY, 2, 2, (1,), "float16")
    with pytest.raises(ValueError, match="not finite in float16; with float16, take float32"):
        write_shard(tmp_path, plan, 0, IDS[:2], np.array([[1.0], [1e6]]))
    assert not list(tmp_path.iterdir())


def test_digest_of_records(folder):
    index = open_records(folder)
    assert digest_of_records(index) == digest_of_records(open_records([folder]))
    assert digest_of_records(index) != digest_of_records(open_records([folder, folder]))
