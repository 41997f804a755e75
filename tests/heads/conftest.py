"""Tiny encoders and language models for the tests of heads."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras_hub import models

from keras_videoprism.models import VideoPrism


def make_encoder(attention: str = "factorized") -> VideoPrism:
    keras.utils.set_random_seed(0)
    return VideoPrism(6, (4, 2, 2), 16, 1, 2, num_heads=2, mlp_dim=32, attention=attention)


ROTARY: dict[str, Any] = {
    "vocabulary_size": 24,
    "num_layers": 2,
    "num_query_heads": 4,
    "num_key_value_heads": 2,
    "hidden_dim": 16,
    "intermediate_dim": 20,
}
GEMMA: dict[str, Any] = {**ROTARY, "head_dim": 6, "final_logit_soft_cap": 3.0}
WINDOW = 4  # of local attention, shorter than the texts of the tests
BACKBONES: dict[str, Callable[[], Any]] = {
    "gpt2": lambda: models.GPT2Backbone(24, 2, 2, 16, 20, dropout=0.5, max_sequence_length=20),
    "llama3": lambda: models.Llama3Backbone(**ROTARY),
    "mistral": lambda: models.MistralBackbone(**ROTARY, sliding_window=WINDOW),
    "qwen": lambda: models.QwenBackbone(**ROTARY),
    "qwen3": lambda: models.Qwen3Backbone(**ROTARY, head_dim=6),
    "gemma": lambda: models.GemmaBackbone(**GEMMA),
    "gemma3": lambda: models.Gemma3Backbone(
        **GEMMA,
        image_size=16,
        use_sliding_window_attention=True,
        sliding_window_size=WINDOW,
        use_post_ffw_norm=True,
        use_post_attention_norm=True,
    ),
}
CAUSAL_LMS: dict[str, Callable[[Any], models.CausalLM]] = {
    "gpt2": models.GPT2CausalLM,
    "llama3": models.Llama3CausalLM,
    "mistral": models.MistralCausalLM,
    "qwen": models.QwenCausalLM,
    "qwen3": models.Qwen3CausalLM,
    "gemma": models.GemmaCausalLM,
    "gemma3": lambda backbone: models.Gemma3CausalLM(None, backbone),
}


def make_language_model(family: str) -> models.CausalLM:
    model = CAUSAL_LMS[family](BACKBONES[family]())
    rng = np.random.default_rng(0)
    for weight in model.weights:  # at their first values such models hardly look at the text
        if len(weight.shape) > 1:
            weight.assign(rng.normal(0, 1.5 * weight.shape[-1] ** -0.5, weight.shape))
    return model


@pytest.fixture
def encoder() -> Callable[..., VideoPrism]:
    """Function: kind of attention -> `VideoPrism` of one spatial and two temporal layers."""
    return make_encoder


@pytest.fixture(scope="session")
def language_model() -> Callable[[str], models.CausalLM]:
    """Function: family -> a KerasHub model of width 16 with 24 tokens, GPT-2 with 20 positions."""
    return make_language_model


@pytest.fixture
def captions_tokenizer() -> models.GPT2Tokenizer:
    """24 tokens: letters, a few words, and the token that starts and ends a text."""
    merges = ["a n", "Ġ a", "Ġ c", "a t", "Ġc at", "Ġa n", "Ġ d", "o g", "Ġd og"]
    pieces = [*"aĠcdogtn:?", *(merge.replace(" ", "") for merge in merges)]
    vocabulary = {piece: number for number, piece in enumerate(["<|endoftext|>", *pieces])}
    return models.GPT2Tokenizer(vocabulary, merges)
