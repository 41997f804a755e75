"""Named models and how they are found."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

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
SHIPPED = Path(__file__).parent / "weights"
TOKENIZER = Path("assets/tokenizer/vocabulary.spm")


def load(
    cls: type, from_preset: Callable, preset: str, load_weights: bool, **kwargs: Any
) -> keras.Model:
    """Build a model of class `cls` from a preset.

    Args:
        cls: `VideoPrism` or `VideoPrismLvT`.
        from_preset: KerasHub's loader of that class, for a folder or an address.
        preset: a name of `PRESETS`, a preset folder, or what KerasHub takes (`kaggle://...`).
        load_weights: False gives random weights.
        **kwargs: arguments of the class, instead of the preset's.

    Raises:
        ValueError: no such preset, or it has no weights.
    """
    folder = SHIPPED / preset if preset in PRESETS else Path(preset)
    if preset in PRESETS and not folder.is_dir():
        if load_weights:
            raise ValueError(
                f"{preset} has no weights in this package. Pass load_weights=False for random "
                "weights, or convert an official checkpoint by keras_videoprism.converters."
            )
        return cls(**{**PRESETS[preset], **kwargs})
    if "://" not in preset and not folder.is_dir():
        raise ValueError(
            f"no preset {preset!r}: it is no folder, no address, and none of {sorted(PRESETS)}."
        )
    model = from_preset(str(folder), load_weights=load_weights, **kwargs)
    if hasattr(model, "tokenizer") and (folder / TOKENIZER).is_file():
        from keras_videoprism.data.tokenize import Tokenizer

        model.tokenizer = Tokenizer(folder / TOKENIZER)
    return model


def from_preset(preset: str | Path, load_weights: bool = True, **kwargs: Any) -> keras.Model:
    """Load a preset of whichever class it is; see `load`."""
    from keras_hub.models import Backbone

    from keras_videoprism.models import VideoPrism, VideoPrismLvT

    cls = VideoPrismLvT if "_lvt_" in str(preset) else VideoPrism
    return load(cls, Backbone.from_preset, str(preset), load_weights, **kwargs)


def save(model: keras.Model, folder: str | Path) -> None:
    """Write a preset folder that `from_preset` reads, with the tokenizer if the model has one."""
    model.save_to_preset(str(folder))
    tokenizer = getattr(model, "tokenizer", None)
    if tokenizer is not None:
        (Path(folder) / TOKENIZER).parent.mkdir(parents=True, exist_ok=True)
        tokenizer.save(Path(folder) / TOKENIZER)
