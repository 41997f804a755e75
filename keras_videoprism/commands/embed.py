"""Video files -> embeddings."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np

from keras_videoprism.data.atomic import atomic_path
from keras_videoprism.data.augment import resize
from keras_videoprism.data.video import VideoError, read_video
from keras_videoprism.models import VideoPrismLvT


class Embeddings(NamedTuple):
    """embeddings: float32 [n, D]; files: the n files; failed: (file, reason) of the others."""

    embeddings: np.ndarray
    files: list[str]
    failed: list[tuple[str, str]]

    def save(self, path: str | Path) -> None:
        """Write `embeddings` and `files` as npz; a file appears whole or not at all."""
        with atomic_path(path) as temporary, open(temporary, "wb") as file:
            np.savez(file, embeddings=self.embeddings, files=np.array(self.files, dtype=str))


def embed(
    model: keras.Model,
    files: Sequence[str | Path],
    num_frames: int | None = None,
    image_size: tuple[int, int] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Embeddings:
    """One embedding per file, of frames spread uniformly over it.

    Args:
        model: `VideoPrismLvT` gives its L2-normalised video embedding; `VideoPrism` the mean of
            its tokens.
        files: videos or images.
        num_frames, image_size: size of the clips; default the native size of the model.
        progress: called with (files done, files in all).
    """
    encoder = model.video_encoder if isinstance(model, VideoPrismLvT) else model
    frames, rows, columns = encoder.position_shape
    num_frames = num_frames or frames
    image_size = image_size or (rows * encoder.patch_size, columns * encoder.patch_size)
    embeddings, done, failed = [], [], []
    for index, file in enumerate(files):
        try:
            clip = read_clip(file, num_frames, image_size)
            embeddings.append(_embed_clips(model, clip[None])[0])
            done.append(str(file))
        except VideoError as error:
            failed.append((str(file), str(error).removeprefix(f"{file}: ")))
        if progress is not None:
            progress(index + 1, len(files))
    width = encoder.hidden_dim
    return Embeddings(np.array(embeddings, "float32").reshape(-1, width), done, failed)


def read_clip(file: str | Path, num_frames: int, image_size: tuple[int, int]) -> np.ndarray:
    """Frames spread uniformly over a file: float32 [T, H, W, 3] in [0, 1].

    The frames are cropped centrally to the aspect of `image_size` and resized.
    """
    frames = read_video(file, num_frames=num_frames, short_side=max(image_size)).frames
    chosen = np.arange(num_frames) * len(frames) // num_frames
    return np.asarray(resize(frames[chosen], image_size))


def _embed_clips(model: keras.Model, clips: np.ndarray) -> np.ndarray:
    if isinstance(model, VideoPrismLvT):
        return keras.ops.convert_to_numpy(model.encode_video(clips))
    return keras.ops.convert_to_numpy(keras.ops.mean(model(clips), axis=1))
