"""Weights of KerasHub's `VideoPrismBackbone`, in both directions."""

from typing import Any

import keras
import keras_hub
import numpy as np

from keras_videoprism.converters.assign import check_factorized, variables_by_path
from keras_videoprism.models.video_prism import VideoPrism
from keras_videoprism.models.video_prism_lvt import VideoPrismLvT

Model = VideoPrism | VideoPrismLvT

# Our layer -> KerasHub's. Its kernels are ours with the heads on an axis of their own.
_BLOCK = {
    "attention_norm": "ln_1",
    "attention": "mha",
    "mlp_norm": "ln_2",
    "mlp_hidden": "mlp/dense_1",
    "mlp_output": "mlp/dense_2",
}
_PATCHES = "spatial_patching_and_embedding"
_LAYERS = {
    "encoder/patch_embedding/projection": f"{_PATCHES}/patch_embedding",
    "encoder/spatial_position/table": f"{_PATCHES}/position_embedding/embeddings",
    "encoder/temporal_position/table": "temporal_embedding/temporal_position_embedding/embeddings",
    "encoder/spatial_norm": "spatial_encoder/ln",
    "encoder/temporal_norm": "temporal_encoder/ln",
    "encoder/spatial_encoder": "spatial_encoder",
    "encoder/temporal_encoder": "temporal_encoder",
    "pooler/query": "video_pooler/pooling_attention_query",
    "pooler/norm": "video_pooler/pooling_attention_layer_norm",
    "pooler/attention/per_dim_scale": "video_pooler/pooling_attention/per_dim_scale/per_dim_scale",
    "pooler/attention": "video_pooler/pooling_attention",
    "text_encoder/token_embedding": "text_embedding/token_embedding",
    "text_encoder/class_token": "text_embedding/class_token/cls_token",
    "text_encoder/norm": "text_layer_normalization",
    "text_encoder/transformer": "text_encoder",
}
# A second LayerNorm before the last one of the text tower, which changes nothing as released.
_REDUNDANT = {"text_encoder/ln/gamma": 1.0, "text_encoder/ln/beta": 0.0}


def from_keras_hub(backbone: keras.Model, load_weights: bool = True, **kwargs: Any) -> Model:
    """Our model with the configuration and weights of a `keras_hub.models.VideoPrismBackbone`.

    Args:
        backbone: with text layers it gives a `VideoPrismLvT`, without them a `VideoPrism`.
        load_weights: False gives random weights.
        **kwargs: arguments of our class that replace the backbone's, such as `dtype`.

    Raises:
        ValueError: the weights do not fit our model, or the extra LayerNorm of KerasHub's text
            tower was trained, which no other implementation has.
    """
    config = backbone.get_config()
    patch, (height, width, _) = config["patch_size"], config["image_shape"]
    arguments = {
        "patch_size": patch,
        "position_shape": (config["num_frames"], height // patch, width // patch),
        "hidden_dim": config["hidden_dim"],
        "num_spatial_layers": config["num_spatial_layers"],
        "num_temporal_layers": config["num_temporal_layers"],
        "num_heads": config["num_heads"],
        "mlp_dim": config["intermediate_dim"],
        "logit_cap": config["attention_logit_soft_cap"],
    }
    if not config["num_text_layers"]:
        model = VideoPrism(**{**arguments, **kwargs})
    else:
        names = ("num_auxiliary_layers", "vocabulary_size", "num_text_layers")
        arguments |= {name: config[name] for name in names}
        model = VideoPrismLvT(**{**arguments, **kwargs})
    if load_weights:
        _copy(backbone, model, {theirs: ours for ours, theirs in _paths(model).items()})
    return model


def to_keras_hub(model: Model) -> keras.Model:
    """A `keras_hub.models.VideoPrismBackbone` with the same outputs, before our L2 norm.

    It takes only the native number of frames and image size; `save_to_preset` writes a preset.

    Raises:
        ValueError: a model that KerasHub cannot express.
    """
    two_towers = isinstance(model, VideoPrismLvT)
    encoder = model.video_encoder if two_towers else model
    check_factorized(encoder, "KerasHub")
    if two_towers and (
        model.text_norm_policy != "pre" or encoder.mlp_dim != 4 * encoder.hidden_dim
    ):
        raise ValueError("KerasHub has only text towers with norm policy 'pre' and mlp_dim = 4D.")
    backbone = keras_hub.models.VideoPrismBackbone(
        num_frames=encoder.position_shape[0],
        patch_size=encoder.patch_size,
        hidden_dim=encoder.hidden_dim,
        intermediate_dim=encoder.mlp_dim,
        num_heads=encoder.num_heads,
        num_spatial_layers=encoder.num_spatial_layers,
        num_temporal_layers=encoder.num_temporal_layers,
        num_auxiliary_layers=model.num_auxiliary_layers if two_towers else 0,
        vocabulary_size=model.vocabulary_size if two_towers else 0,
        num_text_layers=model.num_text_layers if two_towers else 0,
        attention_logit_soft_cap=encoder.logit_cap,
        image_shape=(*encoder.image_size, 3),
        dtype=model.dtype_policy,
    )
    _copy(model, backbone, _paths(model))
    return backbone


def _paths(model: Model) -> dict[str, str]:
    """Path of each of our variables -> path of KerasHub's."""
    return {path: _theirs(path) for path in variables_by_path(model)}


def _theirs(path: str) -> str:
    for ours, theirs in _LAYERS.items():
        if path == ours or path.startswith(f"{ours}/"):
            path = theirs + path.removeprefix(ours)
            break
    before, block, after = path.partition("/block_")
    if not block:
        return path
    index, _, layer = after.partition("/")
    for ours, theirs in _BLOCK.items():
        if layer.startswith(f"{ours}/"):
            layer = theirs + layer.removeprefix(ours)
            break
    return f"{before}/transformer_block_{index}/{layer}"


def _copy(source: keras.Model, target: keras.Model, paths: dict[str, str]) -> None:
    """Set all variables of `target`; `paths`: path in the source -> path in the target."""
    old, new = variables_by_path(source), variables_by_path(target)
    problems = [f"unused {path}" for path in sorted(old.keys() - paths.keys() - set(_REDUNDANT))]
    problems += [f"missing {path}" for path in sorted(paths.keys() - old.keys())]
    unset = new.keys() - set(paths.values()) - set(_REDUNDANT)
    problems += [f"nothing for {path}" for path in sorted(unset)]
    for path in _REDUNDANT.keys() & old.keys():
        if np.abs(keras.ops.convert_to_numpy(old[path]) - _REDUNDANT[path]).max() > 1e-6:
            problems.append(f"{path} was trained; only KerasHub has this layer")
    values = {}
    for path in paths.keys() & old.keys():
        value = keras.ops.convert_to_numpy(old[path])
        variable = new.get(paths[path])
        if not np.isfinite(value.astype("float32")).all():
            problems.append(f"{path} has values that are not finite")
        elif variable is None or np.prod(variable.shape) != value.size:
            problems.append(f"{path} {value.shape} does not fit {paths[path]}")
        else:
            values[paths[path]] = value.reshape(variable.shape)
    if problems:
        raise ValueError("the weights do not fit:\n" + "\n".join(problems))
    for path, value in values.items():
        new[path].assign(value)
