"""Video files -> embeddings, one per file or one per window of a long file."""

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np

from keras_videoprism.data import sample
from keras_videoprism.data.atomic import atomic_path
from keras_videoprism.data.augment import central_box, resize
from keras_videoprism.data.video import VideoError, frame_times, read_video
from keras_videoprism.models import VideoPrism, VideoPrismLvT

# The official demo's choices come first.
SAMPLINGS = {"uniform": sample.uniform, "endpoints": sample.endpoints}
RESIZES = ("lanczos3", "bicubic", "bilinear", "area")
VALUES_AT_ONCE = 2**24  # that are resized: 64 MB as float32


class Embeddings(NamedTuple):
    """What was embedded.

    embeddings: float32 [n, D]; files: their n files; times: float64 [n, 2], start and end in
    seconds; failed: (file, reason) of the files that gave none.
    """

    embeddings: np.ndarray
    files: list[str]
    times: np.ndarray
    failed: list[tuple[str, str]]

    def save(self, path: str | Path) -> None:
        """Write `embeddings`, `files` and `times` as npz; a file appears whole or not at all."""
        files = np.array(self.files, dtype=str)
        with atomic_path(path) as temporary, open(temporary, "wb") as file:
            np.savez(file, embeddings=self.embeddings, files=files, times=self.times)


def embed(
    model: keras.Model,
    files: Sequence[str | Path],
    num_frames: int | None = None,
    image_size: tuple[int, int] | None = None,
    progress: Callable[[int, int], None] | None = None,
    *,
    window: float | None = None,
    stride: float | None = None,
    sampling: str = "uniform",
    resize_method: str = "lanczos3",
    crop: bool = True,
) -> Embeddings:
    """Embed each file as one clip, or in windows.

    Memory does not grow with the length of a file: one clip is held at a time.

    Args:
        model: `VideoPrismLvT` gives its L2-normalised video embedding; `VideoPrism` the mean of
            its tokens.
        files: videos or images.
        num_frames, image_size: size of the clips; default the native size of the model.
        progress: called with (files done, files in all).
        window: length of a window in seconds; None takes each file as one.
        stride: seconds between the starts of windows; default the window. The last window is
            moved back to end with the file.
        sampling, resize_method, crop: see `read_clip`.
    """
    encoder = model.video_encoder if isinstance(model, VideoPrismLvT) else model
    num_frames = num_frames or encoder.position_shape[0]
    image_size = image_size or encoder.image_size
    embeddings, done, times, failed = [], [], [], []
    for index, file in enumerate(files):
        found = []
        try:
            for start, end in windows(file, window, stride):
                part = {} if window is None else {"start": start, "end": end}
                clip = read_clip(
                    file, num_frames, image_size, sampling, resize_method, crop, **part
                )
                found.append((embed_clips(model, clip[None])[0], start, end))
        except VideoError as error:
            failed.append((str(file), error.reason(file)))
        else:
            embeddings += [embedding for embedding, _, _ in found]
            times += [(start, end) for _, start, end in found]
            done += [str(file)] * len(found)
        if progress is not None:
            progress(index + 1, len(files))
    return Embeddings(
        np.array(embeddings, "float32").reshape(-1, encoder.hidden_dim),
        done,
        np.array(times, "float64").reshape(-1, 2),
        failed,
    )


def windows(
    file: str | Path, window: float | None, stride: float | None = None
) -> Iterator[tuple[float, float]]:
    """(start, end) in seconds of the windows that cover a file.

    Raises:
        ValueError: window or stride not positive, or gaps between windows.
        VideoError: the file cannot be read.
    """
    if window is not None and not 0 < (stride or window) <= window:
        raise ValueError(f"needs 0 < stride <= window, received stride={stride}, window={window}")
    times = frame_times(file)
    # The last frame lasts as long as the one before.
    end = float(times[-1] + (times[-1] - times[-2] if len(times) > 1 else 0.0))
    if window is None or end <= window:
        yield 0.0, end
        return
    for index in range(math.ceil((end - window) / (stride or window) - 1e-6) + 1):
        start = min(index * (stride or window), end - window)
        yield start, start + window


def read_clip(
    file: str | Path,
    num_frames: int,
    image_size: tuple[int, int],
    sampling: str = "uniform",
    resize_method: str = "lanczos3",
    crop: bool = True,
    start: float | None = None,
    end: float | None = None,
) -> np.ndarray:
    """Frames of a file as a model takes them: uint8 [T, H, W, 3].

    By default the frames of the official demo: spread uniformly without the end point, resized by
    a Lanczos filter. A shorter file repeats frames.

    Args:
        file: video or image.
        num_frames: T.
        image_size: (H, W).
        sampling: "uniform", or "endpoints" from the first to the last frame.
        resize_method: "lanczos3", "bicubic" (Transformers), "bilinear" (KerasHub) or "area".
        crop: crop centrally to the aspect of `image_size`; False squeezes the frame.
        start, end: part of the file in seconds.
    """
    if sampling not in SAMPLINGS or resize_method not in RESIZES:
        raise ValueError(
            f"sampling must be one of {sorted(SAMPLINGS)} and resize_method one of {RESIZES}, "
            f"received {sampling!r} and {resize_method!r}"
        )
    choose = SAMPLINGS[sampling]
    frames = read_video(file, start, end, num_frames=num_frames, sampling=choose).frames
    return fit_frames(frames, num_frames, image_size, sampling, resize_method, crop)


def fit_frames(
    frames: np.ndarray,
    num_frames: int,
    image_size: tuple[int, int],
    sampling: str = "uniform",
    resize_method: str = "lanczos3",
    crop: bool = True,
) -> np.ndarray:
    """Decoded frames uint8 [n, h, w, 3] -> [T, H, W, 3]; arguments as in `read_clip`."""
    chosen = frames[SAMPLINGS[sampling](len(frames), num_frames)]
    if crop:
        (top, left), (height, width) = (
            part.numpy() for part in central_box(chosen.shape[1:3], image_size)
        )
        chosen = chosen[:, top : top + height, left : left + width]
    # In parts: 16 frames of 1080p are 400 MB as float32.
    number = max(VALUES_AT_ONCE // chosen[0].size, 1)
    parts = [chosen[start : start + number] for start in range(0, len(chosen), number)]
    return np.concatenate([resize(part, image_size, resize_method) for part in parts])


def embed_clips(model: keras.Model, clips: np.ndarray) -> np.ndarray:
    """Clips [B, T, H, W, 3] -> embeddings [B, D], compiled."""
    compile_forward(model)
    if isinstance(model, VideoPrism):
        return np.asarray(model.predict_on_batch(clips)).mean(axis=1)
    return np.asarray(model.predict_on_batch({"videos": clips})["video_embeddings"])


def compile_forward(model: keras.Model) -> None:
    """Let `predict` use XLA, which Keras does on TensorFlow only with a GPU; 1.2 times as fast."""
    if keras.backend.backend() == "tensorflow" and not model.jit_compile:
        model.jit_compile = True
        model.predict_function = None
