"""Multi-head attention with a logit cap, optional per-dimension scale and query chunks."""

import math
from typing import Any

import keras
from keras import ops

from keras_videoprism.layers.linear import Linear
from keras_videoprism.layers.typing import Tensor

# Masked logits become this fraction of the float32 maximum instead of -inf, so that a query which
# may attend to nothing (a padded frame) averages all values and never gives NaN.
MASKED_LOGIT = -0.7 * 3.4028235e38


@keras.saving.register_keras_serializable(package="keras_videoprism")
class Attention(keras.layers.Layer):
    """Multi-head dot-product attention as VideoPrism uses it.

    Logits are capped by `cap * tanh(logits / cap)` before the mask is applied, and the softmax
    runs in float32 (official code; cap 50 in every released model). `keras.ops` has a fused
    attention, but it honours the cap on one backend only, so the products are written out.

    Args:
        num_heads: number of heads.
        hidden_dim: total width of the heads; None takes the width of the queries.
        logit_cap: bound of the logits; None for no bound.
        per_dim_scale: learn one query scale per dimension of a head (the pooler) instead of the
            constant `1 / sqrt(head_dim)`.
        query_chunk_size: attend for this many queries at a time, which bounds memory at
            `num_heads * chunk * keys` logits; None attends for all at once.

    Call arguments:
        query: [B, Q, D].
        key_value: [B, K, D']; None for self-attention.
        attention_mask: bool, broadcastable to [B, Q, K]; True where a query may attend.

    Returns:
        [B, Q, D].
    """

    def __init__(
        self,
        num_heads: int,
        hidden_dim: int | None = None,
        logit_cap: float | None = None,
        per_dim_scale: bool = False,
        query_chunk_size: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if hidden_dim is not None and hidden_dim % num_heads:
            raise ValueError(
                f"hidden_dim must be a multiple of num_heads; received hidden_dim={hidden_dim}, "
                f"num_heads={num_heads}."
            )
        self.num_heads = num_heads
        self.hidden_dim = hidden_dim
        self.logit_cap = logit_cap
        self.per_dim_scale = per_dim_scale
        self.query_chunk_size = query_chunk_size

    def build(self, query_shape: tuple, key_value_shape: tuple | None = None) -> None:
        width = query_shape[-1]
        key_value_shape = key_value_shape or query_shape
        if (self.hidden_dim or width) % self.num_heads:
            raise ValueError(
                f"the width of the queries must be a multiple of num_heads={self.num_heads}; "
                f"received {width}."
            )
        self.head_dim = (self.hidden_dim or width) // self.num_heads

        total = self.num_heads * self.head_dim

        # Flax stores all four kernels as [D, N, H] and so counts D * N inputs; Keras counts D, and
        # N * H for the output.
        def projection(name: str, units: int, scale: float) -> Linear:
            initializer = keras.initializers.VarianceScaling(scale, "fan_in", "truncated_normal")
            return Linear(units, kernel_initializer=initializer, dtype=self.dtype_policy, name=name)

        self.query = projection("query", total, 1 / self.num_heads)
        self.key = projection("key", total, 1 / self.num_heads)
        self.value = projection("value", total, 1 / self.num_heads)
        self.output_projection = projection("output", width, self.head_dim / width)
        self.query.build(query_shape)
        self.key.build(key_value_shape)
        self.value.build(key_value_shape)
        self.output_projection.build((*query_shape[:-1], total))
        if self.per_dim_scale:
            self.dim_scale = self.add_weight(
                name="per_dim_scale", shape=(self.head_dim,), initializer="zeros"
            )

    def call(
        self, query: Tensor, key_value: Tensor = None, attention_mask: Tensor = None
    ) -> Tensor:
        key_value = query if key_value is None else key_value
        q = self._scale(self._split_heads(self.query(query)))  # [B, N, Q, H]
        k = self._split_heads(self.key(key_value))  # [B, N, K, H]
        v = self._split_heads(self.value(key_value))
        size, num_queries = self.query_chunk_size, ops.shape(q)[2]
        if size is None or (isinstance(num_queries, int) and num_queries <= size):
            attended = self._attend(q, k, v, attention_mask)
        else:
            attended = self._attend_in_chunks(q, k, v, attention_mask, size)
        attended = ops.swapaxes(attended, 1, 2)  # [B, Q, N, H]
        attended = ops.reshape(attended, (-1, num_queries, self.num_heads * self.head_dim))
        return self.output_projection(attended)

    def pool(self, query: Tensor, tokens: Tensor, attention_mask: Tensor = None) -> Tensor:
        """One query [1, D] for the whole batch: what `call` gives, with less work.

        The query goes through the kernel of the keys, and tokens are averaged before the kernel of
        the values: neither kernel meets each token, only as many vectors as there are heads. An
        int8 kernel is used by its layer alone, and so takes the long way.

        Args:
            tokens: [B, S, D'].
            attention_mask: bool, broadcastable to [B, S].

        Returns:
            [B, D].
        """
        if self.key.quantization_mode or self.value.quantization_mode:
            queries = ops.repeat(ops.expand_dims(query, 0), ops.shape(tokens)[0], axis=0)
            keys = None if attention_mask is None else ops.expand_dims(attention_mask, 1)
            return ops.squeeze(self(queries, tokens, attention_mask=keys), 1)
        q = self._scale(ops.reshape(self.query(query), (self.num_heads, self.head_dim)))  # [N, H]
        key_kernel, key_bias = self._by_head(self.key)
        value_kernel, value_bias = self._by_head(self.value)
        logits = ops.matmul(tokens, ops.einsum("dnh,nh->dn", key_kernel, q))  # [B, S, N]
        logits = ops.swapaxes(logits + ops.sum(key_bias * q, axis=-1), 1, 2)
        mask = None if attention_mask is None else ops.expand_dims(attention_mask, 1)
        pooled = ops.matmul(self._weights(logits, mask, tokens.dtype), tokens)  # [B, N, D']
        heads = ops.einsum("bnd,dnh->bnh", pooled, value_kernel) + value_bias
        return self.output_projection(ops.reshape(heads, (-1, self.num_heads * self.head_dim)))

    def _by_head(self, layer: Linear) -> tuple[Tensor, Tensor]:
        """Kernel [D, N, H] and bias [N, H]."""
        kernel = ops.cast(layer.kernel, self.compute_dtype)  # with what LoRA adds
        bias = ops.cast(layer.bias, self.compute_dtype)
        return (
            ops.reshape(kernel, (-1, self.num_heads, self.head_dim)),
            ops.reshape(bias, (self.num_heads, self.head_dim)),
        )

    def _split_heads(self, x: Tensor) -> Tensor:
        """[B, S, N*H] -> [B, N, S, H]. Other orders leave H strided, which is slow to copy."""
        x = ops.reshape(x, (-1, ops.shape(x)[1], self.num_heads, self.head_dim))
        return ops.swapaxes(x, 1, 2)

    def _scale(self, q: Tensor) -> Tensor:
        if not self.per_dim_scale:
            return q * self.head_dim**-0.5
        # Dividing by softplus(0) = ln 2 makes the initial scale 1 / sqrt(head_dim).
        scale = ops.softplus(self.dim_scale) / (math.log(2.0) * math.sqrt(self.head_dim))
        return q * ops.cast(scale, q.dtype)

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor = None) -> Tensor:
        logits = ops.matmul(q, ops.swapaxes(k, 2, 3))  # [B, N, Q, K]
        mask = None if mask is None else ops.expand_dims(mask, 1)
        return ops.matmul(self._weights(logits, mask, v.dtype), v)  # [B, N, Q, H]

    def _weights(self, logits: Tensor, mask: Tensor, dtype: str) -> Tensor:
        """Softmax over the last axis, where the mask allows it."""
        if self.logit_cap is not None:
            logits = self.logit_cap * ops.tanh(logits / self.logit_cap)
        logits = ops.cast(logits, "float32")
        if mask is not None:
            logits = ops.where(mask, logits, MASKED_LOGIT)
        return ops.cast(softmax(logits), dtype)

    def _attend_in_chunks(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor, size: int) -> Tensor:
        """Same result; the logits of one chunk are freed before the next, also in training."""
        num_queries = ops.shape(q)[2]
        chunks: tuple[Tensor, ...] = (_split(q, 2, size),)  # [C, B, N, size, H]
        if mask is not None and mask.shape[1] > 1:
            chunks += (_split(mask, 1, size),)  # [C, B, size, K]

        # All are arguments: TensorFlow loses the gradient of what a remat function captures.
        shared = () if mask is None or len(chunks) > 1 else (mask,)
        attend = keras.remat(self._attend)
        attended = ops.map(lambda chunk: attend(chunk[0], k, v, *chunk[1:], *shared), chunks)
        attended = ops.moveaxis(attended, 0, 2)  # [B, N, C, size, H]
        num_slots = ops.shape(attended)[2] * size
        attended = ops.reshape(attended, (-1, self.num_heads, num_slots, self.head_dim))
        return attended[:, :, :num_queries]

    def compute_output_shape(
        self, query_shape: tuple, key_value_shape: tuple | None = None
    ) -> tuple:
        return query_shape


def softmax(logits: Tensor) -> Tensor:
    """Softmax over the last axis. `keras.ops.softmax` warns where that axis has one element, as
    along the time of an image."""
    exponentials = ops.exp(logits - ops.stop_gradient(ops.max(logits, axis=-1, keepdims=True)))
    return exponentials / ops.sum(exponentials, axis=-1, keepdims=True)


def _split(x: Tensor, axis: int, size: int) -> Tensor:
    """Chunks of an axis, counted on a new first axis; the last is padded with zeros."""
    shape = ops.shape(x)
    num_chunks = -(-shape[axis] // size)
    padding = [(0, 0)] * len(shape)
    padding[axis] = (0, num_chunks * size - shape[axis])
    x = ops.reshape(ops.pad(x, padding), (-1, *shape[1:axis], num_chunks, size, *shape[axis + 1 :]))
    return ops.moveaxis(x, axis, 0)
