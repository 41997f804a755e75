import keras
import numpy as np
import pytest
from keras import ops

from keras_videoprism.layers.attention import Attention, softmax

pytestmark = pytest.mark.backends

RNG = np.random.default_rng(0)
QUERY = RNG.normal(size=(2, 10, 8)).astype("float32")
KEY_VALUE = RNG.normal(size=(2, 6, 8)).astype("float32")
MASKS = {
    "none": None,
    "keys": RNG.random((2, 1, 6)) < 0.7,
    "pairs": RNG.random((2, 10, 6)) < 0.7,
    "shared": RNG.random((1, 10, 6)) < 0.7,
}


def build(**arguments) -> Attention:
    """Attention with random weights, biases and scales included."""
    layer = Attention(num_heads=2, **arguments)
    layer(QUERY, KEY_VALUE)
    rng = np.random.default_rng(1)
    layer.set_weights([rng.normal(size=weight.shape) for weight in layer.get_weights()])
    return layer


def reference(layer: Attention, mask: np.ndarray | None) -> np.ndarray:
    """Attention of `layer` in float64 NumPy."""

    def project(name: str, x: np.ndarray) -> np.ndarray:
        kernel, bias = (w.astype("float64") for w in getattr(layer, name).get_weights())
        return (x @ kernel + bias).reshape(*x.shape[:2], layer.num_heads, -1)

    q, k, v = project("query", QUERY), project("key", KEY_VALUE), project("value", KEY_VALUE)
    scale = 1.0
    if layer.per_dim_scale:
        learned = ops.convert_to_numpy(layer.dim_scale).astype("float64")
        scale = np.log1p(np.exp(learned)) / np.log(2.0)
    logits = np.einsum("bqnh,bknh->bnqk", q * scale / np.sqrt(layer.head_dim), k)
    if layer.logit_cap:
        logits = layer.logit_cap * np.tanh(logits / layer.logit_cap)
    if mask is not None:
        logits = np.where(mask[:, None], logits, -1e30)
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    kernel, bias = layer.output_projection.get_weights()
    attended = np.einsum("bnqk,bknh->bqnh", weights, v)
    return attended.reshape(*QUERY.shape[:2], -1) @ kernel + bias


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize(
    "arguments",
    [{}, {"logit_cap": 2.0}, {"hidden_dim": 12, "per_dim_scale": True}],
    ids=["plain", "cap", "pooler"],
)
def test_equals_numpy(arguments, mask):
    layer = build(**arguments)
    attended = ops.convert_to_numpy(layer(QUERY, KEY_VALUE, attention_mask=MASKS[mask]))
    np.testing.assert_allclose(attended, reference(layer, MASKS[mask]), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("size", [3, 5, 10, 16])
def test_query_chunks_change_nothing(mask, size):
    whole, chunked = build(logit_cap=2.0), build(logit_cap=2.0, query_chunk_size=size)
    chunked.set_weights(whole.get_weights())
    expected = ops.convert_to_numpy(whole(QUERY, KEY_VALUE, attention_mask=MASKS[mask]))
    attended = ops.convert_to_numpy(chunked(QUERY, KEY_VALUE, attention_mask=MASKS[mask]))
    np.testing.assert_allclose(attended, expected, rtol=1e-5, atol=1e-5)


def test_query_chunks_give_the_same_training_step():
    """The gradient too: the chunks are computed again on the way back."""

    def trained(size: int | None) -> list[np.ndarray]:
        layer = Attention(num_heads=2, query_chunk_size=size)
        layer.build(QUERY.shape)
        rng = np.random.default_rng(1)
        layer.set_weights([rng.normal(size=w.shape) / 3 for w in layer.get_weights()])
        model = keras.Sequential([keras.Input(QUERY.shape[1:]), layer])
        model.compile(keras.optimizers.SGD(0.1), loss="mse", jit_compile=False)
        model.train_on_batch(QUERY, QUERY[::-1])
        return layer.get_weights()

    for chunked, whole in zip(trained(4), trained(None), strict=True):
        np.testing.assert_allclose(chunked, whole, rtol=1e-4, atol=1e-5)


def test_a_query_that_may_attend_to_nothing_gets_the_mean():
    layer = build(logit_cap=2.0)
    nothing = np.zeros((2, 1, 6), bool)
    attended = ops.convert_to_numpy(layer(QUERY, KEY_VALUE, attention_mask=nothing))
    kernel, bias = layer.value.get_weights()
    mean = (KEY_VALUE @ kernel + bias).mean(axis=1)
    kernel, bias = layer.output_projection.get_weights()
    expected = mean @ kernel + bias
    np.testing.assert_allclose(attended[:, 0], expected, rtol=1e-4, atol=1e-4)


def test_softmax_of_one_and_of_many():
    logits = ops.convert_to_tensor([[1000.0, 999.0, -1000.0]], "float32")
    expected = [[1 / (1 + np.exp(-1)), 1 / (1 + np.exp(1)), 0]]
    np.testing.assert_allclose(ops.convert_to_numpy(softmax(logits)), expected, atol=1e-6)
    np.testing.assert_array_equal(ops.convert_to_numpy(softmax(logits[:, :1])), [[1.0]])


def test_initial_kernels_have_the_variance_of_flax():
    """Flax stores all kernels as [D, N, H], and lecun_normal takes D * N for the fan-in then."""
    layer = Attention(num_heads=4)
    layer.build((None, None, 256))
    for kernel in (layer.query.kernel, layer.output_projection.kernel):
        assert ops.convert_to_numpy(kernel).std() == pytest.approx((256 * 4) ** -0.5, rel=0.02)


def test_width_must_fit_the_heads():
    with pytest.raises(ValueError, match="hidden_dim=10, num_heads=4"):
        Attention(num_heads=4, hidden_dim=10)
    with pytest.raises(ValueError, match="num_heads=4; received 10"):
        Attention(num_heads=4).build((None, None, 10))
