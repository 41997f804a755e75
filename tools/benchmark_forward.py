"""The sides of `benchmark.py forward`: one clip through each implementation's frozen model.

Every side runs in a process of its own, which chooses its backend before it imports Keras.
"""

import os
import tempfile
from argparse import Namespace
from collections.abc import Callable
from typing import Any

import numpy as np

TEXT_TOKENS = 64


def measure(side: str, sizes: Namespace) -> dict[str, Any]:
    """Seconds of a forward pass, compilation and the process' peak memory."""
    from benchmark import time_steps

    os.environ["KERAS_BACKEND"] = "tensorflow" if "TensorFlow" in side else "jax"
    if side == PEAK:
        from keras_videoprism.training.flops import measure_peak

        return {"flops_per_second": measure_peak()}
    model = _our_model(sizes)
    flops = forward_flops(model, sizes)
    parameters = model.count_params()
    forward = SIDES[side](model, sizes)
    del model
    return {**time_steps(forward, sizes.steps), "parameters": parameters, "flops": flops}


def forward_flops(model: Any, sizes: Namespace) -> int:
    """Floating point operations of a clip, products only: 2 for each multiplication and sum."""
    encoder = getattr(model, "video_encoder", model)
    width, mlp = encoder.hidden_dim, encoder.mlp_dim
    places = (sizes.size // encoder.patch_size) ** 2
    tokens = sizes.frames * places

    def block(keys: int) -> int:
        return 8 * width**2 + 4 * width * mlp + 4 * keys * width

    per_token = 2 * 3 * encoder.patch_size**2 * width
    per_token += encoder.num_spatial_layers * block(places)
    per_token += encoder.num_temporal_layers * block(sizes.frames)
    text = 0
    if encoder is not model:
        per_token += model.num_auxiliary_layers * block(tokens) + 4 * width * 4 * width
        text = TEXT_TOKENS * model.num_text_layers * (24 * width**2 + 4 * TEXT_TOKENS * width)
    return tokens * per_token + text


def _our_model(sizes: Namespace) -> Any:
    from keras_videoprism import presets

    return presets.load(sizes.preset, load_weights=False)


def _inputs(model: Any, sizes: Namespace) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    videos = generator.random((1, sizes.frames, sizes.size, sizes.size, 3), np.float32)
    if not hasattr(model, "video_encoder"):
        return {"videos": videos}
    token_ids = generator.integers(1, model.vocabulary_size, (1, TEXT_TOKENS), dtype=np.int32)
    return {
        "videos": videos,
        "token_ids": token_ids,
        "padding_mask": np.ones((1, TEXT_TOKENS), bool),
    }


def _ours(model: Any, sizes: Namespace) -> Callable[[], Any]:
    from keras_videoprism.commands.embed import compile_forward

    inputs = _inputs(model, sizes)
    inputs = inputs if len(inputs) > 1 else inputs["videos"]
    compile_forward(model)
    return lambda: model.predict_on_batch(inputs)


def _keras_hub(model: Any, sizes: Namespace) -> Callable[[], Any]:
    from keras_videoprism.converters import to_keras_hub

    inputs = _inputs(model, sizes)
    backbone = to_keras_hub(model)
    if len(inputs) == 1:
        return lambda: backbone.predict_on_batch(inputs["videos"])
    theirs = {
        "pixel_values": inputs["videos"],
        "token_ids": inputs["token_ids"],
        "padding_mask": inputs["padding_mask"].astype("int32"),
    }
    return lambda: backbone.predict_on_batch(theirs)


def _transformers(model: Any, sizes: Namespace) -> Callable[[], Any]:
    import torch
    import transformers

    from keras_videoprism.converters import to_transformers

    inputs = _inputs(model, sizes)
    cls = transformers.VideoPrismVisionModel
    if len(inputs) > 1:
        cls = transformers.VideoPrismClipModel
    with tempfile.TemporaryDirectory() as folder:
        to_transformers(model, folder)
        loaded = cls.from_pretrained(folder).eval()
    pixels = torch.tensor(inputs["videos"].transpose(0, 1, 4, 2, 3))
    arguments = [pixels]
    if len(inputs) > 1:
        arguments += [torch.tensor(inputs["token_ids"]).long(), torch.ones(1, TEXT_TOKENS).long()]

    def forward() -> Any:
        with torch.inference_mode():
            return loaded(*arguments)

    return forward


PEAK = "matrix product"
OURS_JAX, OURS_TENSORFLOW = "ours, JAX", "ours, TensorFlow"
HUB_JAX, HUB_TENSORFLOW = "KerasHub, JAX", "KerasHub, TensorFlow"
TRANSFORMERS = "Transformers, torch"
SIDES: dict[str, Callable[[Any, Namespace], Callable[[], Any]]] = {
    OURS_JAX: _ours,
    HUB_JAX: _keras_hub,
    OURS_TENSORFLOW: _ours,
    HUB_TENSORFLOW: _keras_hub,
    TRANSFORMERS: _transformers,
}
