import numpy as np
import pytest
from keras import ops

from keras_videoprism.heads.cross_attention import CrossAttentionBlock

pytestmark = pytest.mark.backends

RNG = np.random.default_rng(0)
QUERIES = RNG.normal(size=(2, 3, 8)).astype("float32")
TOKENS = RNG.normal(size=(2, 5, 6)).astype("float32")


@pytest.fixture(scope="module")
def block() -> CrossAttentionBlock:
    layer = CrossAttentionBlock(num_heads=2)
    layer.build(QUERIES.shape, TOKENS.shape)
    rng = np.random.default_rng(1)
    layer.set_weights([rng.normal(size=weight.shape) / 2 for weight in layer.get_weights()])
    return layer


def norm(x: np.ndarray, gamma: np.ndarray, beta: np.ndarray) -> np.ndarray:
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt(centred.var(-1, keepdims=True) + 1e-6) * gamma + beta


def by_loops(weights: dict, queries: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """The block for one clip, head by head, in NumPy."""

    def dense(name: str, x: np.ndarray) -> np.ndarray:
        return x @ weights[f"{name}/kernel"] + weights[f"{name}/bias"]

    def layer_norm(name: str, x: np.ndarray) -> np.ndarray:
        return norm(x, weights[f"{name}/gamma"], weights[f"{name}/beta"])

    q = dense("query", layer_norm("query_norm", queries))
    normed = layer_norm("token_norm", tokens)
    k, v = dense("key", normed), dense("value", normed)
    heads = []
    for part in (slice(0, 4), slice(4, 8)):
        scores = np.exp(q[:, part] @ k[:, part].T / 2)
        heads.append(scores / scores.sum(1, keepdims=True) @ v[:, part])
    x = queries + dense("output", np.concatenate(heads, 1))
    hidden = dense("mlp_hidden", layer_norm("mlp_norm", x))
    erf = ops.convert_to_numpy(ops.erf(ops.convert_to_tensor(hidden / np.sqrt(2))))
    return x + dense("mlp_output", hidden * (1 + erf) / 2)


def test_equals_numpy(block, run):
    weights = {"/".join(w.path.split("/")[-2:]): ops.convert_to_numpy(w) for w in block.weights}
    expected = [by_loops(weights, *clip) for clip in zip(QUERIES, TOKENS, strict=True)]
    np.testing.assert_allclose(run(block, QUERIES, TOKENS), expected, atol=2e-4)


def test_pool_is_one_query_for_all_clips(block, run):
    query, mask = QUERIES[0, :1], np.array([[True] * 5, [True] * 3 + [False] * 2])
    expected = run(block, np.stack([query, query]), TOKENS, mask)[:, 0]
    pooled = run(lambda q, *rest: block.pool(ops.convert_to_tensor(q), *rest), query, TOKENS, mask)
    np.testing.assert_allclose(pooled, expected, atol=1e-4)


def test_padding_does_not_count(block, run):
    mask = np.array([[True] * 3 + [False] * 2] * 2)
    padded = np.where(mask[..., None], TOKENS, 100).astype("float32")
    expected = run(block, QUERIES, TOKENS[:, :3])
    np.testing.assert_allclose(run(block, QUERIES, padded, mask), expected, atol=1e-4)
