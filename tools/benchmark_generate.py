"""The sides of `benchmark.py generate`: an answer of a frozen language model of a billion weights.

Ours sees a video: its tokens pass the resampler and stand before the prompt. KerasHub's own
`generate` takes a prompt of as many tokens in all. Both have the sizes of gemma3_1b, random weights
in bfloat16, and a process of their own.
"""

from argparse import Namespace
from collections.abc import Callable
from typing import Any

import numpy as np

GEMMA3_1B = {
    "vocabulary_size": 262_144,
    "image_size": 896,  # has no use without a vision encoder
    "num_layers": 26,
    "num_query_heads": 4,
    "num_key_value_heads": 1,
    "hidden_dim": 1152,
    "intermediate_dim": 6912,
    "head_dim": 256,
    "use_sliding_window_attention": True,
    "sliding_window_size": 512,
    "use_post_ffw_norm": True,
    "use_post_attention_norm": True,
}
NUM_LATENTS, PROMPT_TOKENS, ANSWER_TOKENS = 256, 16, 32
VIDEO_TOKENS = (1, 16 * 16 * 16, 768)  # of a clip by videoprism_b
OURS, KERAS_HUB = "ours, behind a video", "KerasHub, text alone"
SIDES = (OURS, KERAS_HUB)


def measure(side: str, sizes: Namespace) -> dict[str, Any]:
    """Seconds of an answer, compilation and the process' peak memory."""
    from benchmark import time_steps

    model = language_model(GEMMA3_1B)
    parameters = model.count_params()
    run = speak(model) if side == OURS else continue_text(model)
    return {**time_steps(run, sizes.steps), "parameters": parameters}


def language_model(sizes: dict[str, Any]) -> Any:
    """A `CausalLM` without tokenizer."""
    from keras_hub import models

    backbone = models.Gemma3Backbone(**sizes, dtype="bfloat16")
    return models.Gemma3CausalLM(preprocessor=None, backbone=backbone)


def speak(language_model: Any) -> Callable[[], np.ndarray]:
    """One answer behind the tokens of a video and a prompt."""
    from keras_videoprism.heads import PerceiverResampler, VideoCaptioner

    resampler = PerceiverResampler(language_model.backbone.hidden_dim, NUM_LATENTS)
    captioner = VideoCaptioner(None, language_model, resampler)
    inputs = {
        "video_tokens": np.random.default_rng(0).normal(size=VIDEO_TOKENS).astype("float32"),
        "token_ids": _tokens(PROMPT_TOKENS),
    }
    # No token ends the answer early.
    return lambda: captioner.generate_tokens(inputs, end_id=-1, max_tokens=ANSWER_TOKENS)


def continue_text(language_model: Any) -> Callable[[], np.ndarray]:
    """KerasHub's answer behind as many tokens of text."""
    known = NUM_LATENTS + PROMPT_TOKENS
    inputs = {
        "token_ids": np.pad(_tokens(known), ((0, 0), (0, ANSWER_TOKENS))),
        "padding_mask": np.arange(known + ANSWER_TOKENS)[None] < known,
    }
    # `generate` itself stumbles over the images that a text has not.
    generate = language_model.make_generate_function()
    return lambda: np.asarray(generate(inputs, stop_token_ids=None)["token_ids"])


def _tokens(number: int) -> np.ndarray:
    return np.arange(1, number + 1, dtype="int32")[None]
