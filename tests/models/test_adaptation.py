"""What Keras and KerasHub do to any model: int8, LoRA, bfloat16."""

import warnings

import keras
import numpy as np
import pytest

from keras_videoprism.models import VideoPrism, VideoPrismLvT

CONFIG = {
    "patch_size": 8,
    "position_shape": (4, 3, 3),
    "hidden_dim": 32,
    "num_spatial_layers": 2,
    "num_temporal_layers": 1,
    "num_heads": 2,
    "mlp_dim": 64,
}


@pytest.fixture
def videos():
    return np.random.default_rng(0).random((2, 4, 24, 24, 3), "float32")


def relative_error(result, expected):
    result, expected = (
        np.asarray(keras.ops.convert_to_numpy(x), "float32") for x in (result, expected)
    )
    return np.linalg.norm(result - expected) / np.linalg.norm(expected)


@pytest.mark.backends
def test_int8_reaches_every_linear_layer(videos):
    model = VideoPrism(**CONFIG)
    expected = model(videos)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Layer .* does not have a `quantize` method")
        model.quantize("int8")
    kernels = [w for w in model.weights if w.path.endswith("kernel")]
    # 3 blocks of 4 projections and 2 layers of the MLP, and the patches.
    assert len(kernels) == 19
    assert all(kernel.dtype == "int8" for kernel in kernels)
    error = relative_error(model(videos), expected)
    assert 0 < error < 0.03


@pytest.mark.backends
def test_lora_trains_query_and_value_alone(videos):
    model = VideoPrism(**CONFIG)
    expected = model(videos)
    model.enable_lora(rank=2)
    assert relative_error(model(videos), expected) < 1e-6  # B starts at zero
    names = sorted("/".join(w.path.split("/")[-2:]) for w in model.trainable_weights)
    added = [f"{layer}/lora_kernel_{x}" for layer in ("query", "value") for x in "ab"]
    assert names == sorted([*added, "query/bias", "value/bias"] * 3)  # three blocks


def test_bfloat16(videos):
    """Within what eight bits of mantissa allow; norms, softmax and embeddings are float32."""
    model = VideoPrismLvT(**{**CONFIG, "mlp_dim": 128}, num_text_layers=1, vocabulary_size=9)
    half = VideoPrismLvT.from_config({**model.get_config(), "dtype": "bfloat16"})
    half.set_weights(model.get_weights())
    text = {"token_ids": np.ones((2, 5), "int32"), "padding_mask": np.ones((2, 5), bool)}
    expected, result = model({"videos": videos, **text}), half({"videos": videos, **text})
    for name in expected:
        assert keras.backend.standardize_dtype(result[name].dtype) == "float32"
        assert 0 < relative_error(result[name], expected[name]) < 0.05
