"""KerasHub's CLIP, SigLIP and ViT with random weights, against what is initialised from them."""

import keras
import keras_hub
import numpy as np
import pytest
from keras import ops

from keras_videoprism.converters import freeze_spatial, initialize
from keras_videoprism.converters.image_text import fold_pixels, resize_kernel, resize_table
from keras_videoprism.layers.position_embedding import resize_weights
from keras_videoprism.models import VideoPrism, VideoPrismLvT
from keras_videoprism.training import Stage1Model

OURS = {
    "patch_size": 8,
    "position_shape": (2, 3, 3),
    "hidden_dim": 16,
    "num_spatial_layers": 2,
    "num_temporal_layers": 1,
    "num_heads": 2,
    "mlp_dim": 64,
    "logit_cap": None,
}
TEXT = {"num_auxiliary_layers": 0, "vocabulary_size": 40, "num_text_layers": 2}
IMAGE = {"patch_size": 8, "hidden_dim": 16, "num_layers": 2, "num_heads": 2}
TOWER = {"hidden_dim": 16, "embedding_dim": 16, "num_layers": 2, "num_heads": 2}
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.3, 0.4)
TOLERANCE = {"atol": 2e-5, "rtol": 2e-5}


def randomized(backbone: keras.Model) -> keras.Model:
    """Random weights; the positions count up, as in all released models."""
    generator = np.random.default_rng(0)
    for variable in backbone.weights:
        if "int" in variable.dtype:
            variable.assign(np.arange(variable.shape[1])[None])
        else:
            variable.assign(generator.normal(0.0, 0.2, variable.shape))
    return backbone


def siglip(activation: str = "gelu", image_size: int = 24, **image: int) -> keras.Model:
    arguments = {"intermediate_dim": 64, "intermediate_activation": activation}
    return randomized(
        keras_hub.models.SigLIPBackbone(
            keras_hub.models.SigLIPVisionEncoder(
                **{**IMAGE, **arguments, "image_shape": (image_size, image_size, 3), **image}
            ),
            keras_hub.models.SigLIPTextEncoder(40, **TOWER, **arguments, max_sequence_length=7),
        )
    )


def clip(activation: str = "quick_gelu", text_dim: int = 16, vocabulary: int = 40) -> keras.Model:
    arguments = {"intermediate_dim": 64, "intermediate_activation": activation}
    text = {**TOWER, "hidden_dim": text_dim, "embedding_dim": text_dim}
    return randomized(
        keras_hub.models.CLIPBackbone(
            keras_hub.models.CLIPVisionEncoder(**IMAGE, **arguments, image_shape=(24, 24, 3)),
            keras_hub.models.CLIPTextEncoder(vocabulary, **text, **arguments),
            projection_dim=12,
        )
    )


def vit(**arguments) -> keras.Model:
    arguments = {"image_shape": (24, 24, 3), "mlp_dim": 64, **IMAGE, **arguments}
    return randomized(keras_hub.models.ViTBackbone(**arguments))


def image_tokens(source: keras.Model, images: np.ndarray) -> np.ndarray:
    """What the image tower of SigLIP or ViT gives for its patches."""
    if isinstance(source, keras_hub.models.ViTBackbone):
        return ops.convert_to_numpy(source(images))
    tower = source.vision_encoder
    tokens = keras.Model(tower.inputs, tower.post_layer_norm.output)
    return ops.convert_to_numpy(tokens({"images": images}))


def spatial_tokens(model: VideoPrism, images: np.ndarray) -> np.ndarray:
    return ops.convert_to_numpy(model(images[:, None], return_features=True).spatial)


@pytest.fixture
def images():
    return np.random.default_rng(1).random((2, 24, 24, 3), "float32")


@pytest.mark.backends
@pytest.mark.parametrize(
    "source",
    [siglip, lambda: vit(use_class_token=False, use_mha_bias=False, use_patch_bias=False)],
    ids=["SigLIP", "ViT without class token and biases"],
)
def test_the_spatial_encoder_gives_the_tokens_of_the_source(source, images):
    source, model = source(), VideoPrism(**OURS)
    found = initialize(model, source, mean=MEAN, std=STD)
    expected = image_tokens(source, (images - np.array(MEAN, "f")) / np.array(STD, "f"))
    np.testing.assert_allclose(spatial_tokens(model, images), expected, **TOLERANCE)
    assert found.differences == []


def test_default_pixels(images):
    """SigLIP maps pixels to [-1, 1]."""
    source, model = siglip(), VideoPrism(**OURS)
    initialize(model, source)
    expected = image_tokens(source, 2.0 * images - 1.0)
    np.testing.assert_allclose(spatial_tokens(model, images), expected, **TOLERANCE)


@pytest.mark.parametrize("source", [lambda: clip("gelu"), vit], ids=["CLIP", "ViT"])
def test_parts_of_a_source_with_class_token(source, images):
    source, model = source(), VideoPrism(**OURS)
    initialize(model, source, mean=(0, 0, 0), std=(1, 1, 1))
    if isinstance(source, keras_hub.models.ViTBackbone):
        embedding = source.get_layer("vit_patching_and_embedding")
        layers = source.get_layer("vit_encoder").encoder_layers
    else:
        embedding, layers = source.vision_encoder.embedding, source.vision_encoder.encoder_layers
    ours = model.encoder.patch_embedding(images[:, None])[:, 0]
    ours = ours + model.encoder.spatial_position.resize((3, 3))
    np.testing.assert_allclose(ours, embedding(images)[:, 1:], **TOLERANCE)
    hidden = np.random.default_rng(2).normal(size=(2, 9, 16)).astype("float32")
    for block, other in zip(model.encoder.spatial_encoder.blocks, layers, strict=True):
        # CLIP's epsilon is 1e-5.
        np.testing.assert_allclose(block(hidden), other(hidden), atol=2e-4)


def test_text_tower_of_clip():
    """ReLU stands in for CLIP's activation here, so that the blocks agree."""
    source, model = clip(activation="relu"), VideoPrismLvT(**OURS, **TEXT)
    found = initialize(model, source)
    tower, theirs = model.text_encoder, source.text_encoder
    ids = np.array([[3, 1, 4, 1, 5]])
    tokens = theirs.embedding.token_embedding(ids)
    np.testing.assert_allclose(tower.token_embedding(ids) * 4.0, tokens, **TOLERANCE)
    x = y = tokens
    for layer in theirs.encoder_layers:
        x = layer(x)
    causal = np.tril(np.ones((1, 5, 5), bool))
    y = tower.norm(tower.transformer(y, attention_mask=causal))
    np.testing.assert_allclose(y, theirs.layer_norm(x), atol=5e-4)  # their epsilon is 1e-5
    assert any("relu in the text tower" in line for line in found.differences)


@pytest.mark.parametrize("source", [siglip, clip, vit], ids=["SigLIP", "CLIP", "ViT"])
def test_what_is_listed_keeps_its_values_and_all_else_does_not(source):
    model, source = VideoPrismLvT(**{**OURS, "num_spatial_layers": 3}, **TEXT), source()
    before = {variable.path: ops.convert_to_numpy(variable) for variable in model.weights}
    found = initialize(model, source)
    kept = [
        variable.path
        for variable in model.weights
        if np.array_equal(before[variable.path], ops.convert_to_numpy(variable))
    ]
    assert found.ours == kept
    two_towers = not isinstance(source, keras_hub.models.ViTBackbone)
    assert ("text_encoder/transformer/block_0/attention/query/kernel" not in kept) == two_towers
    for path in ("temporal_encoder/block_0", "spatial_encoder/block_2", "temporal_position"):
        assert any(path in other for other in kept), path
    assert any("3 here, 2 in the source" in line for line in found.differences)
    assert "encoder/spatial_encoder/block_2" in found.lines()[0]


def test_what_a_source_has_too_many_of_is_listed():
    found = initialize(VideoPrismLvT(**{**OURS, "num_spatial_layers": 1}, **TEXT), clip())
    names = " ".join(found.theirs)
    for part in ("class_embedding", "pre_layer_norm", "projection", "logit_scale", "block_1"):
        assert part in names
    assert "encoder_block_0/attention" not in names and "position_ids" not in names
    differences = "\n".join(found.differences)
    for part in ("quick_gelu", "epsilon", "sinusoids", "class token"):
        assert part in differences
    capped = VideoPrism(**{**OURS, "logit_cap": 50.0})
    assert any("capped at 50.0" in line for line in initialize(capped, vit()).differences)


def test_text_towers_that_differ():
    """All of CLIP's text towers are narrower than its image towers."""
    found = initialize(VideoPrismLvT(**OURS, **TEXT), clip(text_dim=8))
    assert any("not copied: width: 16 here, 8 in the source" in x for x in found.differences)
    assert any(path.startswith("text_encoder/transformer") for path in found.ours)
    found = initialize(VideoPrismLvT(**OURS, **TEXT), clip(vocabulary=41))
    assert any("40 token ids here, 41 in the source" in x for x in found.differences)
    assert "text_encoder/token_embedding/embeddings" in found.ours
    assert not any(path.startswith("text_encoder/transformer") for path in found.ours)


