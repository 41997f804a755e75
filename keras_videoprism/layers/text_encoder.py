"""Causal text tower with the class token at the end (Appendix C.1)."""

from typing import Any

import keras
from keras import ops

from keras_videoprism.layers.position_embedding import sinusoids
from keras_videoprism.layers.transformer import Transformer, layer_norm
from keras_videoprism.layers.typing import Tensor


@keras.saving.register_keras_serializable(package="keras_videoprism")
class TextEncoder(keras.layers.Layer):
    """Text embedding: the output at a learned class token which follows the sentence.

    Args:
        vocabulary_size: number of token ids.
        hidden_dim: width D.
        num_layers, num_heads, mlp_dim: size of the Transformer.
        logit_cap: bound of the attention logits; None for no bound.
        norm_policy: "pre" or "primer_hybrid" (see `TransformerBlock`).

    Call arguments:
        token_ids: int [B, L], each in [0, vocabulary_size).
        padding_mask: bool [B, L]; True for a real token.

    Returns:
        [B, D], not normalised.
    """

    def __init__(
        self,
        vocabulary_size: int,
        hidden_dim: int,
        num_layers: int,
        num_heads: int,
        mlp_dim: int,
        logit_cap: float | None = 50.0,
        norm_policy: str = "pre",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.vocabulary_size = vocabulary_size
        self.hidden_dim = hidden_dim
        embedding_initializer = keras.initializers.RandomNormal(stddev=hidden_dim**-0.5)
        self.token_embedding = keras.layers.Embedding(
            vocabulary_size,
            hidden_dim,
            embeddings_initializer=embedding_initializer,
            dtype=self.dtype_policy,
            name="token_embedding",
        )
        self.transformer = Transformer(
            num_layers,
            num_heads=num_heads,
            mlp_dim=mlp_dim,
            activation="relu",
            logit_cap=logit_cap,
            norm_policy=norm_policy,
            dtype=self.dtype_policy,
            name="transformer",
        )
        self.norm = layer_norm("norm", self.dtype_policy)

    def build(self, input_shape: tuple) -> None:
        self.class_token = self.add_weight(
            name="class_token",
            shape=(1, 1, self.hidden_dim),
            initializer=keras.initializers.RandomNormal(stddev=self.hidden_dim**-0.5),
        )
        self.token_embedding.build(input_shape)
        sequence_shape = (None, None, self.hidden_dim)
        self.transformer.build(sequence_shape)
        self.norm.build(sequence_shape)

    def call(self, token_ids: Tensor, padding_mask: Tensor) -> Tensor:
        batch_size, length = ops.shape(token_ids)
        x = self.token_embedding(token_ids) * self.hidden_dim**0.5  # [B, L, D]
        x = x + ops.cast(sinusoids(length, self.hidden_dim), x.dtype)
        class_token = ops.cast(self.class_token, x.dtype) * self.hidden_dim**0.5
        x = ops.concatenate([x, ops.repeat(class_token, batch_size, axis=0)], axis=1)
        valid = ops.pad(padding_mask, [(0, 0), (0, 1)], constant_values=True)  # [B, L + 1]
        causal = ops.tril(ops.ones((length + 1, length + 1), dtype="bool"))
        mask = ops.logical_and(causal, ops.expand_dims(valid, 1))
        x = self.transformer(x, attention_mask=mask, padding_mask=valid)
        return self.norm(x)[:, -1]

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return (input_shape[0], self.hidden_dim)
