"""Factorized space-time encoder (Table 9)."""

from typing import Any, NamedTuple

import keras
from keras import ops

from keras_videoprism.layers.masking import BlockVisible, TubeVisible
from keras_videoprism.layers.patch_embedding import PatchEmbedding
from keras_videoprism.layers.position_embedding import LearnedPositionEmbedding
from keras_videoprism.layers.transformer import Transformer, layer_norm
from keras_videoprism.layers.typing import Tensor


class EncoderFeatures(NamedTuple):
    """Tokens and what lies before them, each [B, T*N, D].

    spatial: output of the spatial encoder.
    temporal_layers: outputs of the temporal layers, before the last LayerNorm.
    """

    tokens: Tensor
    spatial: Tensor
    temporal_layers: list[Tensor]


@keras.saving.register_keras_serializable(package="keras_videoprism")
class FactorizedEncoder(keras.layers.Layer):
    """Attention within each frame, then along time at each place; nothing is pooled (section 2.2).

    Args:
        patch_size: side of a patch in pixels.
        position_shape: native (frames, rows, columns) of the position tables, in patches.
        hidden_dim: width D of the tokens.
        num_spatial_layers, num_temporal_layers, num_heads, mlp_dim: size of the Transformers.
        logit_cap: bound of the attention logits; None for no bound.

    Call arguments:
        videos: [B, T, H, W, 3], float in [0, 1] or uint8; H and W multiples of `patch_size`; any T.
        frame_mask: bool [B, T]; True for a real frame. Real frames ignore the others.
        visible: the tokens to encode. None for all; a `TubeVisible`; a `BlockVisible`; or int
            [B, K], any positions t * N + n. Only these are computed, in the order of
            `visible.positions(...)`.
        return_features: return `EncoderFeatures` (needs `visible=None`).

    Returns:
        [B, T*N, D], or [B, K, D] for K visible tokens.

    Raises:
        ValueError: wrong rank, channels, or a size that is no multiple of the patch.
    """

    def __init__(
        self,
        patch_size: int,
        position_shape: tuple[int, int, int],
        hidden_dim: int,
        num_spatial_layers: int,
        num_temporal_layers: int,
        num_heads: int,
        mlp_dim: int,
        logit_cap: float | None = 50.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.patch_size = patch_size
        self.hidden_dim = hidden_dim
        dtype = self.dtype_policy
        block = {"num_heads": num_heads, "mlp_dim": mlp_dim, "logit_cap": logit_cap}
        self.patch_embedding = PatchEmbedding(
            hidden_dim, patch_size, dtype=dtype, name="patch_embedding"
        )
        self.spatial_position = LearnedPositionEmbedding(
            position_shape[1:], hidden_dim, dtype=dtype, name="spatial_position"
        )
        self.spatial_encoder = Transformer(
            num_spatial_layers, dtype=dtype, name="spatial_encoder", **block
        )
        self.spatial_norm = layer_norm("spatial_norm", dtype)
        self.temporal_position = LearnedPositionEmbedding(
            position_shape[:1], hidden_dim, dtype=dtype, name="temporal_position"
        )
        self.temporal_encoder = Transformer(
            num_temporal_layers, dtype=dtype, name="temporal_encoder", **block
        )
        self.temporal_norm = layer_norm("temporal_norm", dtype)

    def build(self, input_shape: tuple) -> None:
        self.patch_embedding.build(input_shape)
        self.spatial_position.build()
        self.temporal_position.build()
        for layer in (
            self.spatial_encoder,
            self.spatial_norm,
            self.temporal_encoder,
            self.temporal_norm,
        ):
            layer.build((None, None, self.hidden_dim))

    def call(
        self,
        videos: Tensor,
        frame_mask: Tensor = None,
        visible: Tensor | TubeVisible | BlockVisible = None,
        return_features: bool = False,
    ) -> Tensor | EncoderFeatures:
        grid = self.grid(videos)
        x = self.patch_embedding(videos)  # [B, T, N, D]
        x = x + self.spatial_position.resize(grid[1:])
        time = self.temporal_position.resize(grid[:1])  # [T, D]
        if return_features:
            if visible is not None:
                raise ValueError("return_features=True needs visible=None.")
            return self._encode_grid(x, time, frame_mask)
        if visible is None:
            return self._encode_grid(x, time, frame_mask).tokens
        if isinstance(visible, TubeVisible):
            x = ops.take_along_axis(x, visible.patches[:, None, :, None], axis=2)
            return self._encode_grid(x, time, frame_mask).tokens
        if isinstance(visible, BlockVisible):
            return self._encode_blocks(x, time, frame_mask, visible)
        return self._encode_flat(x, time, frame_mask, visible)

    def grid(self, videos: Tensor) -> tuple[int, int, int]:
        """(T, rows, columns) of videos [B, T, H, W, 3], in patches."""
        return grid_of(videos, self.patch_size)

    def _space(self, x: Tensor, frame_mask: Tensor = None) -> Tensor:
        """[B, T, N, D] -> the same: attention within each frame."""
        _, frames, patches, _ = ops.shape(x)
        padding_mask = None
        if frame_mask is not None:  # [B, T] -> [B*T, N]
            padding_mask = ops.repeat(ops.reshape(frame_mask, (-1, 1)), patches, axis=1)
        x = ops.reshape(x, (-1, patches, self.hidden_dim))
        x = self.spatial_encoder(x, attention_mask=_keys(padding_mask), padding_mask=padding_mask)
        return ops.reshape(self.spatial_norm(x), (-1, frames, patches, self.hidden_dim))

    def _time(self, x: Tensor, frame_mask: Tensor = None) -> list[Tensor]:
        """[B, T, N, D] -> outputs of all temporal layers, each the same shape."""
        _, frames, patches, _ = ops.shape(x)
        padding_mask = None
        if frame_mask is not None:  # [B, T] -> [B*N, T]
            padding_mask = ops.repeat(frame_mask, patches, axis=0)
        x = ops.reshape(ops.swapaxes(x, 1, 2), (-1, frames, self.hidden_dim))
        layers = self.temporal_encoder(
            x, attention_mask=_keys(padding_mask), padding_mask=padding_mask, return_layers=True
        )
        shape = (-1, patches, frames, self.hidden_dim)
        return [ops.swapaxes(ops.reshape(layer, shape), 1, 2) for layer in layers]

    def _encode_grid(self, x: Tensor, time: Tensor, frame_mask: Tensor) -> EncoderFeatures:
        """All frames have the same patches, so both attentions are dense."""
        spatial = self._space(x, frame_mask)  # [B, T, N, D]
        layers = self._time(spatial + ops.expand_dims(time, 1), frame_mask)
        return EncoderFeatures(
            _merge(self.temporal_norm(layers[-1])),
            _merge(spatial),
            [_merge(layer) for layer in layers],
        )

    def _encode_flat(
        self, x: Tensor, time: Tensor, frame_mask: Tensor, positions: Tensor
    ) -> Tensor:
        """Any set of tokens in one sequence; masks keep the frames, then the places, apart."""
        num_patches = ops.shape(x)[2]
        frame, patch = positions // num_patches, positions % num_patches  # [B, K]
        x = ops.take_along_axis(_merge(x), ops.expand_dims(positions, 2), axis=1)  # [B, K, D]
        padding_mask = None
        if frame_mask is not None:
            padding_mask = ops.take_along_axis(frame_mask, frame, axis=1)
        x = self.spatial_norm(
            self.spatial_encoder(
                x, attention_mask=_same(frame, _keys(padding_mask)), padding_mask=padding_mask
            )
        )
        x = x + ops.take(time, frame, axis=0)
        return self.temporal_norm(
            self.temporal_encoder(
                x, attention_mask=_same(patch, _keys(padding_mask)), padding_mask=padding_mask
            )
        )

    def _encode_blocks(
        self, x: Tensor, time: Tensor, frame_mask: Tensor, visible: BlockVisible
    ) -> Tensor:
        """Two groups of frames, then two groups of places; neither needs a mask."""
        t, v = visible.masked_frames.shape[1], visible.visible_patches.shape[1]
        x = ops.take_along_axis(x, visible.frames[:, :, None, None], axis=1)
        x = ops.take_along_axis(x, visible.patches[:, None, :, None], axis=2)
        time = ops.expand_dims(ops.take(time, visible.frames, axis=0), 2)  # [B, T, 1, D]
        mask_some = mask_every = None
        if frame_mask is not None:
            frame_mask = ops.take_along_axis(frame_mask, visible.frames, axis=1)
            mask_some, mask_every = frame_mask[:, :t], frame_mask[:, t:]
        some = self._space(x[:, :t, :v], mask_some) + time[:, :t]  # [B, t, v, D]
        if t == x.shape[1]:
            return _merge(self.temporal_norm(self._time(some, frame_mask)[-1]))
        every = self._space(x[:, t:], mask_every) + time[:, t:]  # [B, T - t, N, D]
        kept = ops.concatenate([some, every[:, :, :v]], axis=1)  # [B, T, v, D]
        kept = self._time(kept, frame_mask)[-1]
        lost = self._time(every[:, :, v:], mask_every)[-1]  # [B, T - t, N - v, D]
        every = ops.concatenate([kept[:, t:], lost], axis=2)
        tokens = ops.concatenate([_merge(kept[:, :t]), _merge(every)], axis=1)
        return self.temporal_norm(tokens)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return token_shape(input_shape, self.patch_size, self.hidden_dim)

    def compute_output_spec(self, videos: Tensor, **kwargs: Any) -> keras.KerasTensor:
        return keras.KerasTensor(self.compute_output_shape(videos.shape), dtype=self.compute_dtype)


def grid_of(videos: Tensor, patch_size: int) -> tuple[int, int, int]:
    """(T, rows, columns) of videos [B, T, H, W, 3], in patches."""
    check_videos(videos, patch_size)
    _, frames, height, width, _ = ops.shape(videos)
    return frames, height // patch_size, width // patch_size


def token_shape(video_shape: tuple, patch_size: int, hidden_dim: int) -> tuple:
    """Shape [B, T*N, D] of the tokens of videos [B, T, H, W, 3]; None where it is not known."""
    batch, frames, height, width, _ = video_shape
    known = None not in (frames, height, width)
    tokens = frames * (height // patch_size) * (width // patch_size) if known else None
    return (batch, tokens, hidden_dim)


def check_videos(videos: Tensor, patch_size: int) -> None:
    """ValueError unless float or uint8 [B, T, H, W, 3], H and W multiples of the patch."""
    shape, dtype = videos.shape, keras.backend.standardize_dtype(videos.dtype)
    if dtype != "uint8" and not keras.backend.is_float_dtype(dtype):
        raise ValueError(
            f"videos must be float in [0, 1] or uint8; received {dtype}. Cast 0 to 255 to uint8."
        )
    if len(shape) != 5 or shape[-1] not in (3, None):
        raise ValueError(
            "videos must have the shape [batch, frames, height, width, 3] (an image is a clip of "
            f"one frame); received {tuple(shape)}."
        )
    if 0 in shape:
        raise ValueError(f"videos must have at least one clip and frame; received {tuple(shape)}.")
    for name, size in zip(("height", "width"), shape[2:4], strict=True):
        if size is not None and size % patch_size:
            lower = size // patch_size * patch_size
            nearest = max(lower, patch_size), lower + patch_size
            raise ValueError(
                f"the {name} must be a multiple of the patch size {patch_size}; received {size}. "
                f"Resize to {nearest[0]} or {nearest[1]}."
            )


def _merge(x: Tensor) -> Tensor:
    """[B, T, N, D] -> [B, T*N, D]."""
    _, frames, patches, width = ops.shape(x)
    return ops.reshape(x, (-1, frames * patches, width))


def _keys(padding_mask: Tensor) -> Tensor:
    """[B, S] -> [B, 1, S]: every query may attend to the real tokens."""
    return None if padding_mask is None else ops.expand_dims(padding_mask, 1)


def _same(segment: Tensor, mask: Tensor) -> Tensor:
    """[B, K] -> [B, K, K]: tokens of one segment attend to each other, and `mask` must allow it."""
    same = ops.equal(ops.expand_dims(segment, 2), ops.expand_dims(segment, 1))
    return same if mask is None else ops.logical_and(same, mask)