def test_sizes_that_differ_are_listed_and_nothing_is_assigned():
    model = VideoPrism(**{**OURS, "hidden_dim": 24, "num_heads": 3, "mlp_dim": 32})
    before = model.get_weights()
    with pytest.raises(ValueError) as error:
        initialize(model, vit())
    for part in ("width: 24 here, 16", "heads: 3 here, 2", "MLP width: 32 here, 64"):
        assert part in str(error.value)
    with pytest.raises(ValueError, match="received Sequential"):
        initialize(model, keras.Sequential())
    source = siglip()
    source.vision_encoder.post_layer_norm.beta.assign(np.full(16, np.nan))
    fitting = VideoPrism(**OURS)
    weights = fitting.get_weights()
    with pytest.raises(ValueError, match=r"not finite, for \['encoder/spatial_norm/beta'\]"):
        initialize(fitting, source)
    for unchanged, old in ((model, before), (fitting, weights)):
        for found, expected in zip(unchanged.get_weights(), old, strict=True):
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("size", [6, 16], ids=["to a smaller patch", "to a larger patch"])
def test_other_patches_and_grids(size, images):
    """A patch counts as one that is resized to the source's size."""
    model = VideoPrism(**{**OURS, "patch_size": size, "position_shape": (2, 4, 5)})
    source = siglip(image_size=48)
    initialize(model, source, mean=MEAN, std=STD)
    patch = np.random.default_rng(3).random((1, size, size, 3), "float32")
    rows = ops.convert_to_numpy(resize_weights(size, 8))
    resized = np.einsum("ip,jq,bpqc->bijc", rows, rows, patch)
    normed = ((resized - MEAN) / STD).astype("float32")
    expected = source.vision_encoder.embedding.patch_embedding(normed)[:, 0]
    np.testing.assert_allclose(
        model.encoder.patch_embedding(patch[:, None])[:, 0], expected, **TOLERANCE
    )
    table = ops.convert_to_numpy(model.encoder.spatial_position.table).reshape(4, 5, 16)
    theirs = source.vision_encoder.embedding.position_embedding.get_weights()[0]
    expected = ops.image.resize(
        theirs.reshape(1, 6, 6, 16), (4, 5), antialias=True, data_format="channels_last"
    )
    np.testing.assert_allclose(table, expected[0], **TOLERANCE)


@pytest.mark.parametrize("size", [5, 8, 11])
def test_a_constant_patch_keeps_its_response(size):
    kernel = np.random.default_rng(0).normal(size=(8, 8, 3, 4))
    colour = np.array([0.2, 0.9, 0.5])
    expected = np.einsum("pqcd,c->d", kernel, colour)
    resized = resize_kernel(kernel, size)
    assert resized.shape == (size, size, 3, 4)
    np.testing.assert_allclose(np.einsum("pqcd,c->d", resized, colour), expected, atol=1e-5)
    folded, bias = fold_pixels(kernel, 1.0, MEAN, STD)
    normed = np.einsum("pqcd,c->d", kernel, (colour - MEAN) / STD) + 1.0
    np.testing.assert_allclose(np.einsum("pqcd,c->d", folded, colour) + bias, normed, atol=1e-5)


def test_a_table_of_the_same_size_stays():
    table = np.random.default_rng(0).normal(size=(3, 4, 5))
    np.testing.assert_allclose(resize_table(table, (3, 4)), table)


@pytest.mark.parametrize("converter", [True, False], ids=["with converter", "without"])
def test_folder_of_a_preset(converter, tmp_path, images):
    """The image converter of a preset tells the normalisation of pixels."""
    source = siglip()
    source.save_to_preset(str(tmp_path / "preset"))
    mean, std = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
    if converter:
        mean, std = MEAN, STD
        keras_hub.layers.SigLIPImageConverter(
            image_size=(24, 24),
            scale=[1 / (255 * s) for s in STD],
            offset=[-m / s for m, s in zip(MEAN, STD, strict=True)],
        ).save_to_preset(str(tmp_path / "preset"))
    model, expected = VideoPrism(**OURS), VideoPrism(**OURS)
    initialize(model, tmp_path / "preset")
    initialize(expected, source, mean, std)
    np.testing.assert_allclose(
        spatial_tokens(model, images), spatial_tokens(expected, images), atol=1e-5
    )


@pytest.mark.backends
def test_a_frozen_spatial_encoder_stays(images):
    keras.utils.set_random_seed(0)
    model = VideoPrismLvT(**OURS, **TEXT)
    kept = initialize(model.video_encoder, vit()).ours
    freeze_spatial(model.video_encoder)
    stage = Stage1Model(model, dropping_ratio=0.0)
    stage.compile(keras.optimizers.SGD(1.0))
    before = {variable.path: ops.convert_to_numpy(variable) for variable in model.weights}
    stage.train_on_batch(
        {
            "videos": np.stack([images, images[:, ::-1]], axis=1),
            "token_ids": np.array([[1, 2], [3, 4]]),
            "padding_mask": np.ones((2, 2), bool),
            "clip_id": np.arange(2),
        }
    )
    for variable in model.video_encoder.weights:
        same = np.array_equal(before[variable.path], ops.convert_to_numpy(variable))
        assert same == (variable.path not in kept), variable.path
