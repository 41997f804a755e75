"""A KerasHub language model that takes embeddings in place of token ids."""

from typing import Any

import keras
from keras import ops
from keras_hub import models

from keras_videoprism.layers.typing import Tensor

# How the families differ: GPT-2 adds learned positions, the others rotate queries and keys; Gemma
# multiplies the embeddings of tokens by the root of their width.
LEARNED_POSITIONS = (models.GPT2Backbone,)
ROTARY = (
    models.LlamaBackbone,  # and Llama 3
    models.MistralBackbone,
    models.QwenBackbone,
    models.Qwen3Backbone,
)
GEMMA = (models.GemmaBackbone, models.Gemma3Backbone)
FAMILIES = (*LEARNED_POSITIONS, *ROTARY, *GEMMA)

Caches = list[Any]  # of each layer, keys and values of the positions so far


class PrefixLanguageModel(keras.layers.Layer):
    """The decoder of a KerasHub `CausalLM`, from embeddings to logits.

    KerasHub's models take token ids alone. Here their layers are called one by one, so that tokens
    of a video can stand before those of a text. No mask is needed: a position sees only those
    before it, and padding stands behind the text.

    Args:
        language_model: a `CausalLM` of the families GPT-2, Llama (2, 3), Mistral, Qwen (2, 3) or
            Gemma (1 to 3).

    Call arguments:
        embeddings: [B, S, W], of a prefix as it is or of tokens by `embed`.
        caches: of `empty_caches`, to go on behind the positions that are in them; or None.
        index: position of the first embedding.

    Returns:
        [B, S, W] before the logits; with caches, also the caches with these positions.

    Raises:
        ValueError: a model of another family.
    """

    def __init__(self, language_model: models.CausalLM, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        backbone = getattr(language_model, "backbone", None)
        if not isinstance(backbone, FAMILIES):
            names = ", ".join(family.__name__ for family in FAMILIES)
            raise ValueError(
                f"language_model must be a CausalLM on one of {names}; received "
                f"{type(language_model).__name__} on {type(backbone).__name__}."
            )
        self.backbone = backbone  # not the CausalLM: it is compiled, and its metrics come with it
        self.hidden_dim = backbone.hidden_dim
        self.built = True

    @property
    def context_length(self) -> int | None:
        """Largest number of positions; None where rotary positions set no bound."""
        if isinstance(self.backbone, LEARNED_POSITIONS):
            return self.backbone.max_sequence_length
        return None

    def embed(self, token_ids: Tensor) -> Tensor:
        """[B, L] -> [B, L, W], without positions."""
        x = self.backbone.token_embedding(token_ids)
        if isinstance(self.backbone, GEMMA):
            x = x * ops.cast(ops.sqrt(self.hidden_dim), x.dtype)
        return x

    def call(self, embeddings: Tensor, caches: Caches | None = None, index: Any = 0) -> Any:
        x = embeddings
        if isinstance(self.backbone, LEARNED_POSITIONS):
            x = x + self.backbone.position_embedding(x, start_index=index)
        layers = self.backbone.transformer_layers
        if caches is None:
            for layer in layers:
                x = layer(x)
            return self.backbone.layer_norm(x)
        name = "cache" if isinstance(self.backbone, GEMMA) else "self_attention_cache"
        updated = []
        for layer, cache in zip(layers, caches, strict=True):
            x, cache = layer(x, **{name: cache, f"{name}_update_index": index})
            updated.append(cache)
        return self.backbone.layer_norm(x), updated

    def logits(self, hidden: Tensor) -> Tensor:
        """[..., W] -> float32 [..., vocabulary]."""
        return ops.cast(self.backbone.token_embedding(hidden, reverse=True), "float32")

    def empty_caches(self, batch_size: Any, length: int) -> Caches:
        """Zeros for `length` positions."""
        backbone = self.backbone
        gpt2 = isinstance(backbone, LEARNED_POSITIONS)
        query_heads = backbone.num_heads if gpt2 else backbone.num_query_heads
        heads = backbone.num_heads if gpt2 else backbone.num_key_value_heads
        head_dim = getattr(backbone, "head_dim", None) or self.hidden_dim // query_heads

        def zeros(*shape: Any) -> Tensor:
            return ops.zeros((batch_size, *shape, heads, head_dim), backbone.compute_dtype)

        if isinstance(backbone, models.Gemma3Backbone):
            return [(zeros(length), zeros(length)) for _ in range(backbone.num_layers)]
        return [zeros(2, length) for _ in range(backbone.num_layers)]
