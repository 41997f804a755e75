import numpy as np
import pytest
from keras import ops

from keras_videoprism.layers.map_pooler import MAPPooler

pytestmark = pytest.mark.backends

TOKENS = np.random.default_rng(0).normal(size=(2, 6, 8)).astype("float32")


@pytest.fixture(scope="module")
def pooler() -> MAPPooler:
    layer = MAPPooler(num_heads=2, hidden_dim=32)
    layer.build(TOKENS.shape)
    rng = np.random.default_rng(1)
    layer.set_weights([rng.normal(size=weight.shape) for weight in layer.get_weights()])
    return layer


def test_one_query_attends_to_all_tokens(pooler):
    assert pooler.attention.head_dim == 16
    assert pooler.attention.logit_cap is None
    query = np.tile(ops.convert_to_numpy(pooler.query), (2, 1, 1))
    expected = pooler.norm(pooler.attention(query, TOKENS))[:, 0]
    pooled = ops.convert_to_numpy(pooler(TOKENS))
    np.testing.assert_allclose(pooled, ops.convert_to_numpy(expected), atol=1e-5)
    shuffled = ops.convert_to_numpy(pooler(TOKENS[:, ::-1].copy()))
    np.testing.assert_allclose(shuffled, pooled, atol=1e-5)


@pytest.mark.parametrize("change", ["lora", "int8"])
def test_kernels_that_keras_adapts(pooler, change):
    """What LoRA adds counts; int8 goes the long way."""
    adapted = MAPPooler(num_heads=2, hidden_dim=32)
    adapted.build(TOKENS.shape)
    adapted.set_weights(pooler.get_weights())
    for layer in (adapted.attention.key, adapted.attention.value):
        if change == "lora":
            layer.enable_lora(2)
            layer.lora_kernel_b.assign(np.full(layer.lora_kernel_b.shape, 0.2))
        else:
            layer.quantize("int8")
    query = np.tile(ops.convert_to_numpy(adapted.query), (2, 1, 1))
    expected = ops.convert_to_numpy(adapted.norm(adapted.attention(query, TOKENS))[:, 0])
    pooled = ops.convert_to_numpy(adapted(TOKENS))
    np.testing.assert_allclose(pooled, expected, atol=1e-5)
    assert np.abs(pooled - ops.convert_to_numpy(pooler(TOKENS))).max() > 1e-4


def test_padding_does_not_count(pooler):
    padding_mask = np.array([[True] * 4 + [False] * 2] * 2)
    padded = TOKENS.copy()
    padded[:, 4:] = 100.0
    pooled = ops.convert_to_numpy(pooler(padded, padding_mask=padding_mask))
    expected = ops.convert_to_numpy(pooler(TOKENS[:, :4]))
    np.testing.assert_allclose(pooled, expected, atol=1e-5)
