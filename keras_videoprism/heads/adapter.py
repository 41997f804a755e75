"""Low-rank adapters within the Transformer blocks of a frozen encoder."""

from typing import Any

import keras
from keras import ops

from keras_videoprism.layers.joint_encoder import Encoder, JointEncoder
from keras_videoprism.layers.linear import Linear
from keras_videoprism.layers.transformer import TransformerBlock
from keras_videoprism.layers.typing import Tensor
from keras_videoprism.models.video_prism import VideoPrism


class Adapter(keras.layers.Layer):
    """scale * Up(ReLU(Down(x))), which is zero at first (VideoGLUE, section 3.3.2 and figure 5).

    Args:
        dim: width between Down and Up; 64 in the paper (Appendix E.2).

    Call arguments:
        x: [B, S, D].

    Returns:
        [B, S, D].
    """

    def __init__(self, dim: int = 64, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if dim < 1:
            raise ValueError(f"dim must be at least 1; received {dim}.")
        self.dim = dim

    def build(self, input_shape: tuple) -> None:
        dtype = self.dtype_policy
        self.down = Linear(self.dim, kernel_initializer="lecun_normal", dtype=dtype, name="down")
        # Zeros, so that training starts from the frozen model; then the scale must not be zero.
        self.up = Linear(input_shape[-1], kernel_initializer="zeros", dtype=dtype, name="up")
        self.down.build(input_shape)
        self.up.build((*input_shape[:-1], self.dim))
        self.scale = self.add_weight(name="scale", shape=(), initializer="ones")

    def call(self, x: Tensor) -> Tensor:
        return ops.cast(self.scale, self.compute_dtype) * self.up(ops.relu(self.down(x)))


def add_adapters(encoder: VideoPrism, dim: int = 64) -> list[Adapter]:
    """Put an adapter beside the MLP of every block; they see the same normalised tokens.

    The weights stay outside of the encoder: freeze and save the encoder as before, and let the
    model that trains the adapters hold them, as `AdaptedVideoPrism` does. Outputs do not change
    until the adapters learn.

    Args:
        encoder: a `VideoPrism`; changed in place. Add them before it is compiled.
        dim: inner width of the adapters.

    Returns:
        One adapter for each block, from shallow to deep.

    Raises:
        ValueError: the encoder has adapters already.
    """
    refuse_adapters(encoder)
    adapters = []
    for number, block in enumerate(_blocks(encoder.encoder)):
        adapter = Adapter(dim, dtype=block.dtype_policy, name=f"adapter_{number}")
        adapter.build((None, None, encoder.hidden_dim))
        # A method and not the layer: Keras counts the weights of a layer to the block.
        block.adapter = adapter.__call__
        adapters.append(adapter)
    return adapters


def remove_adapters(encoder: VideoPrism) -> None:
    """Give back the encoder as it was before `add_adapters`."""
    for block in _blocks(encoder.encoder):
        block.adapter = None


def refuse_adapters(encoder: VideoPrism) -> None:
    """ValueError where another model's adapters are in the encoder."""
    if any(block.adapter is not None for block in _blocks(encoder.encoder)):
        raise ValueError(
            "the encoder has adapters already, which belong to another model; load the encoder "
            "again, or call remove_adapters(encoder) if that model is not needed any more."
        )


def _blocks(encoder: Encoder) -> list[TransformerBlock]:
    """The blocks of all Transformers, from shallow to deep."""
    if isinstance(encoder, JointEncoder):
        return encoder.joint_encoder.blocks
    return [*encoder.spatial_encoder.blocks, *encoder.temporal_encoder.blocks]
