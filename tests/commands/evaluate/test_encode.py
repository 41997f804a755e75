import keras
import numpy as np
import pytest

from keras_videoprism.commands.evaluate import encode as module
from keras_videoprism.commands.evaluate.encode import Clips, FrozenModel, Place, encode, store
from keras_videoprism.commands.evaluate.loaders import diving48
from keras_videoprism.data import RecordSource, features
from keras_videoprism.data.features import open_features

CLIPS = Clips(4, (24, 24))


@pytest.fixture
def rows(copy):
    folder = copy("diving48")
    return diving48(folder, folder / "videos").test


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path / "records", tmp_path / "features", CLIPS)


def test_clips_are_stored_once(rows, place, monkeypatch):
    stored = store(rows + rows[:2], place, "test")
    assert stored.excluded == [] and sorted(stored.rows) == sorted(rows)
    assert stored.clip_ids.tolist() == sorted(row.clip_id for row in rows)
    source = RecordSource(place.records / "test")
    assert {len(source[i]["frames"]) for i in range(6)} == {4}
    assert {source[i]["height"] for i in range(6)} == {24}
    monkeypatch.setattr(module, "write_records", None)
    assert store(rows, place, "test") == stored


def test_frames_of_a_rate_and_of_several_views(rows, place):
    store(rows, place._replace(clips=CLIPS._replace(fps=4.0, views=(2, 3))), "test")
    clip = RecordSource(place.records / "test")[0]
    assert len(clip["frames"]) == 6 and clip["height"] == round(24 * 8 / 7)


def test_missing_and_repeated_clips_are_counted(rows, place):
    rows[4].path.unlink()
    other = rows[0]._replace(labels=(2,))
    with pytest.raises(ValueError, match=r"2 of 7 clips are missing or damaged, more than .*0.05"):
        store([*rows, other], place, "test")
    assert not place.records.exists()
    stored = store([*rows, other], place._replace(max_missing=0.3), "test")
    assert stored.excluded == [
        {
            "reason": "the clip is listed before, with another annotation",
            "count": 1,
            "examples": ["test_00000.mp4"],
        },
        {"reason": "the video is missing", "count": 1, "examples": ["test_00004.mp4"]},
    ]
    assert len(stored.rows) == 5 and rows[0] in stored.rows


def test_damaged_videos_are_counted(rows, place, child_processes):
    content = rows[2].path.read_bytes()
    rows[2].path.write_bytes(content[: len(content) // 2])
    rows[3].path.write_bytes(b"no video")
    with pytest.raises(ValueError, match="2 of 6 clips are missing or damaged"):
        store(rows, place, "test")
    stored = store(rows, place._replace(max_missing=0.5), "test")  # what is there stays
    assert sorted(stored.rows) == sorted(rows[:2] + rows[4:])
    names = [name for entry in stored.excluded for name in entry["examples"]]
    assert sorted(names) == ["test_00002.mp4", "test_00003.mp4"]
    assert len(RecordSource(place.records / "test")) == 4


def test_no_clip_at_all(rows, place):
    for row in rows:
        row.path.unlink()
    with pytest.raises(ValueError, match="6 of 6 clips are missing or damaged, .* or all"):
        store(rows, place._replace(max_missing=1.0), "test")


def test_a_folder_of_other_clips_is_refused(rows, place):
    store(rows, place, "test")
    for other_rows, other in ((rows[1:], CLIPS), (rows, CLIPS._replace(num_frames=3))):
        with pytest.raises(ValueError, match="holds other clips, or the same ones stored otherw"):
            store(other_rows, place._replace(clips=other), "test")


class Sum(keras.Model):
    """Something with a weight and a config, which counts its calls."""

    def __init__(self, factor):
        super().__init__()
        self.factor, self.calls = self.add_weight(shape=()), 0
        self.factor.assign(factor)

    def get_config(self):
        return {}

    def frozen(self):
        return FrozenModel(self, self.sums, (2,), "sums")

    def sums(self, videos):
        total = keras.ops.mean(keras.ops.cast(videos, "float32"), axis=(1, 2, 3))
        return self.factor * total[:, :2]


def test_an_interrupted_encoding_goes_on(rows, place, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "BATCH_CLIPS", 2)
    monkeypatch.setattr(features, "SHARD_BYTES", 1)  # a batch is a shard
    store(rows, place, "test")
    records, predict = place.records / "test", FrozenModel.predict_on_batch
    whole = encode(Sum(0.1).frozen(), records, tmp_path / "whole", CLIPS)
    seen = []

    def interrupted(self, videos):
        if len(seen) == 2:
            raise KeyboardInterrupt
        seen.append(len(videos))
        return predict(self, videos)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FrozenModel, "predict_on_batch", interrupted)
        with pytest.raises(KeyboardInterrupt):
            encode(Sum(0.1).frozen(), records, place.features, CLIPS)
    with pytest.raises(ValueError, match="1 of 3 shards are missing"):
        open_features(place.features)
    found = encode(Sum(0.1).frozen(), records, place.features, CLIPS)
    ids = np.array(sorted(row.clip_id for row in rows))
    np.testing.assert_array_equal(found.of(ids), whole.of(ids))
    assert np.ptp(found.of(ids)) > 1  # the clips differ
    monkeypatch.setattr(FrozenModel, "predict_on_batch", None)  # nothing is left to do
    encode(Sum(0.1).frozen(), records, place.features, CLIPS)
    for model, clips, message in (
        (Sum(0.2), CLIPS, "model: .* wanted"),
        (Sum(0.1), CLIPS._replace(sampling="window"), "sampling: 'uniform' there"),
        (Sum(0.1), CLIPS._replace(num_frames=3), "num_frames: 4 there, 3 wanted"),
    ):
        with pytest.raises(ValueError, match=message):
            encode(model.frozen(), records, place.features, clips)


def test_features_that_are_not_finite_are_refused(rows, place):
    store(rows, place, "test")
    with pytest.raises(ValueError, match="not finite"):
        encode(Sum(np.nan).frozen(), place.records / "test", place.features, CLIPS)
