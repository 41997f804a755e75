"""Weights of the official Flax models (npz files with flat keys, layers stacked)."""

import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from keras_videoprism.converters.assign import (
    Arrays,
    Change,
    Leaves,
    Rule,
    Table,
    assign,
    layer_rules,
    same,
    variables_by_path,
)
from keras_videoprism.models.video_classifier import VideoClassifier
from keras_videoprism.models.video_prism import VideoPrism
from keras_videoprism.models.video_prism_lvt import VideoPrismLvT

# Rows: our layer / variable below a block, the key below `x_layers`, and the array's change.
_LAYER_NORM: Leaves = {"gamma": ("scale", lambda a: a + 1.0), "beta": ("bias", same)}
_LINEAR: Leaves = {"kernel": ("linear/kernel", same), "bias": ("linear/bias", same)}
# Kernels [D, N, H], ours [D, N*H]; that of the output stands the other way round, ours [N*H, D].
_HEADS: Leaves = {
    "kernel": ("w", lambda a: a.reshape(len(a), -1)),
    "bias": ("b", lambda a: a.ravel()),
}
_OUTPUT: Leaves = {"kernel": ("w", lambda a: a.reshape(len(a), -1).T), "bias": ("b", same)}
_TABLE: Leaves = {"table": ("emb_var", same)}

_ATTENTION: Table = {
    "query": ("query", _HEADS),
    "key": ("key", _HEADS),
    "value": ("value", _HEADS),
    "output": ("post", _OUTPUT),
}
_BLOCK: Table = {
    **{f"attention/{name}": (f"self_attention/{key}", r) for name, (key, r) in _ATTENTION.items()},
    "mlp_hidden": ("ff_layer/ffn_layer1", _LINEAR),
    "mlp_output": ("ff_layer/ffn_layer2", _LINEAR),
}
_NORMS: dict[str, Table] = {
    "pre": {
        "attention_norm": ("layer_norm", _LAYER_NORM),
        "mlp_norm": ("ff_layer/layer_norm", _LAYER_NORM),
    },
    "primer_hybrid": {
        "attention_norm": ("pre_layer_norm", _LAYER_NORM),
        "attention_post_norm": ("post_layer_norm", _LAYER_NORM),
        "mlp_norm": ("ff_layer/pre_layer_norm", _LAYER_NORM),
        "mlp_post_norm": ("ff_layer/post_layer_norm", _LAYER_NORM),
    },
}
_POOLER: Table = {
    **{
        f"attention/{name}": (f"pooling_attention/{key}", rule)
        for name, (key, rule) in _ATTENTION.items()
    },
    "attention": (
        "pooling_attention/per_dim_scale",
        {"per_dim_scale": ("per_dim_scale", same)},
    ),
    "norm": ("pooling_attention_layer_norm", _LAYER_NORM),
}


def from_flax(
    source: str | Path | Arrays,
    attention_logit_cap: float | None = 50.0,
    load_weights: bool = True,
    **kwargs: Any,
) -> VideoPrism | VideoPrismLvT | VideoClassifier:
    """Build the model that an official checkpoint describes and load it.

    Args:
        source: path of an npz file, or a dict of its arrays (keys `params/...`).
        attention_logit_cap: the one number that the arrays do not tell; 50 in all released models.
        load_weights: False gives the same model with random weights.
        **kwargs: arguments of `VideoPrism` or `VideoPrismLvT`, such as `dtype` (default float32).

    Returns:
        `VideoPrism`, `VideoPrismLvT` or `VideoClassifier`.

    Raises:
        ValueError: lists every key that is missing, unknown or of the wrong shape.
    """
    arrays = _read(source)
    build = _encoder
    if any(key.startswith("projection/") for key in arrays):
        build = _classifier
    elif any(key.startswith("vision_encoder/") for key in arrays):
        build = _video_text
    try:
        model, rules = build(
            arrays, {"logit_cap": attention_logit_cap, "dtype": "float32", **kwargs}
        )
    except KeyError as error:
        raise ValueError(f"the checkpoint lacks the array {error}, which tells a size.") from error
    if load_weights:
        assign(variables_by_path(model), arrays, rules)
    return model


def _read(source: str | Path | Arrays) -> Arrays:
    if not isinstance(source, dict):
        try:
            with np.load(source, allow_pickle=False) as file:
                source = dict(file)
        except (ValueError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"{source} is no npz file of plain arrays: {error}") from error
    arrays = {key.removeprefix("params/"): array for key, array in source.items()}
    if not any(key.endswith("patch_projection/linear/kernel") for key in arrays):
        raise ValueError(
            "no VideoPrism checkpoint: the key 'params/.../patch_projection/linear/kernel' is "
            f"missing among {sorted(source)[:5]}..."
        )
    return arrays


