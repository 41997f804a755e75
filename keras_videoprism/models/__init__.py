"""The encoder and the two-tower model that stands on it."""

from keras_videoprism.models.video_prism import VideoPrism
from keras_videoprism.models.video_prism_lvt import VideoPrismLvT

__all__ = ["VideoPrism", "VideoPrismLvT"]
