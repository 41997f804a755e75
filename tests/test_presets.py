import json
from pathlib import Path

import h5py
import keras
import keras_hub
import numpy as np
import pytest

from keras_videoprism import presets
from keras_videoprism.converters import to_keras_hub, to_transformers
from keras_videoprism.data.tokenize import Tokenizer
from keras_videoprism.models import VideoClassifier, VideoPrism, VideoPrismLvT

PARAMETERS = {
    "videoprism_b": 114_365_184,
    "videoprism_l": 353_965_056,
    "videoprism_g": 1_112_755_072,
    "videoprism_lvt_b": 247_623_424,
    "videoprism_lvt_l": 579_877_120,
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameter_counts(name, no_weights):
    """Those of the official models; no weight is allocated."""
    cls = VideoPrismLvT if "lvt" in name else VideoPrism
    with no_weights():
        model = cls(**presets.PRESETS[name])
    assert model.count_params() == PARAMETERS[name]


def test_giant_text_tower(no_weights):
    """16 layers with norms before and after each branch; its weights were never published."""
    with no_weights():
        model = VideoPrismLvT(**presets.PRESETS["videoprism_lvt_g"])
    blocks = model.text_encoder.transformer.blocks
    assert len(blocks) == 16 and all(len(block.post_norms) == 2 for block in blocks)
    encoder = model.video_encoder
    assert encoder.count_params() == PARAMETERS["videoprism_g"]


@pytest.mark.parametrize("name", sorted(presets.PRESETS))
def test_every_encoder_has_its_two_tower_model(name):
    encoder = presets.PRESETS[name.replace("lvt_", "")]
    assert encoder.items() <= presets.PRESETS[name].items()


def test_random_weights_of_a_preset():
    model = VideoPrism.from_preset("videoprism_tiny", load_weights=False, hidden_dim=12)
    assert model.hidden_dim == 12
    assert model.patch_size == presets.PRESETS["videoprism_tiny"]["patch_size"]


@pytest.mark.parametrize("name", ["videoprism_tiny", "videoprism_lvt_tiny"])
def test_shipped_presets(name):
    """Their files in the package hold the sizes that `PRESETS` tells."""
    model = presets.from_preset(name)
    assert isinstance(model, VideoPrismLvT if "lvt" in name else VideoPrism)
    config = model.get_config()
    for key, value in presets.PRESETS[name].items():
        if key != "vocabulary_size":  # the shipped tokenizer's
            assert config[key] == value, key
    if "lvt" in name:
        assert model.vocabulary_size == model.tokenizer.vocabulary_size
    assert all(np.isfinite(weight).all() for weight in model.get_weights())


def test_preset_without_weights():
    with pytest.raises(ValueError, match="videoprism_g were never published.*load_weights=False"):
        VideoPrism.from_preset("videoprism_g")


def test_unknown_preset(tmp_path):
    with pytest.raises(ValueError, match="no preset 'videoprism_xl'.*mean.*videoprism_l"):
        VideoPrism.from_preset("videoprism_xl")
    with pytest.raises(ValueError, match="no preset"):
        VideoPrism.from_preset(str(tmp_path / "missing"))


def test_the_tokenizer_travels_with_the_model(tmp_path, video_prism_lvt):
    tokenizer = Tokenizer(Path(__file__).parent / "golden" / "test_spm.model")
    video_prism_lvt.tokenizer = tokenizer
    try:
        presets.save(video_prism_lvt, tmp_path / "preset")
    finally:
        video_prism_lvt.tokenizer = None
    loaded = presets.from_preset(tmp_path / "preset")
    assert isinstance(loaded, VideoPrismLvT)
    for name, array in tokenizer(["A dog!"]).items():
        np.testing.assert_array_equal(loaded.tokenizer(["A dog!"])[name], array)


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """Empty caches of both hubs, and neither can be reached."""
    from huggingface_hub import constants
    from kagglesdk import kaggle_env

    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "kaggle"))
    nowhere = dict.fromkeys(kaggle_env.KaggleEnv, "http://127.0.0.1:9")  # the discard port
    monkeypatch.setattr(kaggle_env, "_env_to_endpoint", nowhere)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "huggingface"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path


def kaggle_cache(root: Path, variant: str) -> Path:
    """Folder of a model in kagglehub's cache."""
    return root / "kaggle" / "models" / "keras" / "videoprism" / "keras" / variant / "1"


def mark_complete(folder: Path) -> None:
    """What kagglehub writes after each file that it has downloaded."""
    for file in [file for file in folder.rglob("*") if file.is_file()]:
        marker = folder.parent / ".complete" / "1" / f"{file.relative_to(folder)}.complete"
        marker.parent.mkdir(parents=True, exist_ok=True)
        marker.touch()


def same_outputs(run, one, other, frames=5):
    videos = np.random.default_rng(0).random((1, frames, 12, 18, 3), "float32")
    np.testing.assert_allclose(run(one, videos), run(other, videos), atol=2e-5, rtol=2e-5)


@pytest.mark.parametrize("name", ["videoprism_b", "videoprism_public_v1_base"])
def test_name_finds_keras_hubs_preset_in_its_cache(name, offline, video_prism, run):
    """By our name and by KerasHub's; other frame counts and sizes run."""
    folder = kaggle_cache(offline, "videoprism_public_v1_base")
    to_keras_hub(video_prism).save_to_preset(str(folder))
    mark_complete(folder)
    same_outputs(run, VideoPrism.from_preset(name), video_prism)


