import numpy as np
import pytest

from keras_videoprism.layers.global_decoder import GlobalDecoder

pytestmark = pytest.mark.backends


def test_transformer_then_pooling(run):
    tokens = np.random.default_rng(0).normal(size=(2, 7, 12)).astype("float32")
    decoder = GlobalDecoder(8, pooler_heads=2, hidden_dim=16, num_layers=1, num_heads=4, mlp_dim=32)
    decoder.build(tokens.shape)

    def by_hand(tokens):
        x = decoder.transformer(decoder.input_projection(tokens))
        return decoder.pooler(decoder.output_projection(decoder.norm(x)))

    embedding = run(decoder, tokens)
    assert embedding.shape == (2, 8)
    np.testing.assert_allclose(embedding, run(by_hand, tokens), atol=1e-5)
    assert decoder.pooler.hidden_dim == 32
    # No position embedding: the order of the tokens does not count.
    reversed_ = run(decoder, tokens[:, ::-1].copy())
    np.testing.assert_allclose(reversed_, embedding, atol=1e-5)
