import keras
import numpy as np
import pytest

from keras_videoprism.commands.features import cache_features, digest_of_model
from keras_videoprism.data import features, read_manifest, read_records, write_records
from keras_videoprism.models import VideoPrism, VideoPrismLvT

TINY = {
    "patch_size": 8,
    "position_shape": (4, 3, 3),
    "hidden_dim": 16,
    "num_spatial_layers": 1,
    "num_temporal_layers": 1,
    "num_heads": 2,
    "mlp_dim": 32,
}
CLIPS = {"num_frames": 3, "image_size": (24, 24)}


@pytest.fixture(scope="module")
def encoder():
    keras.utils.set_random_seed(0)
    return VideoPrism(**TINY)


@pytest.fixture(scope="module")
def records(video_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("records")
    write_records(read_manifest(video_folder), folder / "six", num_shards=2, short_side=24)
    return folder / "six"


@pytest.fixture(scope="module")
def cached(encoder, records, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache") / "six"
    cache_features(encoder, records, folder, **CLIPS, batch_size=4)
    return folder


def read(records, **arguments):
    arguments = {"batch_size": 4, **CLIPS, **arguments}
    return list(read_records(records, **arguments).as_numpy_iterator())


@pytest.mark.parametrize("change", [{}, {"shuffle": True, "seed": 3, "start": 1, "batch_size": 2}])
def test_batches_have_tokens_in_place_of_videos(encoder, records, cached, text_tower, change):
    """Order, ids and captions are those without a cache."""
    change = {"tokenizer": text_tower.tokenizer, "drop_remainder": False, **change}
    expected = read(records, **change)
    found = read(records, features=cached, **change)
    assert len(found) == len(expected) == 2
    for batch, with_videos in zip(found, expected, strict=True):
        tokens = np.asarray(encoder(with_videos.pop("videos")))
        np.testing.assert_allclose(batch.pop("video_tokens"), tokens, atol=1e-5)
        assert batch.keys() == with_videos.keys()
        for key, value in batch.items():
            np.testing.assert_array_equal(value, with_videos[key])


def test_no_frame_is_decoded(records, cached, monkeypatch):
    from keras_videoprism.data import load

    monkeypatch.setattr(load, "decode_jpegs", None)
    assert [len(batch["video_tokens"]) for batch in read(records, features=cached)] == [4]


def test_an_interrupted_call_goes_on(encoder, records, cached, tmp_path, monkeypatch):
    monkeypatch.setattr(features, "SHARD_BYTES", 1)
    reports = []

    def interrupt(done, total):
        reports.append((done, total))
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache_features(encoder, records, tmp_path, **CLIPS, batch_size=2, progress=interrupt)
    first = (tmp_path / "features-00000.npy").stat().st_mtime_ns
    assert reports == [(2, 6), (4, 6)]
    with pytest.raises(ValueError, match="2 of 3 shards are missing"):
        read(records, features=tmp_path)
    for batch_size in (2, 2):  # the second has nothing to do
        cache_features(encoder, records, tmp_path, **CLIPS, batch_size=batch_size)
    assert (tmp_path / "features-00000.npy").stat().st_mtime_ns == first
    for batch, expected in zip(
        read(records, features=tmp_path), read(records, features=cached), strict=True
    ):
        np.testing.assert_allclose(batch["video_tokens"], expected["video_tokens"], atol=1e-5)
    (tmp_path / "features-00002.npy").unlink()
    with pytest.raises(ValueError, match="shards of 2 clips; batch_size must divide it, rec.* 4"):
        cache_features(encoder, records, tmp_path, **CLIPS, batch_size=4)


def test_half_precision(encoder, records, cached, tmp_path):
    cache_features(encoder, records, tmp_path, **CLIPS, batch_size=4, dtype="float16")
    (half,), (whole,) = read(records, features=tmp_path), read(records, features=cached)
    assert half["video_tokens"].dtype == np.float16
    np.testing.assert_allclose(half["video_tokens"], whole["video_tokens"], rtol=1e-3, atol=1e-3)


def test_what_a_cache_does_not_fit_is_told(encoder, records, cached, video_folder, tmp_path):
    for change, message in (
        ({"num_frames": 2}, "num_frames: 3 there, 2 wanted"),
        ({"image_size": 16}, r"image_size: \[24, 24\] there, \[16, 16\] wanted"),
        ({"sampling": "random_segment"}, "sampling: 'uniform' there, 'random_segment' wanted"),
        ({"augment": True}, "leave augment and flip out"),
        ({"flip": True}, "leave augment and flip out"),
    ):
        with pytest.raises(ValueError, match=message):
            read(records, features=cached, **change)
    write_records(read_manifest(video_folder)[:5], tmp_path / "five", short_side=24)
    for folders in (tmp_path / "five", [records, tmp_path / "five"]):
        with pytest.raises(ValueError, match="records: '.*' there, '.*' wanted"):
            read(folders, features=cached)
    keras.utils.set_random_seed(1)
    with pytest.raises(ValueError, match="model: '.*' there, '.*' wanted"):
        cache_features(VideoPrism(**TINY), records, cached, **CLIPS)


def test_a_damaged_record_is_replaced_alike(encoder, records, tmp_path):
    folder = tmp_path / "damaged"
    folder.mkdir()
    for file in records.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    shard = sorted(folder.glob("*.tfrecord"))[0]
    content = bytearray(shard.read_bytes())
    content[-9] ^= 1  # the last record of the first shard
    shard.write_bytes(content)
    cache_features(encoder, folder, tmp_path / "c", **CLIPS, batch_size=4, max_bad_records=1)
    change = {"max_bad_records": 1, "shuffle": True, "drop_remainder": False}
    for batch, expected in zip(
        read(folder, features=tmp_path / "c", **change), read(folder, **change), strict=True
    ):
        np.testing.assert_array_equal(batch["clip_id"], expected["clip_id"])
        tokens = np.asarray(encoder(expected["videos"]))
        np.testing.assert_allclose(batch["video_tokens"], tokens, atol=1e-5)


def test_digest_of_a_model(encoder):
    towers = VideoPrismLvT(**TINY, num_auxiliary_layers=0, vocabulary_size=9, num_text_layers=1)
    towers.video_encoder.set_weights(encoder.get_weights())
    towers.video_encoder.trainable = False
    assert digest_of_model(towers.video_encoder) == digest_of_model(encoder)
    weights = encoder.get_weights()
    for change in ({"logit_cap": None}, {"dtype": "bfloat16"}):
        other = VideoPrism(**{**TINY, **change})
        other.set_weights(weights)
        assert digest_of_model(other) != digest_of_model(encoder), change
    other = VideoPrism(**TINY)
    weights[3] = np.nextafter(weights[3], np.float32(9))
    other.set_weights(weights)
    assert digest_of_model(other) != digest_of_model(encoder)


def test_features_of_views(encoder, records, tmp_path):
    views = {"sampling": "window", "views": (2, 2)}
    cache_features(encoder, records, tmp_path, **CLIPS, batch_size=2, **views)
    ((batch, *_), (expected, *_)) = (
        read(records, **views, **more) for more in ({"features": tmp_path}, {})
    )
    videos = expected["videos"]
    assert batch["video_tokens"].shape[:2] == videos.shape[:2] == (4, 4)
    tokens = np.asarray(encoder(videos.reshape(-1, *videos.shape[2:])))
    np.testing.assert_allclose(batch["video_tokens"].reshape(tokens.shape), tokens, atol=1e-5)
    with pytest.raises(ValueError, match=r"views: \[2, 2\] there, .*1, 2.* wanted"):
        cache_features(
            encoder, records, tmp_path, **CLIPS, batch_size=2, sampling="window", views=(1, 2)
        )
