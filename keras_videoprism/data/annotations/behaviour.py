"""Mice and zebras, with a behaviour for each frame (Appendix H): windows of frames.

`windows.py` has the rule by which a window gets its labels. A background class ("other") is a
class like the others here; the metrics leave it out.
"""

from collections.abc import Sequence
from itertools import chain, groupby
from pathlib import Path

from keras_videoprism.data.annotations.files import (
    File,
    pairs,
    read_csv,
    read_json,
    read_text,
    rows_of,
)
from keras_videoprism.data.annotations.windows import window_rows
from keras_videoprism.data.manifest import Row


def calms21(
    file: File,
    videos: File,
    *,
    fps: float = 30.0,
    num_frames: int = 16,
    step: int | None = None,
) -> list[Row]:
    """CalMS21, task 1 (Sun et al., 2021a): attack 0, investigation 1, mount 2, other 3.

    The data set also comes as .npy files of pickled objects, which are not read. Where its release
    keeps the videos could not be checked.

    Args:
        file: calms21_task1_train.json or calms21_task1_test.json.
        videos: has `<sequence>.mp4`, such as `task1/train/mouse001_task1_annotator1.mp4`.
        fps: frames per second of the videos.
        num_frames: frames of a window.
        step: frames from one window to the next; default: `num_frames`.
    """

    def windows(entry: tuple[str, dict]) -> list[Row]:
        sequence, content = entry
        labels = content["annotations"]
        unknown = set(labels) - set(content["metadata"]["vocab"].values())
        if unknown:
            raise ValueError(f"labels {sorted(unknown)} are not in the vocabulary")
        frames = [[label] for label in labels]
        return window_rows(videos, f"{sequence}.mp4", frames, fps=fps, span=num_frames, step=step)

    groups = pairs(file, read_json(file))
    sequences = [pair for _, group in groups for pair in pairs(file, group)]
    return list(chain.from_iterable(rows_of(file, sequences, windows)))


def crim13(
    folder: File,
    videos: File,
    *,
    suffix: str = ".mp4",
    classes: Sequence[str] | None = None,
    fps: float = 25.0,
    num_frames: int = 16,
    step: int | None = None,
) -> list[Row]:
    """CRIM13 (Burgos-Artizzu et al., 2012): two views of pairs of mice, 12 behaviours and other.

    Streams of one file annotate the same frames; a frame has the behaviours of all of them. The
    split, the file names and the frame rate of the release could not be checked.

    Args:
        folder: text files of the Caltech Behavior Annotator, in it or below.
        videos: for each `<name>.txt` has `<name><suffix>`, made from the .seq file.
        suffix: end of the videos' names, by which the side and the top view differ.
        classes: behaviours in the order of their ids; default: as the first file lists them.
        fps: frames per second of the videos.
        num_frames: frames of a window.
        step: frames from one window to the next; default: `num_frames`.
    """
    files = sorted(Path(folder).rglob("*.txt"))
    annotations = rows_of(folder, files, lambda file: (file, *read_behaviours(file)))
    ids = {name: index for index, name in enumerate(classes or annotations[0][1])}

    def windows(annotation: tuple[Path, list[str], list[list[str]]]) -> list[Row]:
        file, _, streams = annotation
        labels = [{ids[behaviour] for behaviour in frame} for frame in zip(*streams, strict=True)]
        video = file.relative_to(folder).with_suffix("").as_posix() + suffix
        return window_rows(videos, video, labels, fps=fps, span=num_frames, step=step)

    return list(chain.from_iterable(rows_of(folder, annotations, windows)))


_MAX_FRAMES = 10_000_000  # four days; bounds the memory that a wrong number can take
_HEADER = ["Caltech Behavior Annotator - Annotation File", "", "Configuration file:"]


def read_behaviours(file: File) -> tuple[list[str], list[list[str]]]:
    """A text file of the Caltech Behavior Annotator.

    It has a header, the behaviours with their keys (`approach a`), and for each stream a line
    `S1: start end type`, a line of dashes and rows such as `1 943 other`: the first and the last
    frame, counted from 1. Blank lines stand between these parts.

    Returns:
        The names of the behaviours; for each stream, the behaviour of each frame.

    Raises:
        ValueError: another format, an unknown behaviour, a gap or an overlap between two rows, or
            streams of different lengths.
    """
    lines = [line.strip() for line in read_text(file).splitlines()]
    if lines[:3] != _HEADER:
        raise ValueError(f"not a file of the Caltech Behavior Annotator; it begins {lines[:3]}")
    parts = [list(part) for filled, part in groupby(lines[3:], bool) if filled]
    if len(parts) < 2:
        raise ValueError("needs a list of behaviours and a stream")
    behaviours = [line.split()[0] for line in parts[0]]
    streams = [_stream(part, behaviours) for part in parts[1:]]
    if len({len(stream) for stream in streams}) > 1:
        raise ValueError(f"streams end at the frames {[len(stream) for stream in streams]}")
    return behaviours, streams


def _stream(lines: list[str], behaviours: list[str]) -> list[str]:
    if len(lines) < 3 or not lines[0].startswith("S") or set(lines[1]) != {"-"}:
        raise ValueError(f"not a stream of behaviours: it begins {lines[:3]}")
    frames: list[str] = []
    for line in lines[2:]:
        first, last, behaviour = line.split()
        if int(first) != len(frames) + 1 or not int(first) <= int(last) <= _MAX_FRAMES:
            raise ValueError(f"row {line!r} does not follow frame {len(frames)}")
        if behaviour not in behaviours:
            raise ValueError(f"row {line!r}: unknown behaviour; known are {behaviours}")
        frames += [behaviour] * (int(last) - int(first) + 1)
    return frames


def kabr(
    file: File,
    videos: File,
    *,
    fps: float = 30.0,
    num_frames: int = 16,
    frame_stride: int = 5,
    step: int | None = None,
) -> list[Row]:
    """KABR (Kholiavchenko et al., 2024): giraffes and zebras from a drone, 8 behaviours.

    The release has images. Join those of a mini-scene to a video, at the rate that `fps` says.

    Args:
        file: train.csv or val.csv: the values original_vido_id (so spelled), video_id, frame_id,
            path and labels with spaces between, one line for each frame.
        videos: has `<original_vido_id>.mp4`.
        fps: frames per second of the videos.
        num_frames, frame_stride: a window spans their product.
        step: frames from one window to the next; default: the span.
    """

    def windows(frames: list[dict[str, str]]) -> list[Row]:
        name = f"{frames[0]['original_vido_id']}.mp4"
        if [int(frame["frame_id"]) for frame in frames] != list(range(1, len(frames) + 1)):
            raise ValueError(f"the frames of {name} must be numbered from 1 without a gap")
        labels = [[int(frame["labels"])] for frame in frames]
        span = num_frames * frame_stride
        return window_rows(videos, name, labels, fps=fps, span=span, step=step)

    lines = read_csv(file, delimiter=" ")
    scenes = groupby(lines, lambda line: line.get("original_vido_id"))
    return list(chain.from_iterable(rows_of(file, [list(group) for _, group in scenes], windows)))
