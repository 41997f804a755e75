"""Checkpoints that Transformers itself writes, of random weights, and what is refused."""

import json

import keras
import numpy as np
import pytest

from keras_videoprism.converters import from_transformers, to_transformers
from keras_videoprism.layers.position_embedding import sinusoids
from keras_videoprism.models import VideoClassifier, VideoPrism, VideoPrismLvT

transformers = pytest.importorskip("transformers")
torch = pytest.importorskip("torch")

VISION = {
    "image_size": [24, 24],
    "num_frames": 4,
    "tubelet_size": [1, 8, 8],
    "hidden_size": 16,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "num_spatial_layers": 2,
    "num_temporal_layers": 1,
    "num_auxiliary_layers": 1,
}
TEXT = {
    "vocab_size": 40,
    "hidden_size": 16,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
TOLERANCE = {"atol": 2e-5, "rtol": 2e-5}
OLD_NAMES = (  # today's name -> that of the first port, in this order
    ("video_model.vision_model.", "video_model.backbone."),
    ("spatial_layers.", "spatial_encoder.layer."),
    ("temporal_layers.", "temporal_encoder.layer."),
    ("auxiliary_layers.", "auxiliary_encoder.layer."),
    ("text_model.layers.", "text_model.text_encoder.layer."),
    ("attention.q_proj", "attention.attention.query"),
    ("attention.k_proj", "attention.attention.key"),
    ("attention.v_proj", "attention.attention.value"),
    ("attention.o_proj", "attention.output.dense"),
    ("mlp.fc1", "intermediate.dense"),
    ("mlp.fc2", "output.dense"),
    ("head.q_proj", "contrastive_vision_pooler.query"),
    ("head.k_proj", "contrastive_vision_pooler.key"),
    ("head.v_proj", "contrastive_vision_pooler.value"),
    ("head.o_proj", "contrastive_vision_pooler.projection"),
    ("head_layernorm", "contrastive_vision_pooler.layernorm"),
    ("video_model.head.", "video_model.contrastive_vision_pooler."),
    ("text_model.embeddings.cls_emb", "text_model.cls_emb"),
    ("text_model.embeddings.token_embedding", "text_model.token_embeddings"),
    ("text_model.embeddings.position_embedding", "text_model.position_embeddings"),
)


def random_model(cls, config):
    """Every parameter random, so that none can be forgotten unseen."""
    torch.manual_seed(0)
    model = cls(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.2)
    return model


@pytest.fixture(scope="module")
def theirs():
    """Name -> model of Transformers."""
    vision = transformers.VideoPrismVisionConfig(**VISION, num_labels=3)
    both = transformers.VideoPrismConfig(vision_config=VISION, text_config=TEXT)
    clip = random_model(transformers.VideoPrismClipModel, both)
    # Transformers computes text positions by another formula than the official code.
    table = keras.ops.convert_to_numpy(sinusoids(64, 16))
    clip.text_model.embeddings.position_embedding.copy_(torch.tensor(table))
    return {
        "vision": random_model(transformers.VideoPrismVisionModel, vision),
        "classifier": random_model(transformers.VideoPrismForVideoClassification, vision),
        "clip": clip,
    }


@pytest.fixture(scope="module")
def folders(theirs, tmp_path_factory):
    """Name -> folder that Transformers wrote."""
    folder = tmp_path_factory.mktemp("transformers")
    for name, model in theirs.items():
        model.save_pretrained(folder / name)
    return {name: folder / name for name in theirs}


def pixels(frames, height, width):
    return np.random.default_rng(1).random((2, frames, height, width, 3), "float32")


def torch_outputs(model, videos, **kwargs):
    values = torch.tensor(videos.transpose(0, 1, 4, 2, 3))
    with torch.no_grad():
        return model(values, interpolate_pos_encoding=True, **kwargs)


SIZES = [(4, 24, 24), (6, 24, 24), (2, 40, 16)]


@pytest.mark.parametrize("size", SIZES)
def test_encoder(theirs, folders, run, size):
    videos = pixels(*size)
    expected = torch_outputs(theirs["vision"], videos).last_hidden_state.numpy()
    model = from_transformers(folders["vision"])
    assert isinstance(model, VideoPrism)
    np.testing.assert_allclose(run(model, videos), expected, **TOLERANCE)


def test_classifier(theirs, folders, run):
    """Its pooler is 4D wide, the official classifier's D."""
    videos = pixels(4, 24, 24)
    expected = torch_outputs(theirs["classifier"], videos).logits.numpy()[:, 0]
    model = from_transformers(folders["classifier"])
    assert isinstance(model, VideoClassifier) and model.num_classes == 3
    np.testing.assert_allclose(run(model, videos), expected, **TOLERANCE)


@pytest.fixture(scope="module")
def texts():
    ids = np.random.default_rng(2).integers(1, 40, (2, 9)).astype("int32")
    mask = np.arange(9)[None] < np.array([[9], [5]])
    return {"token_ids": ids * mask, "padding_mask": mask}


@pytest.fixture(scope="module")
def expected_embeddings(theirs, texts):
    """Those of Transformers; padded text."""
    clip = theirs["clip"]
    with torch.no_grad():
        text = clip.text_model(
            input_ids=torch.tensor(texts["token_ids"]).long(),
            attention_mask=torch.tensor(texts["padding_mask"]).long(),
        )
    video = torch_outputs(clip.video_model, pixels(4, 24, 24))
    return {
        "text_embeddings": text.pooler_output.numpy().reshape(2, -1),
        "video_embeddings": video.pooler_output.numpy().reshape(2, -1),
    }


@pytest.fixture(params=["today's", "old names", "shards"])
def clip_folder(request, theirs, folders, tmp_path):
    """The two-tower model in each layout in which it may be met."""
    if request.param == "today's":
        return folders["clip"]
    if request.param == "shards":
        theirs["clip"].save_pretrained(tmp_path, max_shard_size="20KB")
        assert len(list(tmp_path.glob("*.safetensors"))) > 1
        return tmp_path
    import safetensors.torch

    arrays = {}
    for key, value in theirs["clip"].state_dict().items():
        for new, old in OLD_NAMES:
            key = key.replace(new, old)
        arrays[key] = value.clone()
    assert not arrays.keys() & theirs["clip"].state_dict().keys() - {
        "text_model.layernorm.weight",
        "text_model.layernorm.bias",
        "text_model.embeddings.position_ids",
    }
    safetensors.torch.save_file(arrays, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text((folders["clip"] / "config.json").read_text())
    return tmp_path


def test_two_towers(clip_folder, texts, expected_embeddings, run):
    model = from_transformers(clip_folder)
    assert isinstance(model, VideoPrismLvT)
    outputs = run(model, {"videos": pixels(4, 24, 24), **texts})
    for name, expected in expected_embeddings.items():
        np.testing.assert_allclose(outputs[name], expected, **TOLERANCE, err_msg=name)


def test_their_own_text_positions_differ(theirs):
    """Which the fixture above sets right; a converted model follows the official code."""
    fresh = transformers.VideoPrismClipModel(theirs["clip"].config).text_model.embeddings
    official = keras.ops.convert_to_numpy(sinusoids(64, 16))
    assert np.abs(fresh.position_embedding.numpy() - official).max() > 0.01


@pytest.mark.parametrize("name", ["vision", "classifier", "clip"])
def test_export_loads_there(name, theirs, folders, tmp_path):
    to_transformers(from_transformers(folders[name]), tmp_path)
    cls = type(theirs[name])
    exported, info = cls.from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    old, new = theirs[name].state_dict(), exported.eval().state_dict()
    assert old.keys() == new.keys()
    for key, value in old.items():
        np.testing.assert_allclose(new[key], value, atol=1e-6, err_msg=key)


def test_other_dtype_and_no_weights(folders):
    model = from_transformers(folders["vision"], dtype="bfloat16")
    assert model.compute_dtype == "bfloat16"
    random = from_transformers(folders["vision"], load_weights=False, name="encoder")
    loaded = from_transformers(folders["vision"], name="encoder")
    assert random.get_config() == loaded.get_config()
    assert np.abs(random.get_weights()[0] - loaded.get_weights()[0]).max() > 0.1


@pytest.fixture
def damaged(folders, tmp_path):
    """damaged(change): a folder whose arrays were changed."""
    import safetensors.torch

    def write(change):
        arrays = safetensors.torch.load_file(folders["vision"] / "model.safetensors")
        change(arrays)
        safetensors.torch.save_file(arrays, tmp_path / "model.safetensors")
        (tmp_path / "config.json").write_text((folders["vision"] / "config.json").read_text())
        return tmp_path

    return write


def test_all_that_does_not_fit_is_named(damaged):
    def change(arrays):
        del arrays["layernorm1.bias"]
        arrays["layernorm2.bias"] = torch.zeros(3)
        arrays["layernorm2.weight"] = torch.full((16,), float("nan"))
        arrays["more"] = torch.zeros(1)

    with pytest.raises(ValueError) as error:
        from_transformers(damaged(change))
    for part in ("missing array layernorm1.bias", r"(3,)", "layernorm2.weight has", "array more"):
        assert part in str(error.value)


def test_bfloat16_arrays(damaged, folders):
    def change(arrays):
        arrays.update({key: value.bfloat16() for key, value in arrays.items()})

    halves, whole = from_transformers(damaged(change)), from_transformers(folders["vision"])
    for half, value in zip(halves.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_allclose(half, value, rtol=1e-2, atol=1e-2)


def test_truncated_file(damaged):
    folder = damaged(lambda arrays: None)
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[:-100])
    with pytest.raises(ValueError, match="model.safetensors is damaged"):
        from_transformers(folder)


def test_index_that_leaves_its_folder(damaged):
    folder = damaged(lambda arrays: None)
    index = {"weight_map": {"layernorm1.bias": "../model.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match="outside of its folder"):
        from_transformers(folder)


def test_another_model(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "vivit"}))
    with pytest.raises(ValueError, match="'vivit'"):
        from_transformers(tmp_path)
