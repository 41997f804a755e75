"""Global decoder of stage 2 (Table 11, column "Global")."""

from typing import Any

import keras

from keras_videoprism.layers.linear import Linear
from keras_videoprism.layers.map_pooler import MAPPooler
from keras_videoprism.layers.transformer import Transformer, layer_norm
from keras_videoprism.layers.typing import Tensor


@keras.saving.register_keras_serializable(package="keras_videoprism")
class GlobalDecoder(keras.layers.Layer):
    """Predicts the teacher's global embedding from the visible tokens (Appendix C.2).

    A Transformer without position embedding or shuffling, then a MAP layer.

    Args:
        output_dim: width of the teacher's embedding.
        hidden_dim, num_layers, num_heads, mlp_dim: size of the Transformer.
        pooler_heads: heads of the MAP layer, whose width is 4 * output_dim as in stage 1.

    Call arguments:
        tokens: [B, K, D], the visible tokens.

    Returns:
        [B, output_dim].
    """

    def __init__(
        self,
        output_dim: int,
        pooler_heads: int,
        hidden_dim: int = 512,
        num_layers: int = 4,
        num_heads: int = 8,
        mlp_dim: int = 2048,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        dtype = self.dtype_policy
        self.input_projection = Linear(
            hidden_dim, kernel_initializer="lecun_normal", dtype=dtype, name="input_projection"
        )
        self.transformer = Transformer(
            num_layers, num_heads=num_heads, mlp_dim=mlp_dim, dtype=dtype, name="transformer"
        )
        self.norm = layer_norm("norm", dtype)
        self.output_projection = Linear(
            output_dim, kernel_initializer="lecun_normal", dtype=dtype, name="output_projection"
        )
        self.pooler = MAPPooler(pooler_heads, 4 * output_dim, dtype=dtype, name="pooler")

    def build(self, tokens_shape: tuple) -> None:
        self.input_projection.build(tokens_shape)
        hidden_shape = (None, None, self.input_projection.units)
        self.transformer.build(hidden_shape)
        self.norm.build(hidden_shape)
        self.output_projection.build(hidden_shape)
        self.pooler.build((None, None, self.output_projection.units))

    def call(self, tokens: Tensor) -> Tensor:
        x = self.transformer(self.input_projection(tokens))
        return self.pooler(self.output_projection(self.norm(x)))
