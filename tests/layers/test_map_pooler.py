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


def test_padding_does_not_count(pooler):
    padding_mask = np.array([[True] * 4 + [False] * 2] * 2)
    padded = TOKENS.copy()
    padded[:, 4:] = 100.0
    pooled = ops.convert_to_numpy(pooler(padded, padding_mask=padding_mask))
    expected = ops.convert_to_numpy(pooler(TOKENS[:, :4]))
    np.testing.assert_allclose(pooled, expected, atol=1e-5)
