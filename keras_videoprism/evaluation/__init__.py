"""From scores and embeddings to numbers: knows neither models nor data."""

from keras_videoprism.evaluation import (
    detection,
    metrics,
    paper,
    retrieval,
    temporal,
    videoglue,
    zero_shot,
)

__all__ = ["detection", "metrics", "paper", "retrieval", "temporal", "videoglue", "zero_shot"]
