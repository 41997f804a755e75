import numpy as np
import pytest
from keras import ops

from keras_videoprism.heads.attention_pooler import AttentionPooler

pytestmark = pytest.mark.backends

RNG = np.random.default_rng(0)
MAPS = RNG.normal(size=(2, 3, 5, 6)).astype("float32")  # [B, k, S, D]
QUERIES = RNG.normal(size=(2, 4, 6)).astype("float32")


def randomized(layer: AttentionPooler, *shapes: tuple) -> AttentionPooler:
    layer.build(*shapes)
    rng = np.random.default_rng(1)
    layer.set_weights([rng.normal(size=weight.shape) / 2 for weight in layer.get_weights()])
    return layer


def test_each_round_attends_to_the_next_map(run):
    pooler = randomized(AttentionPooler(2, 8, num_layers=3), MAPS.shape)
    x = np.tile(ops.convert_to_numpy(pooler.query), (2, 1, 1))
    for number, block in enumerate(pooler.blocks):
        x = run(block, x, MAPS[:, number])
    pooled = run(pooler, MAPS)
    assert pooled.shape == (2, 8)
    np.testing.assert_allclose(pooled, x[:, 0], atol=2e-4)
    assert np.abs(run(pooler, MAPS[:, ::-1].copy()) - pooled).max() > 1e-2


@pytest.mark.parametrize("hidden_dim", [6, 8])
def test_given_queries_are_projected_where_they_must(run, hidden_dim):
    pooler = randomized(AttentionPooler(2, hidden_dim), MAPS[:, 0].shape, QUERIES.shape)
    assert (pooler.projection is None) == (hidden_dim == 6) and pooler.query is None
    queries = QUERIES if hidden_dim == 6 else run(pooler.projection, QUERIES)
    expected = run(pooler.blocks[0], queries, MAPS[:, 0])
    np.testing.assert_allclose(run(pooler, MAPS[:, 0], QUERIES), expected, atol=1e-5)


def test_int8_goes_the_long_way(run):
    pooler = randomized(AttentionPooler(2, 8), MAPS[:, 0].shape)
    expected = run(pooler, MAPS[:, 0])
    for layer in (pooler.blocks[0].attention.key, pooler.blocks[0].attention.value):
        layer.quantize("int8")
    error = np.abs(run(lambda x: pooler(x), MAPS[:, 0]) - expected).max()  # traced again
    assert 0 < error < 0.1 * np.abs(expected).max()


def test_wrong_maps_and_queries():
    pooler = randomized(AttentionPooler(2, 8, num_layers=2), MAPS.shape)
    with pytest.raises(ValueError, match=r"head of 2 layers .* received \(2, 3, 5, 6\)"):
        pooler(MAPS)
    with pytest.raises(ValueError, match="head of 2 layers"):
        pooler(MAPS[:, 0])
    with pytest.raises(ValueError, match="built without"):
        pooler(MAPS[:, :2], queries=QUERIES)
