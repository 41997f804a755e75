import json

import keras
import numpy as np
import pytest
from keras import ops

from keras_videoprism import presets
from keras_videoprism.__main__ import main
from keras_videoprism.commands.features import cache_features
from keras_videoprism.commands.lit import lit, lock_encoder, train_lit
from keras_videoprism.data import Tokenizer, read_manifest, read_records, write_records
from keras_videoprism.models import VideoPrism, VideoPrismLvT
from keras_videoprism.training import Stage1Model

TINY = {
    "patch_size": 8,
    "position_shape": (4, 3, 3),
    "hidden_dim": 16,
    "num_spatial_layers": 1,
    "num_temporal_layers": 1,
    "num_heads": 2,
    "mlp_dim": 32,
}
TEXT = {"num_auxiliary_layers": 0, "num_text_layers": 1}
CLIPS = {"num_frames": 4, "image_size": (24, 24)}


def towers(tokenizer: Tokenizer, **change) -> VideoPrismLvT:
    """Always with the same weights."""
    keras.utils.set_random_seed(0)
    model = VideoPrismLvT(
        **{**TINY, **TEXT, "vocabulary_size": tokenizer.vocabulary_size, **change}
    )
    model.tokenizer = tokenizer
    return model


def encoder(**change) -> VideoPrism:
    keras.utils.set_random_seed(1)
    return VideoPrism(**{**TINY, **change})


@pytest.fixture(scope="module")
def tokenizer(text_tower) -> Tokenizer:
    return text_tower.tokenizer