def test_name_finds_a_transformers_checkpoint_in_its_cache(offline, video_prism, run):
    repository = offline / "huggingface" / "models--google--videoprism-base-f16r288"
    to_transformers(video_prism, repository / "snapshots" / "0123")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0123")
    same_outputs(run, VideoPrism.from_preset("videoprism_b"), video_prism)
    half = VideoPrism.from_preset("videoprism_b", dtype="bfloat16")
    assert half.compute_dtype == "bfloat16"


def test_official_file_in_the_hugging_face_cache(offline, golden, video_prism, run):
    repository = offline / "huggingface" / "models--google--videoprism-base-f16r288"
    (repository / "snapshots" / "0123").mkdir(parents=True)
    np.savez(repository / "snapshots" / "0123" / "flax_base.npz", **golden("encoder")[0])
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0123")
    same_outputs(run, VideoPrism.from_preset("videoprism_b"), video_prism)


def test_no_hub_can_be_reached(offline):
    with pytest.raises(ValueError) as error:
        VideoPrism.from_preset("videoprism_b")
    for part in ("kaggle://keras/videoprism/", "hf://google/videoprism-base-f16r288", "network"):
        assert part in str(error.value)


def test_official_file_by_its_path(golden, tmp_path, video_prism, run):
    np.savez(tmp_path / "official.npz", **golden("encoder")[0])
    for path in (tmp_path, tmp_path / "official.npz", str(tmp_path)):
        same_outputs(run, VideoPrism.from_preset(path), video_prism)
    random = VideoPrism.from_preset(tmp_path, load_weights=False, logit_cap=None)
    assert random.logit_cap is None and random.position_shape == video_prism.position_shape


def test_keras_hub_loads_our_preset(tmp_path, video_prism, run):
    presets.save(video_prism, tmp_path / "preset")
    loaded = keras_hub.models.Backbone.from_preset(str(tmp_path / "preset"))
    assert type(loaded) is VideoPrism
    same_outputs(run, loaded, video_prism)


def test_classifier(tmp_path, video_prism, run):
    presets.save(video_prism, tmp_path / "encoder")
    with pytest.raises(ValueError, match="pass num_classes"):
        VideoClassifier.from_preset(tmp_path / "encoder")
    model = VideoClassifier.from_preset(tmp_path / "encoder", num_classes=3)
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.train_on_batch(np.zeros((2, 2, 12, 12, 3), "float32"), np.zeros(2, "int32"))
    presets.save(model, tmp_path / "classifier")
    assert model.optimizer.iterations == 1
    assert not VideoClassifier.from_preset(tmp_path / "classifier").compiled
    with h5py.File(tmp_path / "classifier" / "model.weights.h5") as file:
        assert "optimizer" not in file
    loaded = VideoClassifier.from_preset(tmp_path / "classifier")
    same_outputs(run, loaded, model)
    assert loaded.encoder.trainable is False
    other = VideoClassifier.from_preset(tmp_path / "classifier", num_classes=5)
    assert other.num_classes == 5
    np.testing.assert_array_equal(other.encoder.get_weights()[0], model.encoder.get_weights()[0])


def test_another_class(tmp_path, video_prism):
    presets.save(video_prism, tmp_path / "preset")
    with pytest.raises(ValueError, match="holds a VideoPrism, not a VideoPrismLvT"):
        VideoPrismLvT.from_preset(tmp_path / "preset")
    (tmp_path / "preset" / "config.json").write_text(json.dumps({"model_type": "vivit"}))
    with pytest.raises(ValueError, match="another model: vivit"):
        VideoPrism.from_preset(tmp_path / "preset")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"neither config.json nor one npz"):
        VideoPrism.from_preset(tmp_path / "empty")


def test_failed_save_leaves_the_old_preset(tmp_path, video_prism, monkeypatch):
    presets.save(video_prism, tmp_path / "preset")
    before = sorted(tmp_path.rglob("*"))

    def fail(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr(VideoPrism, "save_to_preset", fail)
    with pytest.raises(OSError, match="disk full"):
        presets.save(video_prism, tmp_path / "preset")
    assert sorted(tmp_path.rglob("*")) == before


def test_damaged_presets(tmp_path, video_prism):
    folder = tmp_path / "preset"
    presets.save(video_prism, folder)
    index = {"weight_map": {"/layers": ["../other.weights.h5"]}}
    (folder / "model.weights.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match="outside of its folder"):
        VideoPrism.from_preset(folder)
    (folder / "model.weights.json").unlink()
    with h5py.File(folder / "model.weights.h5", "r+") as file:
        names = []
        file.visit(names.append)
        kernel = next(n for n in names if n.endswith("projection/vars/0"))
        file[kernel][...] = np.nan
    with pytest.raises(ValueError, match="not finite.*patch_embedding/projection/kernel"):
        VideoPrism.from_preset(folder)
    content = (folder / "model.weights.h5").read_bytes()
    (folder / "model.weights.h5").write_bytes(content[:1000])
    with pytest.raises(ValueError, match="could not be found or downloaded"):
        VideoPrism.from_preset(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(ValueError, match="config.json is no JSON"):
        VideoPrism.from_preset(folder)
