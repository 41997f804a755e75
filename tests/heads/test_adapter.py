import numpy as np
import pytest

from keras_videoprism.heads.adapter import Adapter, add_adapters, remove_adapters

X = np.random.default_rng(0).normal(size=(2, 5, 8)).astype("float32")


@pytest.mark.backends
def test_equals_its_formula(run):
    adapter = Adapter(dim=3)
    adapter.build(X.shape)
    rng = np.random.default_rng(1)
    values = {w.path: rng.normal(size=w.shape).astype("float32") for w in adapter.weights}
    adapter.set_weights([values[w.path] for w in adapter.weights])
    by_name = {"/".join(path.split("/")[-2:]): value for path, value in values.items()}
    hidden = np.maximum(X @ by_name["down/kernel"] + by_name["down/bias"], 0)
    up = hidden @ by_name["up/kernel"] + by_name["up/bias"]
    scale = next(value for path, value in values.items() if path.endswith("scale"))
    np.testing.assert_allclose(run(adapter, X), scale * up, atol=1e-5)
    assert len(values) == 5 and scale.shape == ()


@pytest.mark.backends
def test_every_block_has_one_and_outputs_do_not_change(run, encoder, random_videos):
    model = encoder()
    videos, weights = random_videos(1, 4, 12, 12), len(model.weights)
    frozen = run(lambda x: model(x), videos)
    adapters = add_adapters(model, dim=4)
    assert len(adapters) == 3 and len(model.weights) == weights  # they are not the encoder's
    np.testing.assert_array_equal(run(lambda x: model(x), videos), frozen)
    for adapter in adapters:
        adapter.up.bias.assign(np.linspace(-1, 1, 16))
    assert np.abs(run(lambda x: model(x), videos) - frozen).max() > 1e-2
    stacks = model.encoder.spatial_encoder, model.encoder.temporal_encoder
    blocks = [block for stack in stacks for block in stack.blocks]
    assert [block.adapter.__self__ for block in blocks] == adapters
    remove_adapters(model)
    assert all(block.adapter is None for block in blocks)


def test_it_stands_beside_the_mlp(run, encoder):
    """Same input as the MLP, and nothing is added at padding."""
    model = encoder("joint")
    block = model.encoder.joint_encoder.blocks[0]
    x = np.random.default_rng(0).normal(size=(1, 5, 16)).astype("float32")
    mask = np.array([[True, True, True, False, False]])
    block.adapter = lambda normalized: 2 * normalized
    added = run(lambda x, m: block(x, padding_mask=m), x, mask)
    block.adapter = None
    plain = run(lambda x, m: block(x, padding_mask=m), x, mask)
    attended = run(lambda x: x + block.attention(block.attention_norm(x)), x)
    expected = np.where(mask[..., None], 2 * run(block.mlp_norm, attended), 0)
    np.testing.assert_allclose(added - plain, expected, atol=1e-5)


def test_errors(encoder):
    with pytest.raises(ValueError, match="received 0"):
        Adapter(dim=0)
    model = encoder()
    add_adapters(model, dim=2)
    with pytest.raises(ValueError, match="has adapters already"):
        add_adapters(model)
    assert len(add_adapters(encoder("joint"), dim=2)) == 3
