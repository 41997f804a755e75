"""Fly vs. Fly (Eyjolfsdottir et al., 2014; Appendix H): windows of frames.

`windows.py` has the rule by which a window gets its labels. The paper takes the split of Sun et al.
(2021b), made for their method TREBA, and the behaviours with over 1,000 frames in its training set.
"""

from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from keras_videoprism.data.annotations.files import File, rows_of
from keras_videoprism.data.annotations.windows import window_rows
from keras_videoprism.data.manifest import Row

FLY_BEHAVIOURS = ("lunge", "wing threat", "tussle", "wing extension", "circle", "copulation")


def fly_vs_fly(
    folder: File,
    videos: File,
    *,
    fps: float,
    classes: Sequence[str] = FLY_BEHAVIOURS,
    num_frames: int = 16,
    step: int | None = None,
) -> list[Row]:
    """The MATLAB files of the release (needs SciPy); a frame has the behaviours of both flies.

    `<movie>_actions.mat` has the names `behs` and the cells `bouts` [flies, behaviours], each with
    rows of a first frame, a last frame and a flag. `<movie>_track.mat` has `trk.data` [flies,
    frames, features], of which only the number of frames is used. That bouts count from 1 and
    include their last frame could not be checked, nor how the release spells the behaviours.

    Args:
        folder: the two files of each movie, in it or below.
        videos: for each `<name>_actions.mat` has `<name>.mp4`.
        fps: frames per second of the videos; the sets of the release differ.
        classes: behaviours in the order of their ids; a movie's others are left out.
        num_frames: frames of a window.
        step: frames from one window to the next; default: `num_frames`.
    """

    def windows(actions: Path) -> list[Row]:
        movie = actions.name.removesuffix("_actions.mat")
        track = _read_mat(actions.with_name(f"{movie}_track.mat"), "trk")["trk"]
        length = track["data"][0, 0].shape[1]
        active = _active(_read_mat(actions, "behs", "bouts"), length, classes)
        name = (actions.parent.relative_to(folder) / f"{movie}.mp4").as_posix()
        return window_rows(videos, name, _class_ids(active), fps=fps, span=num_frames, step=step)

    files = sorted(Path(folder).rglob("*_actions.mat"))
    return list(chain.from_iterable(rows_of(folder, files, windows)))


def _read_mat(file: Path, *names: str) -> dict[str, Any]:
    """The named variables of a MATLAB file, up to its version 7."""
    from scipy.io import loadmat

    try:
        content = loadmat(file, variable_names=names)
        return {name: content[name] for name in names}
    except FileNotFoundError:
        raise
    except Exception as error:  # a damaged file fails in many ways
        raise ValueError(
            f"{file}: no MATLAB file with {names}, version 7 or less: {error!r}"
        ) from error


def _active(content: dict[str, Any], length: int, classes: Sequence[str]) -> np.ndarray:
    """Whether a fly shows each class in each frame: bool [frames, classes]."""
    names = [str(np.squeeze(name)).strip().lower() for name in content["behs"].flat]
    names = [name.replace("_", " ") for name in names]
    bouts = content["bouts"]
    if bouts.ndim != 2 or bouts.shape[1] != len(names):
        raise ValueError(f"bouts {bouts.shape} do not fit the behaviours {names}")
    if not set(names) & set(classes):
        raise ValueError(f"none of the behaviours {names} is among the classes {list(classes)}")
    active = np.zeros((length, len(classes)), bool)
    for (_, column), rows in np.ndenumerate(bouts):
        for first, last in np.asarray(rows).reshape(-1, 3)[:, :2].astype(int):
            if not 1 <= first <= last <= length:
                raise ValueError(f"bout {first} to {last} of {names[column]} in {length} frames")
            if names[column] in classes:
                active[first - 1 : last, classes.index(names[column])] = True
    return active


def _class_ids(active: np.ndarray) -> list[list[int]]:
    return [np.flatnonzero(frame).tolist() for frame in active]


def treba_flies(
    file: File,
    videos: File,
    lengths: Mapping[str, int],
    *,
    fps: float,
    num_frames: int = 16,
    step: int | None = None,
) -> list[Row]:
    """The frames of one part of TREBA's split, with the classes of `FLY_BEHAVIOURS`.

    Its files name no videos. They hold `annotations` [6, frames]: 0 or 1 for each behaviour and
    frame, the movies one after another. Objects that need pickle are not read. The order of the
    movies could not be checked.

    Args:
        file: fly_train_keypoints.npz, or that of val or test.
        videos: the folder of the videos.
        lengths: number of frames of each video file, in the order of the annotations.
        fps: frames per second of the videos.
        num_frames: frames of a window.
        step: frames from one window to the next; default: `num_frames`.
    """
    annotations = _treba_annotations(file)
    ends = np.cumsum(list(lengths.values()))
    if min(lengths.values(), default=0) < 1 or ends[-1] != annotations.shape[1]:
        raise ValueError(f"{file}: has {annotations.shape[1]} frames, lengths are {dict(lengths)}")

    def windows(entry: tuple[str, np.ndarray]) -> list[Row]:
        name, part = entry
        return window_rows(videos, name, _class_ids(part.T), fps=fps, span=num_frames, step=step)

    movies = zip(lengths, np.split(annotations, ends[:-1], axis=1), strict=True)
    return list(chain.from_iterable(rows_of(file, movies, windows)))


def _treba_annotations(file: File) -> np.ndarray:
    """The array [6, frames] of zeros and ones."""
    try:
        with np.load(file, allow_pickle=False) as content:
            annotations = content["annotations"]
    except (ValueError, KeyError, TypeError, EOFError, BadZipFile) as error:
        raise ValueError(f"{file}: no plain array `annotations` in it: {error}") from error
    if annotations.ndim == 3 and annotations.shape[2] == 1:
        annotations = annotations[..., 0]
    fits = annotations.ndim == 2 and len(annotations) == len(FLY_BEHAVIOURS)
    if not fits or not np.isin(annotations, (0, 1)).all():
        raise ValueError(f"{file}: expected 0 or 1 in [6, frames], has {annotations.shape}")
    return annotations
