"""The video encoder as a KerasHub backbone."""

from typing import Any

import keras
from keras_hub.models import Backbone

from keras_videoprism.layers.factorized_encoder import EncoderFeatures, FactorizedEncoder
from keras_videoprism.layers.joint_encoder import JointEncoder, JointFeatures
from keras_videoprism.layers.masking import BlockVisible, TubeVisible
from keras_videoprism.layers.typing import Tensor

ENCODERS = {"factorized": FactorizedEncoder, "joint": JointEncoder}


@keras.saving.register_keras_serializable(package="keras_videoprism")
class VideoPrism(Backbone):
    """VideoPrism's video encoder (Table 9).

    Any number of frames and any height and width that are multiples of the patch; the position
    tables are resized from their native size.

    Args:
        patch_size: side of a patch in pixels.
        position_shape: native (frames, rows, columns) of the position tables, in patches.
        hidden_dim: width D of the tokens.
        num_spatial_layers, num_temporal_layers, num_heads, mlp_dim: size of the Transformers.
        logit_cap: bound of the attention logits; None for no bound.
        attention: "factorized" in space and time (the paper), or "joint" over all tokens in as many
            layers (Table 24).
        dtype: dtype or policy of the computations.

    Call arguments: see `FactorizedEncoder`, and `JointEncoder` for its features.

    Returns:
        Tokens [B, T*N, D].

    Example:

    >>> encoder = VideoPrism.from_preset("videoprism_tiny")
    >>> tokens = encoder(np.zeros((1, 8, 40, 40, 3), "float32"))
    """

    def __init__(
        self,
        patch_size: int = 18,
        position_shape: tuple[int, int, int] = (16, 16, 16),
        hidden_dim: int = 768,
        num_spatial_layers: int = 12,
        num_temporal_layers: int = 4,
        num_heads: int = 12,
        mlp_dim: int = 3072,
        logit_cap: float | None = 50.0,
        attention: str = "factorized",
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        refuse_unknown(kwargs)
        if attention not in ENCODERS:
            raise ValueError(f"attention must be one of {[*ENCODERS]}; received {attention!r}.")
        encoder = ENCODERS[attention](
            patch_size=patch_size,
            position_shape=position_shape,
            hidden_dim=hidden_dim,
            num_spatial_layers=num_spatial_layers,
            num_temporal_layers=num_temporal_layers,
            num_heads=num_heads,
            mlp_dim=mlp_dim,
            logit_cap=logit_cap,
            dtype=dtype,
            name="encoder",
        )
        videos = keras.Input((None, None, None, 3), name="videos")
        super().__init__(inputs=videos, outputs=encoder(videos), dtype=dtype, **kwargs)
        self.encoder = encoder
        self.patch_size = patch_size
        self.position_shape = (*position_shape,)
        self.hidden_dim = hidden_dim
        self.num_spatial_layers = num_spatial_layers
        self.num_temporal_layers = num_temporal_layers
        self.num_heads = num_heads
        self.mlp_dim = mlp_dim
        self.logit_cap = logit_cap
        self.attention = attention

    @property
    def image_size(self) -> tuple[int, int]:
        """Native (height, width) in pixels; any multiple of the patch runs."""
        _, rows, columns = self.position_shape
        return rows * self.patch_size, columns * self.patch_size

    def call(
        self,
        videos: Tensor,
        frame_mask: Tensor = None,
        visible: Tensor | TubeVisible | BlockVisible = None,
        return_features: bool = False,
        training: bool | None = None,
        mask: Tensor = None,
    ) -> Tensor | EncoderFeatures | JointFeatures:
        return self.encoder(
            videos, frame_mask=frame_mask, visible=visible, return_features=return_features
        )

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "patch_size": self.patch_size,
            "position_shape": self.position_shape,
            "hidden_dim": self.hidden_dim,
            "num_spatial_layers": self.num_spatial_layers,
            "num_temporal_layers": self.num_temporal_layers,
            "num_heads": self.num_heads,
            "mlp_dim": self.mlp_dim,
            "logit_cap": self.logit_cap,
            "attention": self.attention,
        }

    @classmethod
    def from_preset(cls, preset: str, load_weights: bool = True, **kwargs: Any) -> "VideoPrism":
        """Load by name, `kaggle://`, `hf://`, folder or npz file; see `presets.load`."""
        from keras_videoprism import presets

        return presets.load(preset, cls, load_weights, **kwargs)


def refuse_unknown(kwargs: dict) -> None:
    """Functional Keras models swallow unknown arguments; a misspelt one must not pass."""
    unknown = sorted(set(kwargs) - {"name", "trainable"})
    if unknown:
        raise TypeError(f"unknown arguments {unknown}; see the documentation of the class.")
