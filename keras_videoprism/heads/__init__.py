"""Heads on the frozen encoder."""

from keras_videoprism.models.video_classifier import VideoClassifier

__all__ = ["VideoClassifier"]
