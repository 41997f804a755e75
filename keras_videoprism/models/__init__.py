"""The encoder and the models that stand on it."""

from keras_videoprism.models.video_classifier import VideoClassifier
from keras_videoprism.models.video_prism import VideoPrism
from keras_videoprism.models.video_prism_lvt import VideoPrismLvT

__all__ = ["VideoClassifier", "VideoPrism", "VideoPrismLvT"]
