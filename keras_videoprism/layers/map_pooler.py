"""Multi-head attention pooling (MAP)."""

from typing import Any

import keras
from keras import ops

from keras_videoprism.layers.attention import Attention
from keras_videoprism.layers.transformer import layer_norm
from keras_videoprism.layers.typing import Tensor


@keras.saving.register_keras_serializable(package="keras_videoprism")
class MAPPooler(keras.layers.Layer):
    """One learned query attends to all tokens; LayerNorm follows (paper, section 2.3.1).

    The query scale is learned per dimension and the logits are not capped, as in the official
    code. There is no skip connection and no MLP.

    Args:
        num_heads: attention heads.
        hidden_dim: total width of the heads: 4D for the contrastive embedding, D for a classifier.

    Call arguments:
        tokens: [B, S, D].
        padding_mask: bool [B, S]; True for a token that counts.

    Returns:
        [B, D].
    """

    def __init__(self, num_heads: int, hidden_dim: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.hidden_dim = hidden_dim
        self.attention = Attention(
            num_heads,
            hidden_dim=hidden_dim,
            per_dim_scale=True,
            dtype=self.dtype_policy,
            name="attention",
        )
        self.norm = layer_norm("norm", self.dtype_policy)

    def build(self, input_shape: tuple) -> None:
        width = input_shape[-1]
        self.query = self.add_weight(name="query", shape=(1, width), initializer="lecun_normal")
        self.attention.build((input_shape[0], 1, width), input_shape)
        self.norm.build((input_shape[0], width))

    def call(self, tokens: Tensor, padding_mask: Tensor = None) -> Tensor:
        query = ops.cast(self.query, tokens.dtype)  # [1, D]
        return self.norm(self.attention.pool(query, tokens, attention_mask=padding_mask))

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return (input_shape[0], input_shape[-1])
