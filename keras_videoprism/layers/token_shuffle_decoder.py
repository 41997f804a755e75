"""Local decoder of stage 2 (Table 11, column "Local"; Algorithm 1)."""

from typing import Any

import keras
from keras import ops

from keras_videoprism.layers.linear import Linear
from keras_videoprism.layers.position_embedding import LearnedPositionEmbedding
from keras_videoprism.layers.transformer import Transformer, layer_norm
from keras_videoprism.layers.typing import Tensor


@keras.saving.register_keras_serializable(package="keras_videoprism")
class TokenShuffleDecoder(keras.layers.Layer):
    """Predicts the teacher's token at every position from the student's visible tokens.

    Mask tokens are appended to the visible tokens, the sequence is shuffled, and only then the
    position table is added: slot i must predict the token of position i, wherever the content of
    that position was moved to.

    Args:
        output_dim: width of the teacher's tokens.
        position_shape: native (frames, rows, columns) of the position tables, in patches.
        hidden_dim, num_layers, num_heads, mlp_dim: size of the Transformer (512, 4, 8, 2048 for
            the paper's models; the number of heads is our choice).
        query_chunk_size: see `Attention`; bounds memory for thousands of tokens.

    Call arguments:
        tokens: [B, K, D], the visible tokens.
        slots: int [B, T*N], the token that each slot receives, K for the mask token:
            `slots_shuffled` for Algorithm 1, `slots_in_place` for no shuffling.
        grid: (T, rows, columns) of the clip, in patches.

    Returns:
        [B, T*N, output_dim], in raster order of the positions.
    """

    def __init__(
        self,
        output_dim: int,
        position_shape: tuple[int, int, int],
        hidden_dim: int = 512,
        num_layers: int = 4,
        num_heads: int = 8,
        mlp_dim: int = 2048,
        query_chunk_size: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        dtype = self.dtype_policy
        self.hidden_dim = hidden_dim
        self.input_projection = Linear(
            hidden_dim, kernel_initializer="lecun_normal", dtype=dtype, name="input_projection"
        )
        self.spatial_position = LearnedPositionEmbedding(
            position_shape[1:], hidden_dim, dtype=dtype, name="spatial_position"
        )
        self.temporal_position = LearnedPositionEmbedding(
            position_shape[:1], hidden_dim, dtype=dtype, name="temporal_position"
        )
        self.transformer = Transformer(
            num_layers,
            num_heads=num_heads,
            mlp_dim=mlp_dim,
            query_chunk_size=query_chunk_size,
            dtype=dtype,
            name="transformer",
        )
        self.norm = layer_norm("norm", dtype)
        self.output_projection = Linear(
            output_dim, kernel_initializer="lecun_normal", dtype=dtype, name="output_projection"
        )

    def build(self, tokens_shape: tuple, slots_shape: tuple | None = None) -> None:
        self.input_projection.build(tokens_shape)
        self.mask_token = self.add_weight(
            name="mask_token",
            shape=(1, 1, self.hidden_dim),
            initializer=keras.initializers.RandomNormal(stddev=0.02),
        )
        self.spatial_position.build()
        self.temporal_position.build()
        for layer in (self.transformer, self.norm, self.output_projection):
            layer.build((None, None, self.hidden_dim))

    def call(self, tokens: Tensor, slots: Tensor, grid: tuple[int, int, int]) -> Tensor:
        x = self.input_projection(tokens)  # [B, K, hidden_dim]
        mask_token = ops.repeat(ops.cast(self.mask_token, x.dtype), ops.shape(x)[0], axis=0)
        x = ops.concatenate([x, mask_token], axis=1)  # the slot K
        x = ops.take_along_axis(x, ops.expand_dims(slots, 2), axis=1)  # [B, T*N, hidden_dim]
        x = x + self._positions(grid)
        return self.output_projection(self.norm(self.transformer(x)))

    def _positions(self, grid: tuple[int, int, int]) -> Tensor:
        """[T*N, hidden_dim]."""
        time = ops.expand_dims(self.temporal_position.resize(grid[:1]), 1)
        space = ops.expand_dims(self.spatial_position.resize(grid[1:]), 0)
        return ops.reshape(time + space, (-1, self.hidden_dim))
