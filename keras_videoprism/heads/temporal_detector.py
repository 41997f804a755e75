"""Temporal action localisation: G-TAD on frozen features (paper, section 3.1 and Appendix E.1)."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_videoprism.heads.temporal_align import SubgraphAlign, candidates
from keras_videoprism.heads.temporal_graph import GCNeXt, convolution, nearest_neighbours
from keras_videoprism.heads.temporal_losses import localisation_losses
from keras_videoprism.heads.temporal_resize import resize_matrix
from keras_videoprism.heads.temporal_targets import candidate_mask
from keras_videoprism.layers.random import random_uniform
from keras_videoprism.layers.typing import Tensor

STEM_GROUPS = 4  # G-TAD: models.py
TARGETS = ("overlaps", "starts", "ends")


@keras.saving.register_keras_serializable(package="keras_videoprism")
class TemporalDetector(keras.Model):
    """Where in a video an action happens, whichever it is: G-TAD (Xu et al., 2020).

    The time steps of the video are the nodes of a graph. Two heads tell which steps begin and end
    an action. All segments from step to step are candidates; their aligned features tell how well
    each overlaps with an action. `temporal_decoding.decode` makes detections of it.

    5,563,268 parameters with 400 features, 5,633,924 with 768. With MLAP the features are those of
    the last four layers, side by side.

    Args:
        feature_dim: C, features of a time step; a multiple of 4.
        temporal_scale: T, time steps of a video; D = S = T below.
        hidden_dim: width of the graph; a multiple of 8.
        seed: of the candidates that count in a step of training.

    Call arguments:
        inputs: features [B, L, C], resized to T steps; or a dict with "features", and to train also
            the targets of `temporal_targets.segment_targets`.

    Returns:
        Probabilities, float32: "map" [B, 2, D, S] of the candidate from step s to s + d + 1, as
        its overlap with an action (regression) and as a complete action (classification), 0 where
        it leaves the video; "start" and "end" [B, T].

    Example:
        detector = TemporalDetector(feature_dim=768)
        detector.compile(keras.optimizers.AdamW(0.004, weight_decay=1e-4))
        detector.fit({"features": features, "overlaps": overlaps, "starts": starts, "ends": ends})
    """

    def __init__(
        self,
        feature_dim: int,
        temporal_scale: int = 100,
        hidden_dim: int = 256,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if feature_dim % STEM_GROUPS:
            raise ValueError(
                f"feature_dim must be a multiple of {STEM_GROUPS}. Received: {feature_dim}."
            )
        self.feature_dim = feature_dim
        self.temporal_scale = temporal_scale
        self.hidden_dim = hidden_dim
        self.seed = seed
        dtype = self.dtype_policy
        self.stem = convolution(hidden_dim, 3, STEM_GROUPS, name="stem", dtype=dtype)
        self.stem_graph = GCNeXt(hidden_dim, dtype=dtype, name="stem_graph")
        self.graph = GCNeXt(hidden_dim, dtype=dtype, name="graph")
        self.boundary_graphs = {
            name: GCNeXt(hidden_dim, dtype=dtype, name=f"{name}_graph") for name in ("start", "end")
        }
        self.boundary_logits = {
            name: convolution(1, name=f"{name}_logits", dtype=dtype) for name in ("start", "end")
        }
        self.align = SubgraphAlign(2 * hidden_dim, dtype=dtype, name="align")
        widths = 3 * [hidden_dim // 2]  # over candidates, as 1 x 1 convolutions of the map
        self.candidate_layers = [
            convolution(width, name=f"candidates_{i}", dtype=dtype)
            for i, width in enumerate([*widths, 2])
        ]
        self._build()

    def _build(self) -> None:
        shape = (None, self.temporal_scale, self.hidden_dim)
        self.stem.build((*shape[:2], self.feature_dim))
        for layer in (
            self.stem_graph,
            self.graph,
            *self.boundary_graphs.values(),
            *self.boundary_logits.values(),
            self.align,
        ):
            layer.build(shape)
        width = self.align.units
        for layer in self.candidate_layers:
            layer.build((None, None, width))
            width = layer.filters
        self.step = self.add_weight(
            name="step", shape=(), dtype="int32", initializer="zeros", trainable=False
        )
        self.built = True

    def call(self, inputs: Tensor | dict[str, Tensor]) -> dict[str, Tensor]:
        features = inputs["features"] if isinstance(inputs, dict) else inputs
        self._check_features(features)
        x = ops.cast(features, self.compute_dtype)
        if x.shape[1] != self.temporal_scale:
            matrix = resize_matrix(x.shape[1], self.temporal_scale)
            x = ops.matmul(ops.cast(matrix, x.dtype), x)  # [B, T, C]
        x = self.stem_graph(ops.relu(self.stem(x)))
        return {
            "map": self._candidate_map(self.graph(x)),
            "start": self._boundary("start", x),
            "end": self._boundary("end", x),
        }

    def _boundary(self, name: str, x: Tensor) -> Tensor:
        logits = self.boundary_logits[name](self.boundary_graphs[name](x))
        return _probability(ops.squeeze(logits, -1))

    def _candidate_map(self, x: Tensor) -> Tensor:
        context = ops.mean(nearest_neighbours(x), axis=2)
        y = self.align(x, context)  # [B, M, U]
        for layer in self.candidate_layers:
            y = layer(ops.relu(y))
        y = ops.pad(_probability(y), ((0, 0), (0, 1), (0, 0)))  # the last is outside of the video
        y = ops.take(y, _positions(self.temporal_scale), axis=1)  # [B, D, S, 2]
        return ops.transpose(y, (0, 3, 1, 2))

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Tensor:
        """Sum of the losses of `temporal_losses`; `x` holds the targets."""
        missing = [name for name in TARGETS if name not in x]
        if missing:
            raise ValueError(
                f"Batches lack {missing}; received the keys {sorted(x)}. "
                "Add the arrays of temporal_targets.segment_targets."
            )
        losses = localisation_losses(
            y_pred,
            {name: ops.cast(x[name], "float32") for name in TARGETS},
            self._draws(ops.shape(y_pred["start"])[0]),
            candidate_mask(self.temporal_scale),
        )
        if training:
            self.step.assign_add(1)
        return losses["total"]

    def _draws(self, batch_size: int) -> Tensor:
        """Uniform numbers [B, D, S], the same on every backend for the same seed and step."""
        size = self.temporal_scale
        draws = random_uniform(self.seed, self.step, ops.arange(batch_size), size * size)
        return ops.reshape(draws, (-1, size, size))

    def _check_features(self, features: Tensor) -> None:
        if len(features.shape) != 3 or features.shape[-1] != self.feature_dim:
            raise ValueError(
                f"Features must be [B, L, {self.feature_dim}]. "
                f"Received shape {tuple(features.shape)}."
            )

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "feature_dim": self.feature_dim,
            "temporal_scale": self.temporal_scale,
            "hidden_dim": self.hidden_dim,
            "seed": self.seed,
        }


def _probability(logits: Tensor) -> Tensor:
    return ops.sigmoid(ops.cast(logits, "float32"))


def _positions(temporal_scale: int) -> np.ndarray:
    """Index [D, S] of each candidate among all; the one after the last for those outside."""
    durations, starts = candidates(temporal_scale)
    positions = np.full((temporal_scale, temporal_scale), len(starts), "int32")
    positions[durations, starts] = np.arange(len(starts))
    return positions
