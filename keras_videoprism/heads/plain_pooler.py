"""The attention pooler of VideoGLUE's TensorFlow code."""

from typing import Any

import keras
from keras import ops

from keras_videoprism.layers.transformer import layer_norm
from keras_videoprism.layers.typing import Tensor


class PlainPooler(keras.layers.Layer):
    """One learned query attends to normalised tokens; no skip connection and no MLP follow.

    The query is not normalised and begins at zero, so that at first all tokens weigh the same
    (`AttentionPoolerClassificationHead` in official/projects/videoglue/modeling/heads/simple.py
    of tensorflow/models; its temporal position embedding is off in every recipe).

    Args:
        num_heads: attention heads.
        hidden_dim: total width of the heads.

    Call arguments:
        tokens: [B, S, D].
        padding_mask: bool [B, S]; True for a token that counts.

    Returns:
        [B, D].
    """

    def __init__(self, num_heads: int, hidden_dim: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.norm = layer_norm("norm", self.dtype_policy)
        # Keras' own layer, for the sake of its initial weights.
        self.attention = keras.layers.MultiHeadAttention(
            num_heads, hidden_dim // num_heads, dtype=self.dtype_policy, name="attention"
        )

    def build(self, input_shape: tuple) -> None:
        width = input_shape[-1]
        self.query = self.add_weight(name="query", shape=(1, 1, width), initializer="zeros")
        self.norm.build(input_shape)
        self.attention.build((None, 1, width), (None, None, width))

    def call(self, tokens: Tensor, padding_mask: Tensor = None) -> Tensor:
        query = ops.cast(self.query, self.compute_dtype)
        query = ops.repeat(query, ops.shape(tokens)[0], axis=0)  # [B, 1, D]
        keys = None if padding_mask is None else ops.expand_dims(padding_mask, 1)
        pooled = self.attention(query, self.norm(tokens), attention_mask=keys)
        return ops.squeeze(pooled, 1)
