"""Transformer block in which queries attend to tokens (VideoGLUE, Yuan et al., 2023, figure 4)."""

from typing import Any

import keras
from keras import ops

from keras_videoprism.layers.attention import Attention
from keras_videoprism.layers.linear import Linear
from keras_videoprism.layers.transformer import gelu, layer_norm
from keras_videoprism.layers.typing import Tensor

MLP_RATIO = 4  # 768-3072-768, as in a ViT block


class CrossAttentionBlock(keras.layers.Layer):
    """Cross-attention and an MLP, each with LayerNorm before and a skip connection.

    The figure draws the order of the layers; the skip connections are those of a ViT block. Keys
    and values have a LayerNorm of their own, since they may be wider than the queries.

    Args:
        num_heads: attention heads.

    Call arguments:
        queries: [B, Q, W]; W is the total width of the heads too.
        tokens: [B, S, D].
        padding_mask: bool [B, S]; True for a token that counts.

    Returns:
        [B, Q, W].
    """

    def __init__(self, num_heads: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        dtype = self.dtype_policy
        self.query_norm = layer_norm("query_norm", dtype)
        self.token_norm = layer_norm("token_norm", dtype)
        self.attention = Attention(num_heads, dtype=dtype, name="attention")
        self.mlp_norm = layer_norm("mlp_norm", dtype)

    def build(self, queries_shape: tuple, tokens_shape: tuple) -> None:
        width = queries_shape[-1]
        hidden, output = (
            Linear(units, kernel_initializer="lecun_normal", dtype=self.dtype_policy, name=name)
            for name, units in (("mlp_hidden", MLP_RATIO * width), ("mlp_output", width))
        )
        self.mlp_hidden, self.mlp_output = hidden, output
        self.query_norm.build(queries_shape)
        self.token_norm.build(tokens_shape)
        self.attention.build(queries_shape, tokens_shape)
        self.mlp_norm.build(queries_shape)
        self.mlp_hidden.build(queries_shape)
        self.mlp_output.build((*queries_shape[:-1], MLP_RATIO * width))

    def call(self, queries: Tensor, tokens: Tensor, padding_mask: Tensor = None) -> Tensor:
        keys = None if padding_mask is None else ops.expand_dims(padding_mask, 1)
        attended = self.attention(
            self.query_norm(queries), self.token_norm(tokens), attention_mask=keys
        )
        return self._add_mlp(queries + attended)

    def pool(self, query: Tensor, tokens: Tensor, padding_mask: Tensor = None) -> Tensor:
        """One query [1, W] for the whole batch: what `call` gives, with less work.

        See `Attention.pool`.

        Returns:
            [B, W].
        """
        attended = self.attention.pool(
            self.query_norm(query), self.token_norm(tokens), attention_mask=padding_mask
        )
        return self._add_mlp(query + attended)

    def _add_mlp(self, x: Tensor) -> Tensor:
        return x + self.mlp_output(gelu(self.mlp_hidden(self.mlp_norm(x))))
