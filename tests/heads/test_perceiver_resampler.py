import keras
import numpy as np
import pytest
from keras import ops

from keras_videoprism.heads.perceiver_resampler import PerceiverResampler

RNG = np.random.default_rng(0)
TOKENS = RNG.normal(size=(2, 5, 6)).astype("float32")


@pytest.fixture(scope="module")
def resampler() -> PerceiverResampler:
    layer = PerceiverResampler(8, num_latents=3, num_heads=2, head_dim=5, name="resampler")
    layer.build(TOKENS.shape)
    rng = np.random.default_rng(1)
    layer.set_weights([rng.normal(size=weight.shape) / 2 for weight in layer.get_weights()])
    return layer


def norm(x: np.ndarray, gamma: np.ndarray, beta: np.ndarray) -> np.ndarray:
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt(centred.var(-1, keepdims=True) + 1e-6) * gamma + beta


def by_loops(weights: dict, tokens: np.ndarray) -> np.ndarray:
    """One layer for one clip, head by head, in NumPy."""

    def layer_norm(name: str, x: np.ndarray) -> np.ndarray:
        return norm(x, weights[f"{name}/gamma"], weights[f"{name}/beta"])

    latents = weights["resampler/latents"]
    queries, keys = layer_norm("query_norm", latents), layer_norm("token_norm", tokens)
    x = latents
    for head in range(2):
        q, k, v = (
            source @ weights[f"{name}/kernel"][:, head]
            for name, source in (("query", queries), ("key", keys), ("value", keys))
        )
        scores = np.exp(q @ k.T / np.sqrt(5))
        attended = scores / scores.sum(1, keepdims=True) @ v
        x = x + attended @ weights["attention_output/kernel"][head]
    hidden = layer_norm("mlp_norm", x) @ weights["mlp_hidden/kernel"]
    return x + np.maximum(hidden, 0) ** 2 @ weights["mlp_output/kernel"]


@pytest.mark.backends
def test_equals_numpy(resampler, run):
    weights = {"/".join(w.path.split("/")[-2:]): ops.convert_to_numpy(w) for w in resampler.weights}
    expected = [by_loops(weights, clip) for clip in TOKENS]
    np.testing.assert_allclose(run(resampler, TOKENS), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.backends
def test_padding_does_not_count(resampler, run):
    mask = np.array([[True] * 3 + [False] * 2] * 2)
    padded = np.where(mask[..., None], TOKENS, 100).astype("float32")
    expected = run(resampler, TOKENS[:, :3])
    np.testing.assert_allclose(run(resampler, padded, mask), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("num_layers", [1, 3, 6])
def test_parameters_by_hand(no_weights, num_layers):
    """Of the base encoder and a language model that is 1152 wide."""
    width, tokens, heads = 1152, 768, 8 * 64
    norms = 2 * (width + tokens + width)
    block = norms + heads * (2 * width + 2 * tokens) + 8 * width * width
    with no_weights():
        resampler = PerceiverResampler(width, num_layers=num_layers)
        resampler.build((None, 4096, tokens))
    assert resampler.count_params() == 256 * width + num_layers * block


def test_save_and_load(run, tmp_path):
    layer = PerceiverResampler(8, num_latents=3, num_layers=2, num_heads=2, head_dim=5)
    model = keras.Sequential([keras.Input((5, 6)), layer])
    model.save(tmp_path / "resampler.keras")
    loaded = keras.models.load_model(tmp_path / "resampler.keras")
    np.testing.assert_allclose(run(loaded, TOKENS), run(model, TOKENS), atol=1e-6)


@pytest.mark.parametrize("name", ["hidden_dim", "num_latents", "num_layers", "head_dim"])
def test_bad_sizes(name):
    with pytest.raises(ValueError, match=f"{name} must be at least 1; received 0"):
        PerceiverResampler(**{"hidden_dim": 8, name: 0})
