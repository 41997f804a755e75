from functools import partial

import numpy as np
import pytest
from keras import ops
from keras_hub import models

from keras_videoprism.heads.prefix_language_model import PrefixLanguageModel
from keras_videoprism.layers.typing import Tensor

RNG = np.random.default_rng(0)
TEXT = RNG.integers(2, 24, (2, 5)).astype("int32")
# Tokens 0 and 1 are no words: their embeddings stand for the tokens of a video.
PREFIX_IDS = np.array([[0, 1, 1], [1, 0, 1]], "int32")


def in_parts(model: PrefixLanguageModel, embeddings: Tensor) -> Tensor:
    """The prefix and a token at once, two tokens, then one by one."""
    caches, parts = model.empty_caches(2, 9), []
    for start, end in ((0, 4), (4, 6), (6, 7), (7, 8)):
        hidden, caches = model(embeddings[:, start:end], caches=caches, index=start)
        parts.append(hidden)
    return ops.concatenate(parts, axis=1)


@pytest.mark.parametrize(
    "family",
    [
        *(pytest.param(name, marks=pytest.mark.backends) for name in ("gpt2", "llama3", "gemma3")),
        *("mistral", "qwen", "qwen3", "gemma"),
    ],
)
def test_equals_keras_hub(language_model, run, family):
    """A prefix of embeddings gives KerasHub's own logits of the tokens that they belong to."""
    causal_lm = language_model(family)
    model = PrefixLanguageModel(causal_lm)
    table = ops.convert_to_numpy(causal_lm.backbone.token_embedding.embeddings)
    prefix = table[PREFIX_IDS] * (4 if family.startswith("gemma") else 1)  # 4 is the root of 16

    def three_ways(ids, prefix, text):
        ids = ops.convert_to_tensor(ids)
        embeddings = ops.concatenate([prefix, model.embed(text)], axis=1)
        expected = causal_lm({"token_ids": ids, "padding_mask": ops.ones_like(ids)})
        return expected, model.logits(model(embeddings)), model.logits(in_parts(model, embeddings))

    ids = np.concatenate([PREFIX_IDS, TEXT], axis=1)
    expected, plain, cached = run(three_ways, ids, prefix.astype("float32"), TEXT)
    assert np.abs(expected).max() > 1  # the models say something
    np.testing.assert_allclose(plain, expected, atol=1e-5)
    np.testing.assert_allclose(cached, expected, atol=2e-5)  # another order of sums


def test_other_families_are_refused():
    bloom = models.BloomCausalLM(models.BloomBackbone(8, 1, 1, 4, 4))
    with pytest.raises(ValueError, match="GPT2Backbone, .*received BloomCausalLM on BloomBackbone"):
        PrefixLanguageModel(bloom)


def test_a_model_without_backbone_is_refused():
    with pytest.raises(ValueError, match="received partial on NoneType"):
        PrefixLanguageModel(partial(int))


def test_only_learned_positions_bound_the_context(language_model):
    assert PrefixLanguageModel(language_model("gpt2")).context_length == 20
    assert PrefixLanguageModel(language_model("llama3")).context_length is None
