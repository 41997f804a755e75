"""Frames -> how much they move: the mean length of the optical flow (Table 8 of the paper)."""

from typing import Any

import numpy as np

FLOW_RATE = 8.0  # frames per second, as in Table 8
FLOW_SIZE = 256  # pixels of both sides, as in Table 8


def flow_magnitude(frames: np.ndarray) -> float:
    """Mean length of the flow between neighbouring frames, over all pixels.

    Flow is by OpenCV's dense inverse search (DIS, arXiv 1603.03590).

    Args:
        frames: uint8 RGB [T, H, W, 3], T >= 2, at 8 frames per second. They are squeezed to
            256 x 256 pixels.

    Returns:
        Pixels of the squeezed frames per frame of 1/8 s.

    Raises:
        ImportError: OpenCV is not installed.
        ValueError: fewer than two frames.
    """
    try:
        import cv2
    except ImportError as error:
        raise ImportError(
            "Optical flow is measured by OpenCV, which is not installed. "
            'Install the extra `curation`: pip install "keras-videoprism[curation]"'
        ) from error
    if len(frames) < 2:
        raise ValueError(f"flow needs at least two frames, received {len(frames)}")
    size = (FLOW_SIZE, FLOW_SIZE)
    method: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    small = (cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in frames)
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in small]
    flows = (method.calc(a, b, None) for a, b in zip(grey, grey[1:], strict=False))
    return float(np.mean([np.linalg.norm(flow, axis=-1).mean() for flow in flows]))
