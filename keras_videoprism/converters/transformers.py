"""Weights of Hugging Face Transformers' VideoPrism (folders with config.json and safetensors)."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import ml_dtypes
import numpy as np
import safetensors
import safetensors.numpy

from keras_videoprism.converters.assign import (
    Arrays,
    Change,
    Leaves,
    Rule,
    Table,
    assign,
    check_factorized,
    layer_rules,
    same,
    variables_by_path,
)
from keras_videoprism.layers.position_embedding import sinusoids
from keras_videoprism.models.video_classifier import VideoClassifier
from keras_videoprism.models.video_prism import VideoPrism
from keras_videoprism.models.video_prism_lvt import VideoPrismLvT

Model = VideoPrism | VideoPrismLvT | VideoClassifier
MODEL_TYPES = ("videoprism", "videoprism_vision_model")
INDEX, WEIGHTS = "model.safetensors.index.json", "model.safetensors"
MAX_TEXT = 64  # length of the position table that Transformers stores

# An older layout of the same arrays: its names, in this order, become today's.
_OLD_NAMES = (
    (r"^backbone\.|(?<=video_model\.)backbone\.", "vision_model."),
    (r"(spatial|temporal|auxiliary)_encoder\.layer\.", r"\1_layers."),
    (r"text_encoder\.(unimodal_encoder\.)?layer\.", "layers."),
    (r"attention\.attention\.(q|k|v)\w+", r"attention.\1_proj"),
    (r"attention\.output\.dense", "attention.o_proj"),
    (r"intermediate\.dense", "mlp.fc1"),
    (r"output\.dense", "mlp.fc2"),
    (r"contrastive_vision_pooler\.layernorm", "head_layernorm"),
    (r"contrastive_vision_pooler\.projection", "head.o_proj"),
    (r"contrastive_vision_pooler\.(q|k|v)(uery|ey|alue)\b", r"head.\1_proj"),
    (r"contrastive_vision_pooler\.", "head."),
    (r"text_model\.cls_emb", "text_model.embeddings.cls_emb"),
    (r"text_model\.token_embeddings", "text_model.embeddings.token_embedding"),
    (r"text_model\.position_embeddings", "text_model.embeddings.position_embedding"),
    (r"(spatial|temporal)_pos_emb$", "position_embeddings"),
)
# Computed here. Transformers' own position table differs from the official one by up to 0.06.
_COMPUTED = re.compile(r"text_model\..*position_(ids|embedding)$|head\.scale$")


def _add_one(array: np.ndarray) -> np.ndarray:
    return array + 1.0


def _subtract_one(array: np.ndarray) -> np.ndarray:
    return array - 1.0


def _flat(array: np.ndarray) -> np.ndarray:
    """[1, ..., D] -> [..., D]"""
    return array[0]


def _unflat(array: np.ndarray) -> np.ndarray:
    return array[None]


def _from_convolution(array: np.ndarray) -> np.ndarray:
    """[D, 3, 1, P, P] -> [P*P*3, D]"""
    return array[:, :, 0].transpose(2, 3, 1, 0).reshape(-1, len(array))


def _to_convolution(array: np.ndarray) -> np.ndarray:
    side = round((array.shape[0] / 3) ** 0.5)
    return array.reshape(side, side, 3, -1).transpose(3, 2, 0, 1)[:, :, None]


_INVERSE: dict[Change, Change] = {
    same: same,
    np.transpose: np.transpose,
    _add_one: _subtract_one,
    _flat: _unflat,
    _from_convolution: _to_convolution,
}
_NORM: Leaves = {"gamma": ("weight", _add_one), "beta": ("bias", same)}
_LINEAR: Leaves = {"kernel": ("weight", np.transpose), "bias": ("bias", same)}
_PATCHES: Leaves = {"kernel": ("weight", _from_convolution), "bias": ("bias", same)}
_POSITIONS: Leaves = {"table": ("position_embeddings", _flat)}
_ATTENTION: Table = {
    name: (f"{name[0]}_proj", _LINEAR) for name in ("query", "key", "value", "output")
}
_BLOCK: Table = {
    **{f"attention/{name}": (f"attention.{key}", leaf) for name, (key, leaf) in _ATTENTION.items()},
    "attention_norm": ("layernorm_before", _NORM),
    "mlp_norm": ("layernorm_after", _NORM),
    "mlp_hidden": ("mlp.fc1", _LINEAR),
    "mlp_output": ("mlp.fc2", _LINEAR),
}
_ENCODER: Table = {
    "encoder/patch_embedding/projection": (
        "spatial_embeddings.patch_embeddings.projection",
        _PATCHES,
    ),
    "encoder/spatial_position": ("spatial_embeddings", _POSITIONS),
    "encoder/spatial_norm": ("layernorm1", _NORM),
    "encoder/temporal_position": ("temporal_embeddings", _POSITIONS),
    "encoder/temporal_norm": ("layernorm2", _NORM),
}
_POOLER: Table = {
    **{
        f"pooler/attention/{name}": (f"head.{key}", leaf)
        for name, (key, leaf) in _ATTENTION.items()
    },
    "pooler/attention": ("head", {"per_dim_scale": ("per_dim_scale", same)}),
    "pooler": ("head", {"query": ("pooling_attention_query", _flat)}),
    "pooler/norm": ("head_layernorm", _NORM),
}
_TEXT: Table = {
    "text_encoder": ("embeddings", {"class_token": ("cls_emb", same)}),
    "text_encoder/token_embedding": (
        "embeddings.token_embedding",
        {"embeddings": ("weight", same)},
    ),
    "text_encoder/norm": ("layernorm", _NORM),
}


def from_transformers(folder: str | Path, load_weights: bool = True, **kwargs: Any) -> Model:
    """Build the model of a Transformers checkpoint and load it.

    Both layouts of key names are read, today's and that of the first port, sharded or not.

    Args:
        folder: has config.json and model.safetensors, or its shards with their index.
        load_weights: False gives random weights.
        **kwargs: arguments of `VideoPrism` or `VideoPrismLvT` that replace the checkpoint's, such
            as `dtype` (default float32).

    Returns:
        `VideoPrismLvT` for a VideoPrismClipModel, `VideoClassifier` for a
        VideoPrismForVideoClassification, else `VideoPrism`.

    Raises:
        ValueError: another model's folder, a damaged file, or (all in one message) every key that
            is missing, unknown, not finite or of the wrong shape.
    """
    config = json.loads((Path(folder) / "config.json").read_text(encoding="utf-8"))
    if config.get("model_type") not in MODEL_TYPES:
        raise ValueError(
            f"{folder} holds a model of type {config.get('model_type')!r}, not {MODEL_TYPES}."
        )
    model = _build(config, {"dtype": "float32", **kwargs})
    if load_weights:
        arrays = read_safetensors(folder)
        arrays = {key: a for key, a in arrays.items() if not _COMPUTED.search(key)}
        assign(variables_by_path(model), arrays, _rules(model))
    return model


def to_transformers(model: Model, folder: str | Path) -> None:
    """Write a folder that Transformers' `from_pretrained` loads; outputs are the same.

    Raises:
        ValueError: a model that Transformers cannot express (text norms of the giant model, joint
            attention).
    """
    check_factorized(video_prism_of(model), "Transformers")
    if getattr(model, "text_norm_policy", "pre") != "pre":
        raise ValueError("Transformers has no text tower with norm policy 'primer_hybrid'.")
    variables = variables_by_path(model)
    arrays = {}
    for path, (key, change) in _rules(model).items():
        value = keras.ops.convert_to_numpy(variables[path]).astype("float32")
        arrays[key] = np.ascontiguousarray(_INVERSE[change](value))
    if isinstance(model, VideoPrismLvT):
        table = sinusoids(MAX_TEXT, model.video_encoder.hidden_dim)
        arrays["text_model.embeddings.position_embedding"] = keras.ops.convert_to_numpy(table)
        arrays["text_model.embeddings.position_ids"] = np.arange(MAX_TEXT)[None]
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    config = json.dumps(_transformers_config(model), indent=2)
    (folder / "config.json").write_text(config, encoding="utf-8")
    safetensors.numpy.save_file(arrays, folder / WEIGHTS, metadata={"format": "pt"})


def fetch(get_file: Callable[[str], str], load_weights: bool = True) -> Path:
    """Bring the files of a checkpoint to this machine; returns their folder.

    Args:
        get_file: name of a file -> its local path; raises FileNotFoundError where there is none.
    """
    folder = Path(get_file("config.json")).parent
    if load_weights:
        try:
            index = Path(get_file(INDEX))
        except FileNotFoundError:
            get_file(WEIGHTS)
        else:
            for name in shard_names(index):
                get_file(name)
    return folder


def read_safetensors(folder: str | Path) -> Arrays:
    """All arrays of a checkpoint, under today's key names, as float32 or integers."""
    folder = Path(folder)
    names = shard_names(folder / INDEX) if (folder / INDEX).is_file() else [WEIGHTS]
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise ValueError(f"{folder} lacks the files {missing}.")
    return {_todays(key): array for name in names for key, array in _read(folder / name).items()}


