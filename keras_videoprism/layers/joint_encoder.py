"""Joint space-time encoder, the alternative of Table 24."""

from typing import Any, NamedTuple

import keras
from keras import ops

from keras_videoprism.layers.factorized_encoder import FactorizedEncoder, grid_of, token_shape
from keras_videoprism.layers.masking import BlockVisible, TubeVisible
from keras_videoprism.layers.patch_embedding import PatchEmbedding
from keras_videoprism.layers.position_embedding import LearnedPositionEmbedding
from keras_videoprism.layers.transformer import Transformer, layer_norm
from keras_videoprism.layers.typing import Tensor

# Attention over T*N tokens: 12 heads x 4096 x 4096 float32 logits are 805 MB a clip and layer,
# 12 x 256 x 4096 are 50 MB.
QUERY_CHUNK = 256


class JointFeatures(NamedTuple):
    """Tokens and what lies before them, each [B, T*N, D].

    layers: outputs of all layers, before the last LayerNorm.
    """

    tokens: Tensor
    layers: list[Tensor]


@keras.saving.register_keras_serializable(package="keras_videoprism")
class JointEncoder(keras.layers.Layer):
    """Attention over all tokens of a clip at once (Table 24; ViViT's model 1, Arnab et al., 2021).

    Tables of places and of times are added to the patches, and one Transformer has as many layers
    as both of `FactorizedEncoder`: the parameters are the same but for one LayerNorm.

    Args:
        patch_size: side of a patch in pixels.
        position_shape: native (frames, rows, columns) of the position tables, in patches.
        hidden_dim: width D of the tokens.
        num_spatial_layers, num_temporal_layers: their sum is the number of layers.
        num_heads, mlp_dim: size of the Transformer.
        logit_cap: bound of the attention logits; None for no bound.
        query_chunk_size: see `Attention`; bounds memory for thousands of tokens.

    Call arguments: see `FactorizedEncoder`; `return_features` gives `JointFeatures`.

    Returns:
        [B, T*N, D], or [B, K, D] for K visible tokens.

    Raises:
        ValueError: wrong rank, channels, or a size that is no multiple of the patch.
    """

    def __init__(
        self,
        patch_size: int,
        position_shape: tuple[int, int, int],
        hidden_dim: int,
        num_spatial_layers: int,
        num_temporal_layers: int,
        num_heads: int,
        mlp_dim: int,
        logit_cap: float | None = 50.0,
        query_chunk_size: int | None = QUERY_CHUNK,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.patch_size = patch_size
        self.hidden_dim = hidden_dim
        dtype = self.dtype_policy
        self.patch_embedding = PatchEmbedding(
            hidden_dim, patch_size, dtype=dtype, name="patch_embedding"
        )
        self.spatial_position = LearnedPositionEmbedding(
            position_shape[1:], hidden_dim, dtype=dtype, name="spatial_position"
        )
        self.temporal_position = LearnedPositionEmbedding(
            position_shape[:1], hidden_dim, dtype=dtype, name="temporal_position"
        )
        self.joint_encoder = Transformer(
            num_spatial_layers + num_temporal_layers,
            num_heads=num_heads,
            mlp_dim=mlp_dim,
            logit_cap=logit_cap,
            query_chunk_size=query_chunk_size,
            dtype=dtype,
            name="joint_encoder",
        )
        self.norm = layer_norm("norm", dtype)

    def build(self, input_shape: tuple) -> None:
        self.patch_embedding.build(input_shape)
        self.spatial_position.build()
        self.temporal_position.build()
        self.joint_encoder.build((None, None, self.hidden_dim))
        self.norm.build((None, None, self.hidden_dim))

    def call(
        self,
        videos: Tensor,
        frame_mask: Tensor = None,
        visible: Tensor | TubeVisible | BlockVisible = None,
        return_features: bool = False,
    ) -> Tensor | JointFeatures:
        if return_features and visible is not None:
            raise ValueError("return_features=True needs visible=None.")
        grid = self.grid(videos)
        x = self.patch_embedding(videos)  # [B, T, N, D]
        time = ops.expand_dims(self.temporal_position.resize(grid[:1]), 1)  # [T, 1, D]
        x = x + (self.spatial_position.resize(grid[1:]) + time)
        x = ops.reshape(x, (-1, grid[0] * grid[1] * grid[2], self.hidden_dim))  # [B, T*N, D]
        real = None
        if frame_mask is not None:
            real = ops.repeat(frame_mask, grid[1] * grid[2], axis=1)  # [B, T*N]
        if visible is not None:
            positions = visible if not hasattr(visible, "positions") else visible.positions(grid)
            x = ops.take_along_axis(x, ops.expand_dims(positions, 2), axis=1)  # [B, K, D]
            real = None if real is None else ops.take_along_axis(real, positions, axis=1)
        keys = None if real is None else ops.expand_dims(real, 1)
        layers = self.joint_encoder(x, attention_mask=keys, padding_mask=real, return_layers=True)
        tokens = self.norm(layers[-1])
        return JointFeatures(tokens, layers) if return_features else tokens

    def grid(self, videos: Tensor) -> tuple[int, int, int]:
        """(T, rows, columns) of videos [B, T, H, W, 3], in patches."""
        return grid_of(videos, self.patch_size)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return token_shape(input_shape, self.patch_size, self.hidden_dim)

    def compute_output_spec(self, videos: Tensor, **kwargs: Any) -> keras.KerasTensor:
        return keras.KerasTensor(self.compute_output_shape(videos.shape), dtype=self.compute_dtype)


Encoder = FactorizedEncoder | JointEncoder
