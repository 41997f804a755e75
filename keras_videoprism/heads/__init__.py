"""What turns the tokens of an encoder into answers."""

from keras_videoprism.heads.action_detector import ActionDetector, ActionLoss
from keras_videoprism.heads.adaptation import AdaptedVideoPrism
from keras_videoprism.heads.captioner import VideoCaptioner
from keras_videoprism.heads.classifier import AttentionClassifier
from keras_videoprism.heads.perceiver_resampler import PerceiverResampler
from keras_videoprism.heads.temporal_detector import TemporalDetector
from keras_videoprism.models.video_classifier import VideoClassifier

__all__ = [
    "ActionDetector",
    "ActionLoss",
    "AdaptedVideoPrism",
    "AttentionClassifier",
    "PerceiverResampler",
    "TemporalDetector",
    "VideoCaptioner",
    "VideoClassifier",
]
