"""From scores and embeddings to numbers: knows neither models nor data."""

from keras_videoprism.evaluation import (
    detection,
    language,
    metrics,
    paper,
    retrieval,
    temporal,
    videoglue,
    zero_shot,
)

__all__ = [
    "detection",
    "language",
    "metrics",
    "paper",
    "retrieval",
    "temporal",
    "videoglue",
    "zero_shot",
]
