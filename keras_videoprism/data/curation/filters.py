"""Tests of single clips, by which a corpus is cleaned (Appendix A.1 of the paper).

A table filter looks at a row and its columns before anything is decoded, a frame filter at frames.
The paper filters by view counts and lengths and by how well clip and text agree; it drops clips
whose frames do not change and videos that are mostly talking heads. It gives no limits.
"""

import math
from collections.abc import Callable, Mapping
from itertools import compress
from typing import Any, NamedTuple

import numpy as np

from keras_videoprism.data.manifest import Row
from keras_videoprism.data.video import read_header


class Fault(NamedTuple):
    """Why a clip is dropped, and the value that was measured."""

    reason: str
    value: Any


# (row, values by column) -> a fault, or None.
TableFilter = Callable[[Row, Mapping[str, Any]], Fault | None]
# (row, uint8 RGB frames [T, H, W, 3], embedding [D] of the clip or None) -> a fault, or the row,
# which may have lost captions.
FrameFilter = Callable[[Row, np.ndarray, np.ndarray | None], Row | Fault]
# uint8 RGB [H, W, 3] -> boxes [n, 4] as (y, x, height, width) in pixels.
FaceDetector = Callable[[np.ndarray], np.ndarray]


def out_of_range(
    name: str, value: float, minimum: float | None = None, maximum: float | None = None
) -> Fault | None:
    """A fault where a value lies outside [minimum, maximum]; None sets no limit."""
    if minimum is not None and value < minimum:
        return Fault(f"{name} below {minimum:g}", value)
    if maximum is not None and value > maximum:
        return Fault(f"{name} above {maximum:g}", value)
    return None


def column_filter(
    minima: Mapping[str, float] | None = None, maxima: Mapping[str, float] | None = None
) -> TableFilter:
    """Limits of other columns of the table, such as the number of views.

    Args:
        minima, maxima: limits by column. A row whose column holds no number is at fault.
    """
    minima, maxima = minima or {}, maxima or {}

    def judge(row: Row, record: Mapping[str, Any]) -> Fault | None:
        for column in {**minima, **maxima}:
            value = _number(record.get(column))
            if math.isnan(value):
                return Fault(f"{column} is no number", record.get(column))
            fault = out_of_range(column, value, minima.get(column), maxima.get(column))
            if fault:
                return fault
        return None

    return judge


def header_filter(
    *,
    min_duration: float | None = None,
    max_duration: float | None = None,
    min_short_side: float | None = None,
    min_frame_rate: float | None = None,
    max_frame_rate: float | None = None,
) -> TableFilter:
    """Limits of the duration (s), the shorter side (pixels) and the frame rate (1/s).

    An image has a duration and a frame rate of 0.
    """

    def judge(row: Row, record: Mapping[str, Any]) -> Fault | None:
        header = read_header(row.path, row.start, row.end)
        side = min(header.height, header.width)
        return (
            out_of_range("duration", header.duration, min_duration, max_duration)
            or out_of_range("short side", side, min_short_side)
            or out_of_range("frame rate", header.frame_rate, min_frame_rate, max_frame_rate)
        )

    return judge


def static_filter(
    embed_frames: Callable[[np.ndarray], np.ndarray], max_static: float = 0.98
) -> FrameFilter:
    """Drops clips whose frames are alike in meaning; an image is such a clip.

    Args:
        embed_frames: uint8 frames [T, H, W, 3] -> embeddings [T, D], one for each frame.
        max_static: largest `stillness`.
    """

    def judge(row: Row, frames: np.ndarray, embedding: np.ndarray | None) -> Row | Fault:
        value = stillness(embed_frames(frames))
        return out_of_range("likeness of frames", value, maximum=max_static) or row

    return judge


def stillness(frame_embeddings: np.ndarray) -> float:
    """Mean cosine of all pairs of frames, embedded as [T, D]: 1 for a clip that does not change."""
    num_frames = len(frame_embeddings)
    if num_frames == 1:
        return 1.0
    unit = frame_embeddings / np.linalg.norm(frame_embeddings, axis=1, keepdims=True)
    # |sum of unit vectors|^2 counts each pair twice and each vector with itself once.
    total = float(np.square(unit.sum(axis=0, dtype="float64")).sum())
    return (total - num_frames) / (num_frames * (num_frames - 1))


def grounding_filter(
    embed_texts: Callable[[tuple[str, ...]], np.ndarray], min_grounding: float
) -> FrameFilter:
    """Takes away captions that do not fit the clip, and clips that lose all of theirs.

    A clip without a caption stays as it is.

    Args:
        embed_texts: n texts -> embeddings [n, D], L2-normalised, in the space of the clip's.
        min_grounding: smallest cosine of clip and text.
    """

    def judge(row: Row, frames: np.ndarray, embedding: np.ndarray | None) -> Row | Fault:
        if not row.captions:
            return row
        cosines = embed_texts(row.captions) @ embedding
        fits = cosines >= min_grounding
        captions, prompts = (tuple(compress(texts, fits)) for texts in (row.captions, row.prompts))
        fault = out_of_range("grounding", float(cosines.max()), min_grounding)
        return fault or row._replace(captions=captions, prompts=prompts)

    return judge


def talking_head_filter(
    detect_faces: FaceDetector | None = None,
    *,
    min_face: float = 0.25,
    max_share: float = 0.5,
    num_frames: int = 8,
) -> FrameFilter:
    """Drops videos that mostly show a large face.

    Args:
        detect_faces: finds the faces of a frame; default `haar_faces`.
        min_face: height of a large face as a part of the frame's shorter side.
        max_share: largest share of frames with a large face.
        num_frames: frames that are looked at, spread over the clip.
    """
    detect = detect_faces or haar_faces(min_face)

    def judge(row: Row, frames: np.ndarray, embedding: np.ndarray | None) -> Row | Fault:
        chosen = frames[:: max(1, len(frames) // num_frames)]
        height = min_face * min(frames.shape[1:3])
        large = [any(box[2] >= height for box in detect(frame)) for frame in chosen]
        share = sum(large) / len(large)
        return out_of_range("share of frames with a large face", share, maximum=max_share) or row

    return judge


def haar_faces(min_face: float = 0.25) -> FaceDetector:
    """OpenCV's detector of frontal faces, a cascade of Haar features that comes with it.

    Args:
        min_face: smaller faces are not looked for; see `talking_head_filter`.

    Raises:
        ImportError: OpenCV is not installed.
    """
    try:
        import cv2
        import cv2.data
    except ImportError as error:
        raise ImportError(
            "Faces are found by OpenCV, which is not installed. "
            'Install the extra `curation`: pip install "keras-videoprism[curation]"'
        ) from error
    cascade = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_default.xml")

    def detect(frame: np.ndarray) -> np.ndarray:
        grey = cv2.equalizeHist(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY))
        side = round(min_face * min(grey.shape))
        found = np.reshape(cascade.detectMultiScale(grey, 1.1, 5, minSize=(side, side)), (-1, 4))
        return found[:, [1, 0, 3, 2]]  # OpenCV puts x first

    return detect


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan
