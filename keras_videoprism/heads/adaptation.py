"""The four ways in which the paper adapts an encoder to a task (Appendix E.2)."""

from typing import Any

import keras
from keras import ops

from keras_videoprism.heads.adapter import add_adapters, refuse_adapters
from keras_videoprism.layers.factorized_encoder import EncoderFeatures
from keras_videoprism.layers.typing import Tensor
from keras_videoprism.models.video_prism import VideoPrism

METHODS = ("frozen", "mlap", "adapter", "finetune")
# What a head may need of a batch besides the videos.
BOX_KEYS = ("boxes", "box_mask")


@keras.saving.register_keras_serializable(package="keras_videoprism")
class AdaptedVideoPrism(keras.Model):
    """An encoder and the head of a task, of which `method` tells what trains.

    - "frozen": the head alone.
    - "mlap": the head alone; it attends to the last layers of the encoder, one after the other.
    - "adapter": the head, and a low-rank adapter in each block.
    - "finetune": the head and the encoder.

    The layers of "mlap" are the last of the temporal encoder, or of a joint one, before the last
    LayerNorm. The paper does not name them; these are the last ones.

    Args:
        encoder: a `VideoPrism`. It is frozen or gets adapters in place.
        head: `AttentionClassifier`, `ActionDetector`, or a layer that is called like them. For
            "mlap" it has several layers (`num_layers`), otherwise one.
        method: see above.
        adapter_dim: inner width of the adapters.

    Call arguments:
        inputs: the videos [B, T, H, W, 3]; or a dict of "videos", perhaps "frame_mask" [B, T], and
            for boxes "boxes" and "box_mask".

    Returns:
        Logits of the head.

    Raises:
        ValueError: an unknown method; a head or an encoder that has not the layers it needs; an
            encoder that holds the adapters of another model.

    Example:

    >>> encoder = VideoPrism.from_preset("videoprism_tiny")
    >>> head = AttentionClassifier(num_classes=10, num_heads=3, hidden_dim=96)
    >>> model = AdaptedVideoPrism(encoder, head, method="adapter")
    >>> logits = model(np.zeros((1, 8, 40, 40, 3), "float32"))
    """

    def __init__(
        self,
        encoder: VideoPrism,
        head: keras.layers.Layer,
        method: str = "frozen",
        adapter_dim: int = 64,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not isinstance(encoder, VideoPrism):
            raise ValueError(
                f"encoder must be a VideoPrism; received {type(encoder).__name__}. Of a two-tower "
                "model, pass its video_encoder."
            )
        _check_layers(encoder, head, method)
        refuse_adapters(encoder)
        self.method = method
        self.adapter_dim = adapter_dim
        self.encoder = encoder
        self.head = head
        encoder.trainable = method == "finetune"
        self.adapters = add_adapters(encoder, adapter_dim) if method == "adapter" else []
        self.build((None, None, None, None, 3))

    def build(self, input_shape: tuple) -> None:
        if not self.head.built:
            rounds = (self.head.num_layers,) if self.method == "mlap" else ()
            self.head.build((None, *rounds, None, self.encoder.hidden_dim))

    def call(self, inputs: Tensor | dict[str, Tensor]) -> Tensor:
        inputs = _as_batch(inputs)
        features = self.features(inputs)
        padding_mask = _padding_mask(inputs.get("frame_mask"), features.shape[-2])
        boxes = {key: inputs[key] for key in BOX_KEYS if key in inputs}
        return self.head(features, padding_mask=padding_mask, **boxes)

    def features(self, inputs: Tensor | dict[str, Tensor]) -> Tensor:
        """What the head attends to; worth keeping where the encoder does not train.

        Returns:
            Tokens [B, S, D]; for "mlap" the last k layers, from shallow to deep, [B, k, S, D].
        """
        inputs = _as_batch(inputs)
        videos, frame_mask = inputs["videos"], inputs.get("frame_mask")
        if self.method != "mlap":
            return self.encoder(videos, frame_mask=frame_mask)
        return last_layers(self.encoder, videos, self.head.num_layers, frame_mask)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "encoder": keras.saving.serialize_keras_object(self.encoder),
            "head": keras.saving.serialize_keras_object(self.head),
            "method": self.method,
            "adapter_dim": self.adapter_dim,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "AdaptedVideoPrism":
        parts = {
            key: keras.saving.deserialize_keras_object(config[key]) for key in ("encoder", "head")
        }
        return cls(**{**config, **parts})


def last_layers(
    encoder: VideoPrism, videos: Tensor, count: int, frame_mask: Tensor = None
) -> Tensor:
    """Outputs of the last layers of an encoder, [B, count, S, D] from shallow to deep."""
    outputs = encoder(videos, frame_mask=frame_mask, return_features=True)
    factorized = isinstance(outputs, EncoderFeatures)
    layers = outputs.temporal_layers if factorized else outputs.layers
    return ops.stack(layers[-count:], axis=1)


def _check_layers(encoder: VideoPrism, head: keras.layers.Layer, method: str) -> None:
    if method not in METHODS:
        raise ValueError(f"method must be one of {METHODS}; received {method!r}.")
    rounds = head.num_layers
    if (rounds > 1) != (method == "mlap"):
        raise ValueError(
            "the head must have more than one layer for method='mlap', such as num_layers=4, and "
            f"one layer for the others; received num_layers={rounds}, method={method!r}."
        )
    layers = encoder.num_temporal_layers
    if encoder.attention == "joint":
        layers += encoder.num_spatial_layers
    if rounds > layers:
        raise ValueError(
            f"the head has {rounds} layers, but the encoder has only {layers} that see all frames; "
            f"make a head of num_layers={layers}."
        )


def _as_batch(inputs: Tensor | dict[str, Tensor]) -> dict[str, Tensor]:
    return inputs if isinstance(inputs, dict) else {"videos": inputs}


def _padding_mask(frame_mask: Tensor, num_tokens: int) -> Tensor:
    """[B, T] -> [B, S]: the tokens of a frame stand together."""
    if frame_mask is None:
        return None
    return ops.repeat(frame_mask, num_tokens // frame_mask.shape[1], axis=1)
