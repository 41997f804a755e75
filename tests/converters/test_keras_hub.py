"""KerasHub's own VideoPrism with random weights, against the model converted from it."""

import keras
import keras_hub
import numpy as np
import pytest

from keras_videoprism.converters import from_keras_hub, to_keras_hub
from keras_videoprism.models import VideoPrism, VideoPrismLvT

ENCODER = {
    "num_frames": 4,
    "patch_size": 8,
    "hidden_dim": 16,
    "intermediate_dim": 64,
    "num_heads": 2,
    "num_spatial_layers": 2,
    "num_temporal_layers": 1,
    "attention_logit_soft_cap": 50.0,
    "image_shape": (24, 24, 3),
}
TEXT = {"num_auxiliary_layers": 1, "vocabulary_size": 40, "num_text_layers": 2}
TOLERANCE = {"atol": 2e-5, "rtol": 2e-5}


def random_backbone(**config):
    """Every weight random, but KerasHub's redundant LayerNorm."""
    backbone = keras_hub.models.VideoPrismBackbone(**{**ENCODER, **config})
    generator = np.random.default_rng(0)
    for variable in backbone.weights:
        if not variable.path.startswith("text_encoder/ln"):
            variable.assign(generator.normal(0.0, 0.2, variable.shape))
    return backbone


@pytest.fixture(scope="module")
def encoder():
    return random_backbone(num_auxiliary_layers=0, vocabulary_size=0, num_text_layers=0)


@pytest.fixture(scope="module")
def two_towers():
    return random_backbone(**TEXT)


@pytest.fixture(scope="module")
def inputs():
    generator = np.random.default_rng(1)
    mask = np.arange(9)[None] < np.array([[9], [5]])
    ids = generator.integers(1, 40, (2, 9)).astype("int32") * mask
    return {
        "videos": generator.random((2, 4, 24, 24, 3), "float32"),
        "token_ids": ids,
        "padding_mask": mask,
    }


def theirs(backbone, inputs):
    """KerasHub's embeddings, to which it does not apply the L2 norm."""
    outputs = backbone(
        {
            "pixel_values": inputs["videos"],
            "token_ids": inputs["token_ids"],
            "padding_mask": inputs["padding_mask"].astype("int32"),
        }
    )
    outputs = keras.tree.map_structure(keras.ops.convert_to_numpy, outputs)
    return {
        name: outputs[key] / np.linalg.norm(outputs[key], axis=-1, keepdims=True)
        for name, key in (
            ("video_embeddings", "vision_embeddings"),
            ("text_embeddings", "text_embeddings"),
        )
    }


@pytest.mark.backends
def test_encoder(encoder, inputs, run):
    expected = keras.ops.convert_to_numpy(encoder(inputs["videos"])).reshape(2, -1, 16)
    model = from_keras_hub(encoder)
    assert isinstance(model, VideoPrism)
    np.testing.assert_allclose(run(model, inputs["videos"]), expected, **TOLERANCE)


@pytest.mark.backends
def test_two_towers(two_towers, inputs, run):
    model = from_keras_hub(two_towers)
    assert isinstance(model, VideoPrismLvT)
    outputs = run(model, inputs)
    for name, expected in theirs(two_towers, inputs).items():
        np.testing.assert_allclose(outputs[name], expected, **TOLERANCE, err_msg=name)


def test_export(two_towers, encoder):
    """Ours, converted back: the same class, configuration and weights."""
    for backbone in (two_towers, encoder):
        exported = to_keras_hub(from_keras_hub(backbone))
        assert {**exported.get_config(), "name": ""} == {**backbone.get_config(), "name": ""}
        for old, new in zip(backbone.weights, exported.weights, strict=True):
            assert old.path == new.path
            np.testing.assert_array_equal(
                keras.ops.convert_to_numpy(old), keras.ops.convert_to_numpy(new)
            )


def test_other_dtype_and_no_weights(encoder):
    assert from_keras_hub(encoder, dtype="bfloat16").compute_dtype == "bfloat16"
    random = from_keras_hub(encoder, load_weights=False)
    assert np.abs(random.get_weights()[0] - from_keras_hub(encoder).get_weights()[0]).max() > 0.1


def test_what_does_not_fit_is_named():
    backbone = random_backbone(**TEXT, intermediate_dim=32)
    weights = {variable.path: variable for variable in backbone.weights}
    weights["text_encoder/ln/beta"].assign(np.ones(16))
    kernel = weights["spatial_encoder/transformer_block_1/mlp/dense_1/kernel"]
    kernel.assign(np.full(kernel.shape, np.nan))
    with pytest.raises(ValueError) as error:
        from_keras_hub(backbone)
    for part in (
        "text_encoder/ln/beta was trained",
        "block_1/mlp/dense_1/kernel has values that are not finite",
        "text_encoder/transformer_block_0/mlp/dense_1/kernel (16, 32) does not fit",
    ):
        assert part in str(error.value)


def test_giant_text_tower_cannot_be_exported(video_prism_lvt):
    config = video_prism_lvt.get_config()
    config["text_norm_policy"] = "primer_hybrid"
    with pytest.raises(ValueError, match="primer_hybrid|'pre'"):
        to_keras_hub(VideoPrismLvT.from_config(config))