def _encoder_config(arrays: Arrays, prefix: str) -> dict:
    spatial = f"{prefix}spatial_encoder/transformers_stack/x_layers/"
    pixels, hidden_dim = arrays[f"{prefix}patch_projection/linear/kernel"].shape
    side = math.isqrt(arrays[f"{prefix}spatial_pos_emb/emb_var"].shape[0])
    frames = arrays[f"{prefix}temporal_pos_emb/emb_var"].shape[0]
    num_layers, _, mlp_dim = arrays[f"{spatial}ff_layer/ffn_layer1/linear/kernel"].shape
    temporal = spatial.replace("spatial_encoder", "temporal_encoder")
    return {
        "patch_size": math.isqrt(pixels // 3),
        "position_shape": (frames, side, side),
        "hidden_dim": hidden_dim,
        "num_spatial_layers": num_layers,
        "num_temporal_layers": arrays[f"{temporal}layer_norm/scale"].shape[0],
        "num_heads": arrays[f"{spatial}self_attention/query/w"].shape[2],
        "mlp_dim": mlp_dim,
    }


def _encoder(arrays: Arrays, kwargs: dict) -> tuple[VideoPrism, dict[str, Rule]]:
    model = VideoPrism(**{**_encoder_config(arrays, ""), **kwargs})
    return model, _encoder_rules(model, "")


def _video_text(arrays: Arrays, kwargs: dict) -> tuple[VideoPrismLvT, dict[str, Rule]]:
    auxiliary = arrays.get("auxiliary_encoder/transformers_stack/x_layers/layer_norm/scale")
    text = "text_encoder/unimodal_transformer/x_layers/"
    config = {
        **_encoder_config(arrays, "vision_encoder/"),
        "num_auxiliary_layers": 0 if auxiliary is None else auxiliary.shape[0],
        "vocabulary_size": arrays["text_encoder/token_emb/emb_var"].shape[0],
        "num_text_layers": arrays[f"{text}self_attention/query/w"].shape[0],
        "text_norm_policy": "pre" if f"{text}layer_norm/scale" in arrays else "primer_hybrid",
    }
    model = VideoPrismLvT(**{**config, **kwargs})
    rules = _encoder_rules(model.video_encoder, "vision_encoder/")
    if model.num_auxiliary_layers:
        key = "auxiliary_encoder/transformers_stack/x_layers/"
        rules |= _stack("auxiliary_encoder/", key, model.num_auxiliary_layers)
    rules |= layer_rules(_POOLER, "pooler/", "contrastive_vision_pooler/")
    rules["pooler/query"] = ("contrastive_vision_pooler/pooling_attention_query", same)
    rules |= _stack(
        "text_encoder/transformer/", text, model.num_text_layers, model.text_norm_policy
    )
    rules |= layer_rules({"norm": ("unimodal_ln", _LAYER_NORM)}, "text_encoder/", "text_encoder/")
    rules["text_encoder/class_token"] = ("text_encoder/cls_emb", same)
    rules["text_encoder/token_embedding/embeddings"] = ("text_encoder/token_emb/emb_var", same)
    return model, rules


def _classifier(arrays: Arrays, kwargs: dict) -> tuple[VideoClassifier, dict[str, Rule]]:
    encoder = VideoPrism(**{**_encoder_config(arrays, "encoder/"), "name": "encoder", **kwargs})
    model = VideoClassifier(
        encoder, num_classes=arrays["projection/linear/bias"].shape[0], name="classifier"
    )
    rules = _encoder_rules(encoder, "encoder/")
    rules |= layer_rules(_POOLER, "classifier/pooler/", "atten_pooler/")
    rules["classifier/pooler/query"] = ("atten_pooler/pooling_attention_query", same)
    rules |= layer_rules({"classifier": ("projection", _LINEAR)}, "classifier/", "")
    return model, rules


def _encoder_rules(model: VideoPrism, key: str) -> dict[str, Rule]:
    path = "encoder/"
    table: Table = {
        "patch_embedding/projection": ("patch_projection", _LINEAR),
        "spatial_position": ("spatial_pos_emb", _TABLE),
        "spatial_norm": ("spatial_ln", _LAYER_NORM),
        "temporal_position": ("temporal_pos_emb", _TABLE),
        "temporal_norm": ("temporal_ln", _LAYER_NORM),
    }
    rules = layer_rules(table, path, key)
    for name, num_layers in (
        ("spatial_encoder", model.num_spatial_layers),
        ("temporal_encoder", model.num_temporal_layers),
    ):
        rules |= _stack(f"{path}{name}/", f"{key}{name}/transformers_stack/x_layers/", num_layers)
    return rules


def _stack(path: str, key: str, num_layers: int, norm_policy: str = "pre") -> dict[str, Rule]:
    """Rules of a Transformer, whose arrays hold all layers on the first axis."""
    rules: dict[str, Rule] = {}
    for index in range(num_layers):
        table = {**_BLOCK, **_NORMS[norm_policy]}
        for name, (array, transform) in layer_rules(table, f"{path}block_{index}/", key).items():
            rules[name] = (array, _of_layer(index, transform))
    return rules


def _of_layer(index: int, change: Change) -> Change:
    return lambda stacked: change(stacked[index])
