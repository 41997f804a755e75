"""The attention classifier that every adaptation of VideoGLUE ends in."""

from typing import Any

import keras

from keras_videoprism.heads.attention_pooler import AttentionPooler
from keras_videoprism.heads.plain_pooler import PlainPooler
from keras_videoprism.layers.map_pooler import MAPPooler
from keras_videoprism.layers.typing import Tensor

VARIANTS = ("paper", "released", "tensorflow")


@keras.saving.register_keras_serializable(package="keras_videoprism")
class AttentionClassifier(keras.layers.Layer):
    """An attention pooler, dropout and a linear classifier (Appendix E.1; VideoGLUE, equation 1).

    Three sources draw three poolers:

    - "paper": pre-norm cross-attention and an MLP, with skip connections (`AttentionPooler`;
      VideoGLUE, figure 4). It alone takes queries, and several feature maps.
    - "released": the classifier of the official VideoPrism code (`MAPPooler`).
    - "tensorflow": VideoGLUE's TensorFlow code (`PlainPooler`).

    With `num_layers=4` it is the MLAP head: four rounds of cross-attention over four feature maps
    (Appendix E.2; VideoGLUE, equation 2).

    Args:
        num_classes: C, the number of logits.
        num_heads: attention heads.
        hidden_dim: total width of the heads; 768 for encoders of any width (Appendix E.1).
        variant: the pooler, see above.
        num_layers: k, the number of rounds and of feature maps.
        dropout: share of the pooled features that a training step drops.

    Call arguments:
        tokens: [B, S, D], or [B, k, S, D] from shallow to deep where k > 1.
        queries: [B, Q, D'] to classify each of Q; None for one learned query.
        padding_mask: bool [B, S]; True for a token that counts.

    Returns:
        Logits [B, C], or [B, Q, C] for given queries.

    Raises:
        ValueError: an unknown variant, or one that cannot do what is asked of it.

    Example:

    >>> head = AttentionClassifier(num_classes=400)
    >>> logits = head(np.zeros((2, 1568, 768), "float32"))
    """

    def __init__(
        self,
        num_classes: int,
        num_heads: int = 12,
        hidden_dim: int = 768,
        variant: str = "paper",
        num_layers: int = 1,
        dropout: float = 0.5,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        _check_sizes(num_classes, num_heads, hidden_dim)
        _check_variant(variant, num_layers)
        self.num_classes = num_classes
        self.num_heads = num_heads
        self.hidden_dim = hidden_dim
        self.variant = variant
        self.num_layers = num_layers
        self.dropout_rate = dropout
        self.pooler = self._make_pooler()
        self.dropout = keras.layers.Dropout(dropout, dtype=self.dtype_policy)
        self.classifier = keras.layers.Dense(
            num_classes,
            kernel_initializer="he_normal" if variant == "tensorflow" else "lecun_normal",
            dtype=self.dtype_policy,
            name="classifier",
        )

    def _make_pooler(self) -> keras.layers.Layer:
        size: dict[str, Any] = {"num_heads": self.num_heads, "hidden_dim": self.hidden_dim}
        size.update(dtype=self.dtype_policy, name="pooler")
        if self.variant == "released":
            return MAPPooler(**size)
        if self.variant == "tensorflow":
            return PlainPooler(**size)
        return AttentionPooler(num_layers=self.num_layers, **size)

    def build(self, tokens_shape: tuple, queries_shape: tuple | None = None) -> None:
        if self.variant == "paper":
            self.pooler.build(tokens_shape, queries_shape)
            self.classifier.build((None, self.hidden_dim))
        else:
            self.pooler.build(tokens_shape)
            self.classifier.build((None, tokens_shape[-1]))

    def call(self, tokens: Tensor, queries: Tensor = None, padding_mask: Tensor = None) -> Tensor:
        if self.variant == "paper":
            pooled = self.pooler(tokens, queries=queries, padding_mask=padding_mask)
        elif queries is None:
            pooled = self.pooler(tokens, padding_mask=padding_mask)
        else:
            raise ValueError(f"the variant {self.variant!r} takes no queries; use 'paper'.")
        return self.classifier(self.dropout(pooled))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "num_heads": self.num_heads,
            "hidden_dim": self.hidden_dim,
            "variant": self.variant,
            "num_layers": self.num_layers,
            "dropout": self.dropout_rate,
        }


def _check_sizes(num_classes: int, num_heads: int, hidden_dim: int) -> None:
    if num_classes < 1:
        raise ValueError(f"num_classes must be at least 1; received {num_classes}.")
    if num_heads < 1 or hidden_dim % num_heads:
        raise ValueError(
            f"hidden_dim must be a multiple of num_heads; received hidden_dim={hidden_dim}, "
            f"num_heads={num_heads}."
        )


def _check_variant(variant: str, num_layers: int) -> None:
    if variant not in VARIANTS:
        raise ValueError(f"variant must be one of {VARIANTS}; received {variant!r}.")
    if num_layers < 1 or (num_layers > 1 and variant != "paper"):
        raise ValueError(
            "num_layers must be at least 1, and 1 unless variant='paper'; received "
            f"num_layers={num_layers}, variant={variant!r}."
        )
