"""Heads on the frozen encoder."""

from keras_videoprism.heads.classifier import VideoClassifier

__all__ = ["VideoClassifier"]
