"""Any number of video tokens -> a fixed number of tokens for a language model (Appendix G)."""

from typing import Any

import keras
from keras import ops

from keras_videoprism.layers.linear import Linear
from keras_videoprism.layers.transformer import layer_norm
from keras_videoprism.layers.typing import Tensor

MLP_RATIO = 4  # Flamingo, section A.1.1
LATENT_STDDEV = 0.02  # as wide as the token embeddings of GPT-2


class ResamplerBlock(keras.layers.Layer):
    """Latents attend to the video tokens, then pass an MLP; both with a skip connection.

    It differs from Flamingo's block in two ways (Appendix G): queries and keys have a LayerNorm
    each, and the keys are the video tokens alone, without the latents.

    Args:
        num_heads: attention heads.
        head_dim: width of a head.

    Call arguments:
        latents: [B, Q, W].
        tokens: [B, S, D].
        padding_mask: bool [B, S]; True for a token that counts.

    Returns:
        [B, Q, W].
    """

    def __init__(self, num_heads: int, head_dim: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        dtype = self.dtype_policy
        self.query_norm = layer_norm("query_norm", dtype)
        self.token_norm = layer_norm("token_norm", dtype)
        self.attention = keras.layers.MultiHeadAttention(
            num_heads, head_dim, use_bias=False, dtype=dtype, name="attention"
        )
        self.mlp_norm = layer_norm("mlp_norm", dtype)

    def build(self, latents_shape: tuple, tokens_shape: tuple) -> None:
        width = latents_shape[-1]
        self.mlp_hidden, self.mlp_output = (
            Linear(units, use_bias=False, dtype=self.dtype_policy, name=name)
            for name, units in (("mlp_hidden", MLP_RATIO * width), ("mlp_output", width))
        )
        self.query_norm.build(latents_shape)
        self.token_norm.build(tokens_shape)
        self.attention.build(latents_shape, tokens_shape)
        self.mlp_norm.build(latents_shape)
        self.mlp_hidden.build(latents_shape)
        self.mlp_output.build((*latents_shape[:-1], MLP_RATIO * width))

    def call(self, latents: Tensor, tokens: Tensor, padding_mask: Tensor = None) -> Tensor:
        keys = None if padding_mask is None else ops.expand_dims(padding_mask, 1)
        x = latents + self.attention(
            self.query_norm(latents), self.token_norm(tokens), attention_mask=keys
        )
        hidden = ops.square(ops.relu(self.mlp_hidden(self.mlp_norm(x))))  # Flamingo's activation
        return x + self.mlp_output(hidden)


@keras.saving.register_keras_serializable(package="keras_videoprism")
class PerceiverResampler(keras.layers.Layer):
    """Learned latents gather the content of a video (Appendix G).

    Args:
        hidden_dim: width W of the latents; that of the language model.
        num_latents: Q, the number of tokens that stand for a video.
        num_layers: number of blocks; 1, 3 and 6 in the paper, of which 1 works best.
        num_heads, head_dim: of the attention.

    Call arguments:
        tokens: [B, S, D], of any S.
        padding_mask: bool [B, S]; True for a token that counts.

    Returns:
        [B, Q, W].

    Raises:
        ValueError: a size below 1.

    Example:

    >>> resampler = PerceiverResampler(hidden_dim=1152)
    >>> prefix = resampler(np.zeros((1, 4096, 768), "float32"))   # [1, 256, 1152]
    """

    def __init__(
        self,
        hidden_dim: int,
        num_latents: int = 256,
        num_layers: int = 1,
        num_heads: int = 8,
        head_dim: int = 64,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._sizes = {
            "hidden_dim": hidden_dim,
            "num_latents": num_latents,
            "num_layers": num_layers,
            "num_heads": num_heads,
            "head_dim": head_dim,
        }
        for name, value in self._sizes.items():
            if value < 1:
                raise ValueError(f"{name} must be at least 1; received {value}.")
        self.hidden_dim = hidden_dim
        self.num_latents = num_latents
        self.blocks = [
            ResamplerBlock(num_heads, head_dim, dtype=self.dtype_policy, name=f"block_{i}")
            for i in range(num_layers)
        ]

    def build(self, tokens_shape: tuple) -> None:
        self.token_dim = tokens_shape[-1]
        self.latents = self.add_weight(
            name="latents",
            shape=(self.num_latents, self.hidden_dim),
            initializer=keras.initializers.RandomNormal(stddev=LATENT_STDDEV),
        )
        for block in self.blocks:
            block.build((None, self.num_latents, self.hidden_dim), tokens_shape)

    def call(self, tokens: Tensor, padding_mask: Tensor = None) -> Tensor:
        x = ops.cast(self.latents, self.compute_dtype)
        x = ops.broadcast_to(x, (ops.shape(tokens)[0], *x.shape))  # [B, Q, W]
        for block in self.blocks:
            x = block(x, tokens, padding_mask=padding_mask)
        return x

    def compute_output_shape(self, tokens_shape: tuple) -> tuple:
        return (tokens_shape[0], self.num_latents, self.hidden_dim)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **self._sizes}
