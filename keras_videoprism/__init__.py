"""VideoPrism in Keras 3: train, adapt, evaluate and publish a frozen video encoder."""

import importlib
from typing import Any

__version__ = "0.1.0"

# Loaded at first use: `import keras_videoprism` alone needs no TensorFlow and takes no time.
_CLASSES = {
    "VideoClassifier": "keras_videoprism.models",
    "VideoPrism": "keras_videoprism.models",
    "VideoPrismLvT": "keras_videoprism.models",
    "Stage1Model": "keras_videoprism.training",
    "Stage2Model": "keras_videoprism.training",
}
_MODULES = {
    "converters": "keras_videoprism.converters",
    "data": "keras_videoprism.data",
    "evaluation": "keras_videoprism.evaluation",
    "heads": "keras_videoprism.heads",
    "layers": "keras_videoprism.layers",
    "models": "keras_videoprism.models",
    "presets": "keras_videoprism.presets",
    "recipes": "keras_videoprism.training.recipes",
    "training": "keras_videoprism.training",
}

__all__ = [*_CLASSES, *_MODULES]


def __getattr__(name: str) -> Any:
    if name in _CLASSES:
        return getattr(importlib.import_module(_CLASSES[name]), name)
    if name in _MODULES:
        return importlib.import_module(_MODULES[name])
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
