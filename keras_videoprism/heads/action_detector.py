"""Spatiotemporal action localisation: the actions in given boxes (Appendix E.1)."""

import math
from typing import Any

import keras
from keras import ops

from keras_videoprism.heads.classifier import AttentionClassifier
from keras_videoprism.layers.roi_align import roi_align
from keras_videoprism.layers.typing import Tensor

CROP_SIZE = 7  # VideoGLUE's TensorFlow code, modeling/heads/action_transformer.py


@keras.saving.register_keras_serializable(package="keras_videoprism")
class ActionDetector(keras.layers.Layer):
    """Each box asks all tokens of the clip what happens in it.

    RoIAlign on the tokens' mean over time gives one vector for each box, the maximum over its
    cells. The vector is the query of a Transformer layer over all tokens, and a linear classifier
    follows (`AttentionClassifier`).

    Args:
        num_classes: C, the number of actions; a box may show several.
        grid: (T, rows, columns) of the clips, in patches.
        num_heads, hidden_dim, num_layers, dropout: see `AttentionClassifier`. With several layers
            the boxes are cut from the deepest feature map.

    Call arguments:
        tokens: [B, S, D], or [B, k, S, D] from shallow to deep where k > 1; S = T * rows * columns.
        boxes: [B, N, 4], (ymin, xmin, ymax, xmax) in [0, 1]; N may be 0.
        box_mask: bool [B, N]; False for what fills up. Whatever stands there is not read.
        padding_mask: bool [B, S]; True for a token that counts.

    Returns:
        Logits [B, N, C].

    Raises:
        ValueError: tokens that do not fill the grid, or boxes of a wrong shape.

    Example:

    >>> head = ActionDetector(num_classes=80, grid=(16, 16, 16))
    >>> boxes = np.array([[[0.1, 0.2, 0.9, 0.5]]], "float32")
    >>> logits = head(np.zeros((1, 4096, 768), "float32"), boxes)
    """

    variant = "paper"

    def __init__(
        self,
        num_classes: int,
        grid: tuple[int, int, int],
        num_heads: int = 12,
        hidden_dim: int = 768,
        num_layers: int = 1,
        dropout: float = 0.5,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if len(grid) != 3 or min(grid) < 1:
            raise ValueError(f"grid must be (frames, rows, columns) in patches; received {grid}.")
        self.num_classes = num_classes
        self.grid = (*grid,)
        self.num_heads = num_heads
        self.hidden_dim = hidden_dim
        self.num_layers = num_layers
        self.dropout_rate = dropout
        self.classifier = AttentionClassifier(
            num_classes,
            num_heads,
            hidden_dim,
            num_layers=num_layers,
            dropout=dropout,
            dtype=self.dtype_policy,
            name="classifier",
        )

    def build(self, tokens_shape: tuple) -> None:
        self.classifier.build(tokens_shape, (None, None, tokens_shape[-1]))

    def call(
        self, tokens: Tensor, boxes: Tensor, box_mask: Tensor = None, padding_mask: Tensor = None
    ) -> Tensor:
        self._check(tokens, boxes)
        if boxes.shape[1] == 0:  # no backend can reshape nothing
            boxes = ops.zeros((ops.shape(tokens)[0], 1, 4))
            return self.call(tokens, boxes, None, padding_mask)[:, :0]
        if box_mask is not None:
            boxes = ops.where(ops.expand_dims(box_mask, -1), boxes, 0.0)
        queries = self._box_vectors(tokens, boxes, padding_mask)  # [B, N, D]
        return self.classifier(tokens, queries=queries, padding_mask=padding_mask)

    def _box_vectors(self, tokens: Tensor, boxes: Tensor, padding_mask: Tensor) -> Tensor:
        deepest = tokens if len(tokens.shape) == 3 else tokens[:, -1]
        shape = (-1, *self.grid, deepest.shape[-1])
        features = ops.reshape(deepest, shape)  # [B, T, h, w, D]
        if padding_mask is None:
            features = ops.mean(features, axis=1)
        else:
            mask = ops.cast(ops.reshape(padding_mask, (-1, *self.grid, 1)), features.dtype)
            total = ops.maximum(ops.sum(mask, axis=1), 1.0)
            features = ops.sum(features * mask, axis=1) / total
        crops = roi_align(features, boxes, CROP_SIZE)  # [B, N, 7, 7, D]
        return ops.max(crops, axis=(2, 3))

    def _check(self, tokens: Tensor, boxes: Tensor) -> None:
        if tokens.shape[-2] not in (None, math.prod(self.grid)):
            raise ValueError(
                f"the grid {self.grid} has {math.prod(self.grid)} tokens; received "
                f"{tuple(tokens.shape)}. Make the detector with the grid of these clips."
            )
        if len(boxes.shape) != 3 or boxes.shape[-1] != 4:
            raise ValueError(
                "boxes must be [batch, boxes, 4], each (ymin, xmin, ymax, xmax) in [0, 1]; "
                f"received {tuple(boxes.shape)}."
            )

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "grid": self.grid,
            "num_heads": self.num_heads,
            "hidden_dim": self.hidden_dim,
            "num_layers": self.num_layers,
            "dropout": self.dropout_rate,
        }


@keras.saving.register_keras_serializable(package="keras_videoprism")
class ActionLoss(keras.losses.Loss):
    """Binary cross-entropy, summed over the actions and averaged over the boxes that count.

    The sum is VideoGLUE's "mean times the number of classes". Pass `box_mask` as `sample_weight`;
    a batch without any box has the loss 0.

    Call arguments:
        y_true: [B, N, C], 1 for each action of a box.
        y_pred: logits [B, N, C].
    """

    def __init__(self, name: str = "action_loss", **kwargs: Any) -> None:
        super().__init__(name=name, reduction="mean_with_sample_weight", **kwargs)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        entropy = ops.binary_crossentropy(y_true, y_pred, from_logits=True)
        return ops.sum(entropy, axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name}