def shard_names(index: Path) -> list[str]:
    """Names of the files that an index lists; they must lie beside it."""
    files = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
    # Keras lists several files for one layer.
    names = sorted({name for file in files for name in ([file] if isinstance(file, str) else file)})
    outside = [name for name in names if Path(name).name != name]
    if outside:
        raise ValueError(f"{index} names files outside of its folder: {outside}.")
    return names


def _read(file: Path) -> Arrays:
    # NumPy has no bfloat16 of its own, and safetensors.numpy refuses it.
    types = {"BF16": ml_dtypes.bfloat16, "F16": "f2", "F32": "f4", "F64": "f8", "I64": "i8"}
    arrays = {}
    try:
        for key, tensor in safetensors.deserialize(file.read_bytes()):
            array = np.frombuffer(tensor["data"], np.dtype(types[tensor["dtype"]]))
            array = array.reshape(tensor["shape"])
            arrays[key] = array if tensor["dtype"] == "I64" else array.astype("float32")
    except (safetensors.SafetensorError, KeyError) as error:
        raise ValueError(f"{file} is damaged or no safetensors file: {error}") from error
    return arrays


def _todays(key: str) -> str:
    for old, new in _OLD_NAMES:
        key = re.sub(old, new, key)
    return key


def _build(config: dict, kwargs: dict) -> Model:
    vision = config.get("vision_config", config)
    encoder = _encoder_config(vision)
    if config["model_type"] == "videoprism":
        text = config["text_config"]
        two_towers = {
            "num_auxiliary_layers": vision["num_auxiliary_layers"],
            "vocabulary_size": text["vocab_size"],
            "num_text_layers": text["num_hidden_layers"],
        }
        return VideoPrismLvT(**{**encoder, **two_towers, **kwargs})
    if "VideoPrismForVideoClassification" not in config.get("architectures", ()):
        return VideoPrism(**{**encoder, **kwargs})
    return VideoClassifier(
        VideoPrism(**{**encoder, "name": "encoder", **kwargs}),
        num_classes=len(config.get("id2label", (0, 1))),
        pooler_dim=encoder["mlp_dim"],
    )


