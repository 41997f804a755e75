"""AdamW whose learning rate falls with the depth of a layer, for end-to-end fine-tuning.

VideoGLUE trains AVA end to end with a decay of 0.75 (Yuan et al., 2023, tables 10 to 12). Depths
are counted as in BEiT (Bao et al., 2022): what stands between two layers counts with the upper one.
"""

from typing import Any

import keras
from keras import ops

from keras_videoprism.layers.typing import Tensor
from keras_videoprism.models.video_prism import VideoPrism


def encoder_depths(encoder: VideoPrism) -> dict[str, int]:
    """Layers from the head down to each part of the encoder, by the part's path.

    The last block has depth 1, and the patches have the greatest depth. What is not named, such as
    the last LayerNorm and the head, has depth 0.
    """
    spatial, temporal = encoder.num_spatial_layers, encoder.num_temporal_layers
    layers = spatial + temporal
    bottom = {"patch_embedding": layers + 1, "spatial_position": layers + 1}
    if encoder.attention == "joint":
        blocks = {f"joint_encoder/block_{i}": layers - i for i in range(layers)}
        return {**bottom, "temporal_position": layers + 1, **blocks}
    return {
        **bottom,
        **{f"spatial_encoder/block_{i}": layers - i for i in range(spatial)},
        "spatial_norm": temporal,
        "temporal_position": temporal,
        **{f"temporal_encoder/block_{i}": temporal - i for i in range(temporal)},
    }


@keras.saving.register_keras_serializable(package="keras_videoprism")
class LayerDecayAdamW(keras.optimizers.AdamW):
    """AdamW with the learning rate `rate * layer_decay**depth`.

    Weight decay is decoupled and uses the same rate. LayerNorms and biases do not decay. With
    `layer_decay=1` it is Keras' AdamW.

    Args:
        learning_rate: rate at depth 0, or a schedule.
        depths: depth by a part of a variable's path, see `encoder_depths`; 0 for all others.
        layer_decay: factor of the rate from a layer to the one below, in (0, 1].
        weight_decay: 1e-5 in VideoGLUE, which searches 1e-6 to 1e-4.
        **kwargs: see `keras.optimizers.AdamW`.

    Raises:
        ValueError: `layer_decay` out of range, or a negative depth.

    Example:

    >>> optimizer = LayerDecayAdamW(1e-2, depths=encoder_depths(model.encoder), layer_decay=0.75)
    """

    def __init__(
        self,
        learning_rate: float | keras.optimizers.schedules.LearningRateSchedule = 1e-4,
        depths: dict[str, int] | None = None,
        layer_decay: float = 0.75,
        weight_decay: float = 1e-5,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate=learning_rate, weight_decay=weight_decay, **kwargs)
        if not 0.0 < layer_decay <= 1.0:
            raise ValueError(f"layer_decay must be in (0, 1]; received {layer_decay}.")
        if min((depths or {"": 0}).values()) < 0:
            raise ValueError(f"depths must be at least 0; received {depths}.")
        self.depths = dict(depths or {})
        self.layer_decay = layer_decay
        self.exclude_from_weight_decay(var_names=["^bias$", "^gamma$", "^beta$"])

    def build(self, variables: list[keras.Variable]) -> None:
        # TensorFlow gives variables without their paths to `update_step`.
        self._scales = [self.scale(variable) for variable in variables]
        self._decays = [self._use_weight_decay(variable) for variable in variables]
        super().build(variables)

    def scale(self, variable: keras.Variable) -> float:
        """Factor of the learning rate of `variable`."""
        path = f"/{variable.path}/"
        depths = (depth for part, depth in self.depths.items() if f"/{part}/" in path)
        return self.layer_decay ** next(depths, 0)

    def update_step(
        self, gradient: Tensor, variable: keras.Variable, learning_rate: Tensor
    ) -> None:
        index = self._get_variable_index(variable)
        rate = learning_rate * self._scales[index]
        if self._decays[index]:
            decay = ops.cast(rate * self.weight_decay, variable.dtype)
            self.assign_sub(variable, variable * decay)
        super().update_step(gradient, variable, rate)

    def _apply_weight_decay(self, variables: list[keras.Variable]) -> None:
        """Nothing: Keras decays all variables at one rate, `update_step` each at its own."""

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "depths": self.depths, "layer_decay": self.layer_decay}
