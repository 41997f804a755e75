"""Weights of other implementations."""

from keras_videoprism.converters.flax import from_flax
from keras_videoprism.converters.image_text import freeze_spatial, initialize
from keras_videoprism.converters.keras_hub import from_keras_hub, to_keras_hub
from keras_videoprism.converters.transformers import from_transformers, to_transformers

__all__ = [
    "freeze_spatial",
    "from_flax",
    "from_keras_hub",
    "from_transformers",
    "initialize",
    "to_keras_hub",
    "to_transformers",
]