def _encoder_config(vision: dict) -> dict[str, Any]:
    """Arguments of `VideoPrism`."""
    size, (frames, patch, patch_width) = vision["image_size"], vision["tubelet_size"]
    height, width = (size, size) if isinstance(size, int) else size
    if frames != 1 or patch != patch_width:
        raise ValueError(f"VideoPrism has patches [1, P, P], received {vision['tubelet_size']}.")
    return {
        "patch_size": patch,
        "position_shape": (vision["num_frames"], height // patch, width // patch),
        "hidden_dim": vision["hidden_size"],
        "num_spatial_layers": vision["num_spatial_layers"],
        "num_temporal_layers": vision["num_temporal_layers"],
        "num_heads": vision["num_attention_heads"],
        "mlp_dim": vision["intermediate_size"],
        "logit_cap": vision["attn_logit_softcapping"],
    }


def _transformers_config(model: Model) -> dict[str, Any]:
    encoder = video_prism_of(model)
    vision = {
        "model_type": "videoprism_vision_model",
        "image_size": list(encoder.image_size),
        "num_frames": encoder.position_shape[0],
        "tubelet_size": [1, encoder.patch_size, encoder.patch_size],
        "hidden_size": encoder.hidden_dim,
        "num_attention_heads": encoder.num_heads,
        "intermediate_size": encoder.mlp_dim,
        "num_spatial_layers": encoder.num_spatial_layers,
        "num_temporal_layers": encoder.num_temporal_layers,
        "num_auxiliary_layers": getattr(model, "num_auxiliary_layers", 0),
        "attn_logit_softcapping": encoder.logit_cap,
    }
    if isinstance(model, VideoPrism):
        return {**vision, "architectures": ["VideoPrismVisionModel"]}
    if isinstance(model, VideoClassifier):
        labels = {str(index): f"LABEL_{index}" for index in range(model.num_classes)}
        label_ids = {label: int(index) for index, label in labels.items()}
        architecture = {"architectures": ["VideoPrismForVideoClassification"]}
        return {**vision, **architecture, "id2label": labels, "label2id": label_ids}
    text = {
        "model_type": "videoprism_text_model",
        "vocab_size": model.vocabulary_size,
        "hidden_size": encoder.hidden_dim,
        "intermediate_size": 4 * encoder.hidden_dim,
        "num_hidden_layers": model.num_text_layers,
        "num_attention_heads": encoder.num_heads,
        "attn_logit_softcapping": encoder.logit_cap,
    }
    return {
        "model_type": "videoprism",
        "architectures": ["VideoPrismClipModel"],
        "vision_config": vision,
        "text_config": text,
    }


def video_prism_of(model: Model) -> VideoPrism:
    """The video encoder that a model is or has."""
    if isinstance(model, VideoPrismLvT):
        return model.video_encoder
    return model.encoder if isinstance(model, VideoClassifier) else model


def _rules(model: Model) -> dict[str, Rule]:
    if isinstance(model, VideoPrism):
        return _encoder_rules(model, "")
    if isinstance(model, VideoClassifier):
        head: Table = {**_POOLER, "classifier": ("classifier", _LINEAR)}
        return {
            **_encoder_rules(model.encoder, "vision_model."),
            **layer_rules(head, f"{model.name}/", separator="."),
        }
    return {
        **_encoder_rules(model.video_encoder, "video_model.vision_model."),
        **_stack("auxiliary_encoder", "video_model.auxiliary_layers", model.num_auxiliary_layers),
        **layer_rules(_POOLER, key="video_model.", separator="."),
        **layer_rules(_TEXT, key="text_model.", separator="."),
        **_stack("text_encoder/transformer", "text_model.layers", model.num_text_layers),
    }


def _encoder_rules(model: VideoPrism, key: str) -> dict[str, Rule]:
    return {
        **layer_rules(_ENCODER, key=key, separator="."),
        **_stack("encoder/spatial_encoder", f"{key}spatial_layers", model.num_spatial_layers),
        **_stack("encoder/temporal_encoder", f"{key}temporal_layers", model.num_temporal_layers),
    }


def _stack(path: str, key: str, num_layers: int) -> dict[str, Rule]:
    return {
        name: rule
        for index in range(num_layers)
        for name, rule in layer_rules(
            _BLOCK, f"{path}/block_{index}/", f"{key}.{index}.", separator="."
        ).items()
    }
