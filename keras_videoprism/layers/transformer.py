"""Pre-norm Transformer block and stack."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import keras
from keras import ops

from keras_videoprism.layers.attention import Attention
from keras_videoprism.layers.linear import Linear
from keras_videoprism.layers.typing import Tensor

LAYER_NORM_EPSILON = 1e-6  # official code, every model


def layer_norm(name: str, dtype: Any = None) -> keras.layers.LayerNormalization:
    """LayerNorm as all parts of VideoPrism use it."""
    return keras.layers.LayerNormalization(epsilon=LAYER_NORM_EPSILON, name=name, dtype=dtype)


class TransformerBlock(keras.layers.Layer):
    """Self-attention and an MLP, each with LayerNorm before and a skip connection.

    Args:
        num_heads: attention heads.
        mlp_dim: hidden width of the MLP.
        activation: "gelu" (exact; video) or "relu" (text).
        logit_cap, query_chunk_size: see `Attention`.
        norm_policy: "pre", or "primer_hybrid", which normalises after each branch too (text tower
            of the giant model).

    Call arguments:
        x: [B, S, D].
        attention_mask: bool, broadcastable to [B, S, S]; True where a query may attend.
        padding_mask: bool [B, S]; the MLP adds nothing where it is False.

    Attributes:
        adapter: function of the normalised input of the MLP, added to its output; None for none.
    """

    adapter: Callable[[Tensor], Tensor] | None = None

    def __init__(
        self,
        num_heads: int,
        mlp_dim: int,
        activation: str = "gelu",
        logit_cap: float | None = None,
        query_chunk_size: int | None = None,
        norm_policy: str = "pre",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if norm_policy not in ("pre", "primer_hybrid"):
            raise ValueError(
                f"norm_policy must be 'pre' or 'primer_hybrid'; received {norm_policy!r}."
            )
        self.activation = {"gelu": gelu, "relu": ops.relu}[activation]
        dtype = self.dtype_policy
        self.attention_norm = layer_norm("attention_norm", dtype)
        self.attention = Attention(
            num_heads,
            logit_cap=logit_cap,
            query_chunk_size=query_chunk_size,
            dtype=dtype,
            name="attention",
        )
        self.mlp_norm = layer_norm("mlp_norm", dtype)
        self.mlp_hidden = Linear(
            mlp_dim, kernel_initializer="lecun_normal", dtype=dtype, name="mlp_hidden"
        )
        self.post_norms: tuple = ()
        if norm_policy == "primer_hybrid":
            self.post_norms = (
                layer_norm("attention_post_norm", dtype),
                layer_norm("mlp_post_norm", dtype),
            )

    def build(self, input_shape: tuple) -> None:
        width = input_shape[-1]
        self.mlp_output = Linear(
            width, kernel_initializer="lecun_normal", dtype=self.dtype_policy, name="mlp_output"
        )
        self.attention_norm.build(input_shape)
        self.attention.build(input_shape)
        self.mlp_norm.build(input_shape)
        self.mlp_hidden.build(input_shape)
        self.mlp_output.build((*input_shape[:-1], self.mlp_hidden.units))
        for norm in self.post_norms:
            norm.build(input_shape)

    def call(self, x: Tensor, attention_mask: Tensor = None, padding_mask: Tensor = None) -> Tensor:
        attended = self.attention(self.attention_norm(x), attention_mask=attention_mask)
        if self.post_norms:
            attended = self.post_norms[0](attended)
        x = x + attended
        normalized = self.mlp_norm(x)
        hidden = self.mlp_output(self.activation(self.mlp_hidden(normalized)))
        if self.adapter is not None:
            hidden = hidden + self.adapter(normalized)
        if padding_mask is not None:
            hidden = hidden * ops.cast(ops.expand_dims(padding_mask, -1), hidden.dtype)
        if self.post_norms:
            hidden = self.post_norms[1](hidden)
        return x + hidden

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return input_shape


class Transformer(keras.layers.Layer):
    """A stack of `num_layers` blocks; the other arguments go to `TransformerBlock`.

    Call arguments are those of the block. `return_layers=True` returns the list of the outputs of
    all blocks instead of the last.

    Attributes:
        remat: compute each block again in the backward pass, so that only its input is kept.
    """

    remat = False

    def __init__(
        self, num_layers: int, name: str | None = None, dtype: Any = None, **block_args: Any
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        self.blocks = [
            TransformerBlock(dtype=self.dtype_policy, name=f"block_{i}", **block_args)
            for i in range(num_layers)
        ]

    def build(self, input_shape: tuple) -> None:
        for block in self.blocks:
            block.build(input_shape)

    def call(
        self,
        x: Tensor,
        attention_mask: Tensor = None,
        padding_mask: Tensor = None,
        return_layers: bool = False,
    ) -> Tensor:
        def run(block: TransformerBlock, x: Tensor) -> Tensor:
            return block(x, attention_mask=attention_mask, padding_mask=padding_mask)

        outputs = []
        for block in self.blocks:
            # TensorFlow takes no keywords in what it computes again.
            x = keras.remat(partial(run, block))(x) if self.remat else run(block, x)
            outputs.append(x)
        return outputs if return_layers else x

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return input_shape


def gelu(x: Tensor) -> Tensor:
    """Exact GELU, x * Phi(x).

    `keras.ops.gelu` computes it by erfc on JAX, which takes twice as long on a CPU.
    """
    return 0.5 * x * (1.0 + ops.erf(x * math.sqrt(0.5)))
