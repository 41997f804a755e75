"""Named models, where their weights are, and which library wrote them."""

import difflib
import json
from pathlib import Path
from typing import Any

import keras
from keras_hub.models import Backbone

# Private, but the one function that knows the caches of all hubs as KerasHub's loader does.
from keras_hub.src.utils.preset_utils import get_file

from keras_videoprism import converters
from keras_videoprism.converters import transformers
from keras_videoprism.data.atomic import atomic_folder
from keras_videoprism.data.tokenize import Tokenizer
from keras_videoprism.models import VideoClassifier, VideoPrism, VideoPrismLvT

SIZES: dict[str, dict[str, Any]] = {
    "b": {},
    "l": {
        "position_shape": (8, 16, 16),
        "hidden_dim": 1024,
        "num_spatial_layers": 24,
        "num_heads": 16,
        "mlp_dim": 4096,
    },
    # Table 9. The weights of the giant models were never published.
    "g": {
        "position_shape": (8, 16, 16),
        "hidden_dim": 1408,
        "num_spatial_layers": 40,
        "num_heads": 16,
        "mlp_dim": 6144,
    },
    "tiny": {
        "patch_size": 8,
        "position_shape": (8, 5, 5),
        "hidden_dim": 96,
        "num_spatial_layers": 3,
        "num_temporal_layers": 2,
        "num_heads": 3,
        "mlp_dim": 384,
    },
}
TEXT: dict[str, dict[str, Any]] = {
    "b": {},
    "l": {},
    "g": {"num_text_layers": 16, "text_norm_policy": "primer_hybrid"},
    "tiny": {"num_auxiliary_layers": 0, "vocabulary_size": 256, "num_text_layers": 2},
}
PRESETS = {
    **{f"videoprism_{size}": config for size, config in SIZES.items()},
    **{f"videoprism_lvt_{size}": {**SIZES[size], **text} for size, text in TEXT.items()},
}
# Names that KerasHub gives to the released models.
KERAS_HUB_NAMES = {
    "videoprism_public_v1_base": "videoprism_b",
    "videoprism_public_v1_large": "videoprism_l",
    "videoprism_lvt_public_v1_base": "videoprism_lvt_b",
    "videoprism_lvt_public_v1_large": "videoprism_lvt_l",
}
# Where the released weights are, in the order in which they are tried.
PLACES = {
    ours: (
        f"kaggle://keras/videoprism/keras/{theirs}/1",
        f"hf://google/{theirs.replace('_public_v1', '').replace('_', '-')}-f{frames}r288",
    )
    for (theirs, ours), frames in zip(KERAS_HUB_NAMES.items(), (16, 8, 16, 8), strict=True)
}
SHIPPED = Path(__file__).parent / "weights"
TOKENIZERS = ("assets/tokenizer/vocabulary.spm", "spiece.model")
CONFIG, KERAS_WEIGHTS, SHARDS = "config.json", "model.weights.h5", "model.weights.json"


def load(
    preset: str | Path, cls: type | None = None, load_weights: bool = True, **kwargs: Any
) -> keras.Model:
    """Build a model from a preset of any library; which one is recognised by its files.

    Args:
        preset: a name of `PRESETS` or KerasHub's name; an address `kaggle://owner/model/keras/
            variant/version` or `hf://owner/model`; a folder, or an official npz file. It may hold a
            preset of this package, KerasHub's `VideoPrismBackbone`, a Transformers checkpoint or
            the official arrays.
        cls: the class that is expected; None takes what comes.
        load_weights: False gives random weights.
        **kwargs: arguments of the model that replace the preset's, such as `dtype="bfloat16"`.

    Returns:
        `VideoPrism`, `VideoPrismLvT` or `VideoClassifier`. A `VideoPrismLvT` has its tokenizer
        where the preset has a SentencePiece model.

    Raises:
        ValueError: no such preset, no hub can be reached, or its files do not fit.
    """
    name = KERAS_HUB_NAMES.get(str(preset), str(preset))
    if name in PRESETS and not load_weights and not (SHIPPED / name).is_dir():
        named = VideoPrismLvT if "_lvt_" in name else VideoPrism
        return _checked(named(**{**PRESETS[name], **kwargs}), name, cls)
    problems = []
    for address in _addresses(name):
        try:
            model = _load(address, load_weights, kwargs)
        except OSError as error:  # also what the hubs' clients raise without network
            problems.append(f"  {address}: {error}")
        else:
            return _checked(model, address, cls)
    reasons = "\n".join(problems)
    raise ValueError(
        f"the weights of {name!r} could not be found or downloaded:\n{reasons}\n"
        "Connect to the network once (they are cached), pass a folder or file that holds them, or "
        "pass load_weights=False for random weights."
    )


def from_preset(preset: str | Path, load_weights: bool = True, **kwargs: Any) -> keras.Model:
    """Load a preset of whichever class it is; see `load`."""
    return load(preset, None, load_weights, **kwargs)


