import numpy as np
import pytest
from keras import ops

from keras_videoprism.heads.plain_pooler import PlainPooler

pytestmark = pytest.mark.backends

TOKENS = np.random.default_rng(0).normal(size=(2, 5, 6)).astype("float32")
MASK = np.array([[True] * 5, [True] * 3 + [False] * 2])


def weights_of(pooler: PlainPooler) -> dict[str, np.ndarray]:
    return {"/".join(w.path.split("/")[-2:]): ops.convert_to_numpy(w) for w in pooler.weights}


def normalized(x: np.ndarray) -> np.ndarray:
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt(centred.var(-1, keepdims=True) + 1e-6)


def test_begins_as_the_mean_of_the_values(run):
    """A query of zeros and biases of zeros give all tokens the same weight."""
    pooler = PlainPooler(num_heads=2, hidden_dim=4)
    pooler.build(TOKENS.shape)
    pooled = run(lambda x, m: pooler(x, padding_mask=m), TOKENS, MASK)
    weights = weights_of(pooler)
    for clip, (tokens, mask) in enumerate(zip(TOKENS, MASK, strict=True)):
        mean = normalized(tokens[mask]).mean(0)
        values = np.einsum("d,dnh->nh", mean, weights["value/kernel"])
        expected = np.einsum("nh,nhd->d", values, weights["attention_output/kernel"])
        np.testing.assert_allclose(pooled[clip], expected, atol=1e-5)


def test_query_is_not_normalised(run):
    """A query ten times as long attends more sharply."""
    pooler = PlainPooler(num_heads=1, hidden_dim=4)
    pooler.build(TOKENS.shape)
    query = np.random.default_rng(1).normal(size=(1, 1, 6))
    pooled = []
    for factor in (1, 10):
        pooler.query.assign(factor * query)
        pooled.append(run(lambda x: pooler(x), TOKENS))
    assert np.abs(pooled[1] - pooled[0]).max() > 1e-2
