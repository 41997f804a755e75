"""Weights of other implementations."""

from keras_videoprism.converters.flax import from_flax

__all__ = ["from_flax"]
