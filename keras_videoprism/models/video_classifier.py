"""Video classification by MAP pooling on the encoder (paper, section 3.1 and Appendix E)."""

from typing import Any

import keras

from keras_videoprism.layers.map_pooler import MAPPooler
from keras_videoprism.layers.typing import Tensor


@keras.saving.register_keras_serializable(package="keras_videoprism")
class VideoClassifier(keras.Model):
    """Encoder, MAP pooler, linear classifier; by default as the official classifier.

    The encoder is frozen by default: only pooler and classifier learn.

    Args:
        encoder: a `VideoPrism`, or None for a head over tokens that were computed before.
        num_classes: number of logits.
        num_heads: heads of the pooler; None takes the encoder's.
        pooler_dim: total width of the pooler's heads; None takes D, as the official classifier.
        freeze_encoder: False trains the encoder too.

    Call arguments:
        inputs: dict with "videos" [B, T, H, W, 3] and perhaps "frame_mask"; or the videos; or,
            without encoder, tokens [B, S, D].

    Returns:
        Logits [B, num_classes].
    """

    def __init__(
        self,
        encoder: keras.Model | None,
        num_classes: int,
        num_heads: int | None = None,
        freeze_encoder: bool = True,
        pooler_dim: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if num_heads is None:
            if encoder is None:
                raise ValueError("without an encoder, num_heads must be given.")
            num_heads = encoder.num_heads
        self.encoder: Any = encoder
        self.num_classes = num_classes
        self.num_heads = num_heads
        self.freeze_encoder = freeze_encoder
        self.pooler_dim = pooler_dim
        if encoder is not None:
            encoder.trainable = not freeze_encoder
        self.pooler: Any = None
        self.classifier = keras.layers.Dense(
            num_classes, kernel_initializer="lecun_normal", name="classifier"
        )
        if encoder is not None:
            self.build((None, None, None, None, 3))

    def build(self, input_shape: tuple) -> None:
        if self.pooler is not None:
            return
        width = self.encoder.hidden_dim if self.encoder is not None else input_shape[-1]
        self.pooler = MAPPooler(self.num_heads, self.pooler_dim or width, name="pooler")
        self.pooler.build((None, None, width))
        self.classifier.build((None, width))

    def call(self, inputs: Tensor | dict[str, Tensor]) -> Tensor:
        return self.classifier(self.embed(inputs))

    def embed(self, inputs: Tensor | dict[str, Tensor]) -> Tensor:
        """Pooled features [B, D] before the classifier."""
        if self.encoder is None:
            return self.pooler(inputs)
        if not isinstance(inputs, dict):
            inputs = {"videos": inputs}
        frame_mask = inputs.get("frame_mask")
        tokens = self.encoder(inputs["videos"], frame_mask=frame_mask)
        mask = None
        if frame_mask is not None:
            mask = keras.ops.repeat(frame_mask, tokens.shape[1] // frame_mask.shape[1], axis=1)
        return self.pooler(tokens, padding_mask=mask)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "encoder": keras.saving.serialize_keras_object(self.encoder),
            "num_classes": self.num_classes,
            "num_heads": self.num_heads,
            "freeze_encoder": self.freeze_encoder,
            "pooler_dim": self.pooler_dim,
        }

    @classmethod
    def from_preset(
        cls,
        preset: str,
        num_classes: int | None = None,
        load_weights: bool = True,
        freeze_encoder: bool = True,
        **kwargs: Any,
    ) -> "VideoClassifier":
        """A saved classifier, or a new head on the encoder of another preset.

        Args:
            preset: see `presets.load`; of a `VideoPrismLvT` the video encoder is taken.
            num_classes: of the new head; a saved classifier keeps its own if they are as many.
            load_weights: False gives random weights.
            freeze_encoder: False trains the encoder too.
            **kwargs: arguments of the encoder, such as `dtype`.
        """
        from keras_videoprism import presets

        model = presets.load(preset, None, load_weights, **kwargs)
        encoder = getattr(model, "video_encoder", model)
        if isinstance(model, cls):
            if num_classes in (None, model.num_classes):
                model.encoder.trainable = not freeze_encoder
                return model
            encoder = model.encoder
        if num_classes is None:
            raise ValueError(f"{preset} holds no classifier: pass num_classes for a new head.")
        return cls(encoder, num_classes, freeze_encoder=freeze_encoder)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "VideoClassifier":
        config["encoder"] = keras.saving.deserialize_keras_object(config["encoder"])
        return cls(**config)