@pytest.fixture(scope="module")
def records(video_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("records")
    write_records(read_manifest(video_folder), folder / "six", num_shards=2, short_side=24)
    return folder / "six"


@pytest.fixture(scope="module")
def cached(records, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache") / "six"
    cache_features(encoder(), records, folder, **CLIPS)
    return folder


def batches(records, tokenizer, features=None):
    """As `lit` reads them."""
    return lambda start: read_records(
        records,
        batch_size=3,
        tokenizer=tokenizer,
        shuffle=True,
        repeat=True,
        start=start,
        features=features,
        **CLIPS,
    )


def curve(records, tokenizer, steps, features=None, optimizer=None):
    model = towers(tokenizer)
    curves = train_lit(
        model,
        encoder(),
        batches(records, tokenizer, features),
        optimizer or keras.optimizers.SGD(0.1),
        steps,
        steps_per_epoch=1,
    )
    return model, curves["loss"]


@pytest.mark.backends
def test_a_cache_gives_the_same_step(records, cached, tokenizer):
    """What learns, learns the same; the encoder stays that of stage 2."""
    with_videos, loss = curve(records, tokenizer, 1)
    with_tokens, cached_loss = curve(records, tokenizer, 1, cached)
    np.testing.assert_allclose(cached_loss, loss, atol=1e-5)
    before = {
        variable.path: ops.convert_to_numpy(variable) for variable in towers(tokenizer).weights
    }
    locked = {variable.path: ops.convert_to_numpy(variable) for variable in encoder().weights}
    for ours, theirs in zip(with_videos.weights, with_tokens.weights, strict=True):
        new = ops.convert_to_numpy(ours)
        np.testing.assert_allclose(new, ops.convert_to_numpy(theirs), atol=1e-5)
        if ours.path in locked:
            np.testing.assert_array_equal(new, locked[ours.path])
        elif not ours.path.endswith(("key/bias", "token_embedding/embeddings")):
            assert np.abs(new - before[ours.path]).max() > 1e-7, ours.path


def test_a_cache_gives_the_same_loss_curve(records, cached, tokenizer):
    adam = [keras.optimizers.Adam(3e-3) for _ in range(2)]
    _, losses = curve(records, tokenizer, 12, None, adam[0])
    _, cached_losses = curve(records, tokenizer, 12, cached, adam[1])
    assert losses[-1] < losses[0] - 0.1
    np.testing.assert_allclose(cached_losses, losses, atol=1e-5)


@pytest.mark.backends
@pytest.mark.parametrize("num_auxiliary_layers", [0, 1])
def test_the_optimizer_knows_nothing_of_the_encoder(tokenizer, num_auxiliary_layers):
    model = towers(tokenizer, num_auxiliary_layers=num_auxiliary_layers)
    lock_encoder(model, encoder())
    stage = Stage1Model(model, dropping_ratio=0.0)
    optimizer = keras.optimizers.Adam(0.1)
    stage.compile(optimizer)
    optimizer.build(stage.trainable_variables)
    learned = {variable.path.split("/")[-2] for variable in stage.trainable_variables}
    assert {"query", "norm", "mlp_hidden"} <= learned
    locked = {id(variable) for variable in model.video_encoder.weights}
    assert not locked & {id(variable) for variable in stage.trainable_variables}
    rest = len(model.weights) - len(locked) + 1  # the temperature
    assert len(stage.trainable_variables) == rest
    assert len(optimizer.variables) == 2 + 2 * rest


def test_an_encoder_of_another_size(tokenizer):
    with pytest.raises(ValueError) as error:
        train_lit(towers(tokenizer), encoder(hidden_dim=32, logit_cap=None), None, None, 1)
    assert "hidden_dim: 16 in the towers, 32 in the encoder" in str(error.value)
    assert "logit_cap" in str(error.value) and "mlp_dim" not in str(error.value)


@pytest.fixture(scope="module")
def folders(tokenizer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("presets")
    presets.save(towers(tokenizer), folder / "towers")
    presets.save(encoder(), folder / "encoder")
    return folder


def test_command_line(records, folders, tmp_path):
    """A second call on other records goes on from the towers of the first."""
    call = ["lit", str(records), "--encoder", str(folders / "encoder"), "--steps", "4"]
    call += ["--batch-size", "3", "--frames", "4", "--cache", str(tmp_path / "cache")]
    first = ["--towers", str(folders / "towers"), "--output", str(tmp_path / "first")]
    second = ["--towers", str(tmp_path / "first"), "--output", str(tmp_path / "second")]
    assert main([*call, *first]) == 0
    made = (tmp_path / "cache" / "features-00000.npy").stat().st_mtime_ns
    assert main([*call, *second]) == 0
    assert (tmp_path / "cache" / "features-00000.npy").stat().st_mtime_ns == made
    model = VideoPrismLvT.from_preset(tmp_path / "second")
    for ours, theirs in zip(model.video_encoder.weights, encoder().weights, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(ours), ops.convert_to_numpy(theirs))
    assert model.tokenizer is not None and model.video_encoder.trainable
    curves = json.loads((tmp_path / "second" / "curves.json").read_text())
    assert curves["step"] == [4] and np.isfinite(curves["loss"]).all()
    assert (tmp_path / "first.run" / "steps.csv").exists()


def test_bad_arguments_are_told_before_any_work(records, folders, tokenizer, tmp_path):
    settings = {"encoder": folders / "encoder", "towers": folders / "towers", "steps": 2}
    settings |= {"output": tmp_path / "out", "batch_size": 3, "frames": 4}
    with pytest.raises(ValueError, match="uniform frames; received sampling='random_segment'"):
        lit([records], **settings, cache=tmp_path / "cache", sampling="random_segment")
    with pytest.raises(ValueError, match="6 clips do not fill one batch of 9"):
        lit([records], **{**settings, "batch_size": 9}, cache=tmp_path / "cache")
    other = towers(tokenizer)
    other.tokenizer = None
    presets.save(other, tmp_path / "mute")
    with pytest.raises(ValueError, match="mute has no tokenizer"):
        lit([records], **{**settings, "towers": tmp_path / "mute"})
    cache_features(towers(tokenizer).video_encoder, records, tmp_path / "cache", **CLIPS)
    with pytest.raises(ValueError, match="model: '.*' there, '.*' wanted"):
        lit([records], **settings, cache=tmp_path / "cache")
    (tmp_path / "out").mkdir()
    with pytest.raises(ValueError, match="exists"):
        lit([records], **settings)
    assert not (tmp_path / "out.run").exists()
