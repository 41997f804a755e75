"""From scores and embeddings to numbers: knows neither models nor data."""

from keras_videoprism.evaluation import metrics, retrieval, zero_shot

__all__ = ["metrics", "retrieval", "zero_shot"]