def save(model: keras.Model, folder: str | Path) -> None:
    """Write a preset folder that `from_preset` reads; it appears whole or not at all.

    The tokenizer of a `VideoPrismLvT` goes with it.
    """
    with atomic_folder(folder) as temporary:
        if not isinstance(model, VideoClassifier):
            model.save_to_preset(str(temporary))
            return
        config = keras.saving.serialize_keras_object(model)
        config.pop("compile_config", None)
        (temporary / CONFIG).write_text(json.dumps(config, indent=2), encoding="utf-8")
        optimizer = getattr(model, "optimizer", None)
        model.optimizer = None  # Keras would save its state too
        try:
            model.save_weights(temporary / KERAS_WEIGHTS)
        finally:
            model.optimizer = optimizer


def _addresses(name: str) -> tuple[str, ...]:
    """Where the files of a preset may be."""
    if (SHIPPED / name).is_dir() and name in PRESETS:
        return (str(SHIPPED / name),)
    if name in PLACES:
        return PLACES[name]
    if name in PRESETS:
        raise ValueError(
            f"the weights of {name} were never published. Pass load_weights=False for random ones."
        )
    if "://" not in name and not Path(name).exists():
        known = sorted([*PRESETS, *KERAS_HUB_NAMES])
        close = difflib.get_close_matches(name, known, n=3)
        hint = f"did you mean {' or '.join(close)}?" if close else f"known names: {known}."
        raise ValueError(f"no preset {name!r}: it is no file, folder, address or name; {hint}")
    return (name,)


def _load(address: str, load_weights: bool, kwargs: dict) -> keras.Model:
    if address.endswith(".npz"):
        return converters.from_flax(address, load_weights=load_weights, **kwargs)
    config = _config(address)
    kind = config.get("registered_name") or config.get("model_type")
    written_by, _, class_name = str(kind).partition(">")
    if kind is None:
        return converters.from_flax(_official(address), load_weights=load_weights, **kwargs)
    if kind in transformers.MODEL_TYPES:
        folder = transformers.fetch(lambda name: get_file(address, name), load_weights)
        model = converters.from_transformers(folder, load_weights, **kwargs)
    elif written_by == "keras_videoprism":
        model = _load_ours(address, config, load_weights, kwargs)
    elif class_name == "VideoPrismBackbone":
        backbone = Backbone.from_preset(address, load_weights=load_weights)
        model = converters.from_keras_hub(backbone, load_weights, **kwargs)
    else:
        raise ValueError(f"{address} holds another model: {kind}.")
    if isinstance(model, VideoPrismLvT):
        model.tokenizer = _tokenizer(address)
    return model


def _config(address: str) -> dict:
    """Content of config.json; nothing where there is none."""
    try:
        file = Path(get_file(address, CONFIG))
        config = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except json.JSONDecodeError as error:
        raise ValueError(f"{address}: {CONFIG} is no JSON: {error}") from error
    if (file.parent / SHARDS).is_file():
        transformers.shard_names(file.parent / SHARDS)  # refuses files outside
    return config


def _is_finite(variable: keras.Variable) -> bool:
    return bool(keras.ops.all(keras.ops.isfinite(keras.ops.cast(variable, "float32"))))


def _load_ours(address: str, config: dict, load_weights: bool, kwargs: dict) -> keras.Model:
    """A preset that `save` wrote. The converters check the arrays of the others."""
    if config["registered_name"].endswith(">VideoClassifier"):
        model = keras.saving.deserialize_keras_object(config)
        if load_weights:
            model.load_weights(get_file(address, KERAS_WEIGHTS))
    else:
        model = Backbone.from_preset(address, load_weights=load_weights, **kwargs)
    broken = [w.path for w in model.weights if not _is_finite(w)] if load_weights else []
    if broken:
        raise ValueError(f"{address} has weights that are not finite: {broken}.")
    return model


def _official(address: str) -> Path:
    """The npz file of a folder, or of a repository of the official release."""
    folder = Path(address)
    if address.startswith("hf://"):
        import huggingface_hub

        repository = address.removeprefix("hf://")
        folder = Path(huggingface_hub.snapshot_download(repository, allow_patterns="*.npz"))
    files = sorted(folder.glob("*.npz"))
    if len(files) != 1:
        raise ValueError(f"{address} has neither {CONFIG} nor one npz file; found {files}.")
    return files[0]


def _tokenizer(address: str) -> Tokenizer | None:
    for name in TOKENIZERS:
        try:
            return Tokenizer(get_file(address, name))
        except OSError:
            continue
    return None


def _checked(model: keras.Model, address: str, cls: type | None) -> keras.Model:
    if cls is not None and not isinstance(model, cls):
        raise ValueError(
            f"{address} holds a {type(model).__name__}, not a {cls.__name__}. Load it by "
            f"{type(model).__name__}.from_preset."
        )
    return model
