"""Features of boxes on a feature map (RoIAlign, He et al., 2017)."""

from keras import ops

from keras_videoprism.layers.typing import Tensor


def roi_align(features: Tensor, boxes: Tensor, size: int = 7) -> Tensor:
    """Divide each box into cells, and take the feature map at the middle of each cell.

    One bilinear sample for each cell, as in VideoGLUE: crop 7, sample offset 0.5, the coordinate i
    is at the feature of index i (`multilevel_crop_and_resize` in
    official/vision/ops/spatial_transform_ops.py of tensorflow/models). Samples beyond the map take
    its edge. The weights of rows and of columns are apart, so that two matrix products do it all:
    their shapes are constant, and gradients reach features and boxes.

    Args:
        features: [B, h, w, C].
        boxes: [B, N, 4], (ymin, xmin, ymax, xmax), where 1 is the height or width of the map.
        size: cells along each side of a box.

    Returns:
        [B, N, size, size, C].

    Raises:
        ValueError: wrong rank, or boxes of other than four numbers.
    """
    if len(features.shape) != 4 or len(boxes.shape) != 3 or boxes.shape[-1] != 4:
        raise ValueError(
            "features must be [batch, height, width, channels] and boxes [batch, boxes, 4], each "
            f"(ymin, xmin, ymax, xmax); received {tuple(features.shape)}, {tuple(boxes.shape)}."
        )
    _, height, width, _ = features.shape
    boxes = ops.cast(boxes, "float32")
    rows = _sample_weights(boxes[..., 0], boxes[..., 2], height, size)  # [B, N, size, h]
    columns = _sample_weights(boxes[..., 1], boxes[..., 3], width, size)  # [B, N, size, w]
    rows, columns = ops.cast(rows, features.dtype), ops.cast(columns, features.dtype)
    crops = ops.einsum("bnyh,bhwc->bnywc", rows, features)
    return ops.einsum("bnxw,bnywc->bnyxc", columns, crops)


def _sample_weights(low: Tensor, high: Tensor, length: int, size: int) -> Tensor:
    """Weights of the `length` features along one side for each cell, [B, N, size, length]."""
    middles = (ops.arange(size, dtype="float32") + 0.5) / size
    low, high = ops.expand_dims(low, -1), ops.expand_dims(high, -1)
    places = ops.clip((low + middles * (high - low)) * length, 0.0, length - 1.0)  # [B, N, size]
    distance = ops.abs(ops.expand_dims(places, -1) - ops.arange(length, dtype="float32"))
    return ops.relu(1.0 - distance)
