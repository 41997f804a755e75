import numpy as np
import pytest
from keras import ops

from keras_videoprism.layers.text_encoder import TextEncoder

pytestmark = pytest.mark.backends


@pytest.mark.parametrize("case", ["case0", "case1"])
def test_golden_embeddings(golden, run, video_prism_lvt, case):
    _, arrays = golden("video_text")
    padding_mask = arrays[f"{case}/text_paddings"] == 0
    text = run(video_prism_lvt.text_encoder, arrays[f"{case}/token_ids"], padding_mask)
    expected = arrays[f"{case}/text_embeddings_unnormalized"]
    np.testing.assert_allclose(text, expected, atol=2e-5)


@pytest.mark.parametrize("length", [6, 20])
def test_padding_does_not_count(run, video_prism_lvt, length):
    """Neither the number of padding tokens nor their ids."""
    sentence = np.array([[3, 1, 4, 1, 5]], "int32")
    expected = run(video_prism_lvt.text_encoder, sentence, np.ones((1, 5), bool))
    token_ids = np.full((1, length), 7, "int32")
    token_ids[:, :5] = sentence
    text = run(video_prism_lvt.text_encoder, token_ids, np.arange(length)[None] < 5)
    np.testing.assert_allclose(text, expected, atol=1e-5)


def test_order_counts(run, video_prism_lvt):
    token_ids = np.array([[1, 2, 3], [3, 2, 1]], "int32")
    text = run(video_prism_lvt.text_encoder, token_ids, np.ones((2, 3), bool))
    assert np.abs(text[0] - text[1]).max() > 0.1


def test_initial_embeddings_have_the_variance_of_flax():
    encoder = TextEncoder(500, hidden_dim=64, num_layers=0, num_heads=2, mlp_dim=8)
    encoder.build((None, None))
    for table in (encoder.token_embedding.embeddings, encoder.class_token):
        assert ops.convert_to_numpy(table).std() == pytest.approx(1 / 8, rel=0.3)
