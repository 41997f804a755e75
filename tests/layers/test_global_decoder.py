import numpy as np
import pytest
from keras import ops

from keras_videoprism.layers.global_decoder import GlobalDecoder

pytestmark = pytest.mark.backends


def test_transformer_then_pooling():
    tokens = np.random.default_rng(0).normal(size=(2, 7, 12)).astype("float32")
    decoder = GlobalDecoder(8, pooler_heads=2, hidden_dim=16, num_layers=2, num_heads=4, mlp_dim=32)
    embedding = ops.convert_to_numpy(decoder(tokens))
    assert embedding.shape == (2, 8)
    x = decoder.transformer(decoder.input_projection(tokens))
    expected = decoder.pooler(decoder.output_projection(decoder.norm(x)))
    np.testing.assert_allclose(embedding, ops.convert_to_numpy(expected), atol=1e-5)
    assert decoder.pooler.hidden_dim == 32
    # No position embedding: the order of the tokens does not count.
    reversed_ = ops.convert_to_numpy(decoder(tokens[:, ::-1].copy()))
    np.testing.assert_allclose(reversed_, embedding, atol=1e-5)
