import keras
import numpy as np
import pytest
from keras import ops

from keras_videoprism.layers.transformer import Transformer, TransformerBlock, gelu, layer_norm

pytestmark = pytest.mark.backends

X = np.random.default_rng(0).normal(size=(2, 5, 8)).astype("float32")


def randomized(layer):
    rng = np.random.default_rng(1)
    layer.build(X.shape)
    layer.set_weights([rng.normal(size=weight.shape) / 2 for weight in layer.get_weights()])
    return layer


@pytest.mark.parametrize("activation", ["gelu", "relu"])
@pytest.mark.parametrize("policy", ["pre", "primer_hybrid"])
def test_block_adds_two_branches(policy, activation):
    block = randomized(TransformerBlock(2, 16, activation=activation, norm_policy=policy))
    function = {"gelu": gelu, "relu": ops.relu}[activation]
    after_attention, after_mlp = block.post_norms or (lambda x: x, lambda x: x)
    x = ops.convert_to_tensor(X) + after_attention(block.attention(block.attention_norm(X)))
    x = x + after_mlp(block.mlp_output(function(block.mlp_hidden(block.mlp_norm(x)))))
    np.testing.assert_allclose(
        ops.convert_to_numpy(block(X)), ops.convert_to_numpy(x), rtol=1e-5, atol=1e-5
    )


def test_primer_hybrid_has_its_own_norms():
    block = randomized(TransformerBlock(2, 16, norm_policy="primer_hybrid"))
    paths = {weight.path.split("/")[-2] for weight in block.weights if "norm" in weight.path}
    assert paths == {"attention_norm", "attention_post_norm", "mlp_norm", "mlp_post_norm"}


def test_mlp_adds_nothing_at_padding():
    block = randomized(TransformerBlock(2, 16))
    padding_mask = np.array([[True] * 5, [True, True, False, False, False]])
    padded = ops.convert_to_numpy(block(X, padding_mask=padding_mask))
    attended = X + ops.convert_to_numpy(block.attention(block.attention_norm(X)))
    whole = ops.convert_to_numpy(block(X))
    np.testing.assert_allclose(padded[~padding_mask], attended[~padding_mask], atol=1e-5)
    np.testing.assert_allclose(padded[padding_mask], whole[padding_mask], atol=1e-5)


def test_stack_returns_every_layer():
    stack = randomized(Transformer(3, num_heads=2, mlp_dim=16))
    layers = stack(X, return_layers=True)
    x = X
    for block, layer in zip(stack.blocks, layers, strict=True):
        x = block(x)
        np.testing.assert_allclose(ops.convert_to_numpy(layer), ops.convert_to_numpy(x), atol=1e-5)
    np.testing.assert_allclose(ops.convert_to_numpy(stack(X)), ops.convert_to_numpy(x), atol=1e-5)


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="reads JAX's programs")
def test_remat_computes_each_block_again():
    """JAX marks what it computes again by a barrier, so that it is not merged with the first."""
    import jax

    stack = randomized(Transformer(3, num_heads=2, mlp_dim=16))

    def barriers() -> int:
        gradient = jax.grad(lambda x: ops.sum(stack(x)))
        return jax.jit(gradient).lower(X).as_text().count("optimization_barrier")

    assert barriers() == 0
    stack.remat = True
    assert barriers() == 3


def test_gelu_is_exact():
    values = ops.convert_to_numpy(gelu(ops.convert_to_tensor([-1.0, 0.0, 1.0, 2.0])))
    np.testing.assert_allclose(values, [-0.1586553, 0.0, 0.8413447, 1.9544997], atol=1e-6)


def test_layer_norm_epsilon():
    """A row of tiny variance tells 1e-6 from Keras' 1e-3."""
    row = np.array([[-1e-3, 1e-3]], "float32")
    expected = row / np.sqrt(1e-6 + 1e-6)
    np.testing.assert_allclose(ops.convert_to_numpy(layer_norm("n")(row)), expected, rtol=1e-3)


def test_unknown_norm_policy():
    with pytest.raises(ValueError, match="received 'post'"):
        TransformerBlock(2, 16, norm_policy="post")
