"""Pooling by cross-attention blocks over one feature map, or over several (MLAP)."""

from typing import Any

import keras
from keras import ops

from keras_videoprism.heads.cross_attention import CrossAttentionBlock
from keras_videoprism.layers.linear import Linear
from keras_videoprism.layers.typing import Tensor


class AttentionPooler(keras.layers.Layer):
    """Queries gather what a task needs from all tokens (VideoGLUE, equations 1 and 2).

    Each round is a block with its own weights. With several feature maps, each round attends to
    the next deeper one, and its queries are what the round before gave.

    Args:
        num_heads: attention heads.
        hidden_dim: width W of the queries.
        num_layers: k, the number of rounds and of feature maps.

    Call arguments:
        tokens: [B, S, D], or [B, k, S, D] from shallow to deep where k > 1.
        queries: [B, Q, D'], such as one for each box; None for one that is learned. Queries that
            are not W wide are projected.
        padding_mask: bool [B, S]; True for a token that counts.

    Returns:
        [B, W], or [B, Q, W] for given queries.

    Raises:
        ValueError: wrong number of feature maps, or queries where it was built without.
    """

    def __init__(self, num_heads: int, hidden_dim: int, num_layers: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.hidden_dim = hidden_dim
        self.num_layers = num_layers
        self.blocks = [
            CrossAttentionBlock(num_heads, dtype=self.dtype_policy, name=f"block_{i}")
            for i in range(num_layers)
        ]
        self.query: Any = None
        self.projection: Any = None

    def build(self, tokens_shape: tuple, queries_shape: tuple | None = None) -> None:
        if queries_shape is None:
            self.query = self.add_weight(
                name="query", shape=(1, self.hidden_dim), initializer="lecun_normal"
            )
        elif queries_shape[-1] != self.hidden_dim:
            self.projection = Linear(
                self.hidden_dim,
                kernel_initializer="lecun_normal",
                dtype=self.dtype_policy,
                name="projection",
            )
            self.projection.build(queries_shape)
        for block in self.blocks:
            block.build((None, None, self.hidden_dim), (None, None, tokens_shape[-1]))

    def call(self, tokens: Tensor, queries: Tensor = None, padding_mask: Tensor = None) -> Tensor:
        first, *deeper = self._feature_maps(tokens)
        if (queries is None) != (self.query is not None):
            raise ValueError(
                "a layer that was built with queries needs them, and one that was built without "
                f"learns its own; received queries={queries!r}."
            )
        if queries is None:  # that of the first round is the same for all clips
            query = ops.cast(self.query, self.compute_dtype)
            x = ops.expand_dims(self.blocks[0].pool(query, first, padding_mask), 1)  # [B, 1, W]
        else:
            x = queries if self.projection is None else self.projection(queries)  # [B, Q, W]
            x = self.blocks[0](x, first, padding_mask)
        for block, tokens in zip(self.blocks[1:], deeper, strict=True):
            x = block(x, tokens, padding_mask)
        return ops.squeeze(x, 1) if queries is None else x

    def _feature_maps(self, tokens: Tensor) -> list[Tensor]:
        """One [B, S, D] for each round."""
        maps = [tokens] if len(tokens.shape) == 3 else ops.unstack(tokens, axis=1)
        if len(maps) != self.num_layers:
            raise ValueError(
                f"a head of {self.num_layers} layers needs as many feature maps, [B, S, D] for one "
                f"layer and [B, num_layers, S, D] for more; received {tuple(tokens.shape)}."
            )
        return maps
