"""Actions with boxes in key frames: spatiotemporal localisation (Table 12, STAL).

A `Row` holds neither boxes nor the time of the key frame, so these functions return a `KeyFrame`
for each annotated frame. Its row is a clip centred at the key frame, cut where the video begins,
whose labels are the actions of all its boxes: `write_records([frame.row for frame in frames])`.
"""

import math
import re
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from keras_videoprism.data.annotations.classes import kinetics_name
from keras_videoprism.data.annotations.files import File, clip, read_csv, read_keys, rows_of
from keras_videoprism.data.manifest import Row

Corners = tuple[float, float, float, float]


class Box(NamedTuple):
    """One person or animal in one frame.

    `corners` are left, top, right and bottom as fractions of the width and height; `labels` class
    ids from 0; `instance` the id that follows it through the video, where there is one.
    """

    corners: Corners
    labels: tuple[int, ...]
    instance: int | None = None


class KeyFrame(NamedTuple):
    """An annotated frame: its clip, its time in seconds of the file, its boxes (maybe none)."""

    row: Row
    time: float
    boxes: tuple[Box, ...]


def ava(
    file: File,
    videos: File,
    *,
    excluded: File | None = None,
    offset: float = 0.0,
    duration: float = 64 / 30,
) -> list[KeyFrame]:
    """AVA v2.2 (Gu et al., 2018): 80 actions, of which 60 are evaluated; key frames each second.

    Class ids are those of the data set less one.

    Args:
        file: ava_train_v2.2.csv or ava_val_v2.2.csv, without header.
        videos: has `<video_id>.mp4`.
        excluded: ava_val_excluded_timestamps_v2.2.csv; its key frames are left out.
        offset: seconds that the files lack at their start: 900 if they hold only the annotated
            quarter of an hour.
        duration: seconds of a clip; by default those of 16 frames with stride 4 at 30 per second.

    Raises:
        ValueError: a box that is empty or leaves the frame, an action other than 1 to 80.
    """
    left_out = {frame[:2] for frame in _ava_frames(excluded)} if excluded else set()
    kept = [frame for frame in _ava_frames(file) if frame[:2] not in left_out]

    def key_frame(entry: tuple[str, float, list[Box]]) -> KeyFrame:
        video_id, time, boxes = entry
        return _key_frame(videos, f"{video_id}.mp4", time - offset, boxes, duration)

    return rows_of(file, kept, key_frame)


def ava_kinetics(
    file: File,
    videos: File,
    *,
    clips: File | None = None,
    duration: float = 64 / 30,
) -> list[KeyFrame]:
    """The Kinetics part of AVA-Kinetics (Li et al., 2020); the data set is this and AVA.

    Args:
        file: kinetics_train_v1.0.csv or kinetics_val_v1.0.csv, without header. A line without box
            is a key frame in which nobody acts.
        videos: has `<youtube_id>.mp4`, or the files of `kinetics` if `clips` is given.
        clips: CSV of Kinetics-700, where the videos are its clips of 10 seconds.
        duration: seconds of a clip, as in `ava`.

    Raises:
        ValueError: as in `ava`; a video that `clips` lacks, or a key frame outside of its clip.
    """
    lines = read_csv(clips) if clips else []
    sources = dict(rows_of(clips, lines, _kinetics_clip)) if clips else {}

    def key_frame(entry: tuple[str, float, list[Box]]) -> KeyFrame:
        youtube_id, time, boxes = entry
        name, start, end = sources[youtube_id] if clips else (f"{youtube_id}.mp4", 0.0, math.inf)
        if not start <= time <= end:
            raise ValueError(f"the key frame is not between {start} and {end} s")
        return _key_frame(videos, name, time - start, boxes, duration)

    return rows_of(file, _ava_frames(file), key_frame)


def _kinetics_clip(entry: dict[str, str]) -> tuple[str, tuple[str, float, float]]:
    times = float(entry["time_start"]), float(entry["time_end"])
    return entry["youtube_id"], (kinetics_name(entry), *times)


_AVA_COLUMNS = ("video_id", "time", "x1", "y1", "x2", "y2", "action", "person")


def _ava_frames(file: File) -> list[tuple[str, float, list[Box]]]:
    """Video, time and boxes of each key frame; lines with the same box are one person."""
    frames: dict[tuple[str, float], dict[Box, set[int]]] = {}
    for video_id, time, box in rows_of(file, read_csv(file, _AVA_COLUMNS), _ava_line):
        people = frames.setdefault((video_id, time), {})
        if box is not None:
            people.setdefault(box._replace(labels=()), set()).update(box.labels)
    return [
        (*key, [box._replace(labels=tuple(sorted(labels))) for box, labels in people.items()])
        for key, people in frames.items()
    ]


def _ava_line(entry: dict[str, str]) -> tuple[str, float, Box | None]:
    """Video, time and box of a line; a line of two values has no box."""
    video_id, time = entry["video_id"], float(entry["time"])
    if len(entry) == 2:
        return video_id, time, None
    left, top, right, bottom = (float(entry[key]) for key in ("x1", "y1", "x2", "y2"))
    if not 1 <= int(entry["action"]) <= 80:
        raise ValueError("actions are 1 to 80")
    person = entry.get("person")
    corners, label = _corners(left, top, right, bottom), int(entry["action"]) - 1
    return video_id, time, Box(corners, (label,), int(person) if person else None)


def _corners(left: float, top: float, right: float, bottom: float) -> Corners:
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise ValueError(f"the box {left, top, right, bottom} is empty or leaves the frame")
    return left, top, right, bottom


def _key_frame(
    videos: File, name: str, time: float, boxes: Iterable[Box], duration: float
) -> KeyFrame:
    boxes = tuple(boxes)
    if not (time >= 0 and duration > 0):
        raise ValueError(f"needs time >= 0 and duration > 0, has {time} and {duration}")
    labels = sorted({label for box in boxes for label in box.labels})
    start, end = max(0.0, time - duration / 2), time + duration / 2
    return KeyFrame(clip(videos, name, labels=labels, start=start, end=end), time, boxes)


# Clips of each part of ChimpACT: recording -> first frames. All others are for training.
_CHIMPACT_PARTS = {
    "val": {
        "ObsChimp_2015_11_25_d": (23000,),
        "ObsChimp_2015_11_26_a": (1000,),
        "ObsChimp_2016_08_02_c": (32000,),
        "ObsChimp_2017_02_27_a": (13000,),
        "ObsChimp_2017_06_22_c": (46000, 67000),
        "ObsChimp_2017_11_10": (7000, 8000),
        "ObsChimp_2018_07_11_c": (0, 1000, 3000, 6000, 17000, 18000),
        "ObsChimp_2018_08_06_a": (7000,),
        "ObsNatascha_2018_06_29_a": (15000, 16000),
    },
    "test": {
        "ObsChimp_2015_11_25_d": (1000,),
        "ObsChimp_2015_11_26_a": (0, 2000),
        "ObsChimp_2016_08_02_c": (33000,),
        "ObsChimp_2016_08_15_b": (2000,),
        "ObsChimp_2016_10_27_c": (0,),
        "ObsChimp_2017_02_27_a": (14000,),
        "ObsChimp_2017_06_22_c": (44000, 68000),
        "ObsChimp_2017_11_10": (6000,),
        "ObsChimp_2018_07_06_d": (0,),
        "ObsChimp_2018_07_11_c": (2000, 8000, 16000, 19000),
        "ObsChimp_2018_08_06_a": (6000, 8000),
        "ObsNatascha_2018_06_29_a": (14000, 17000),
    },
}


def chimpact_split(name: str) -> str:
    """The part, train, val or test, of the clip `Azibo_<recording>_clip_<first>_<last>`."""
    match = re.fullmatch(r"Azibo_(\w+)_clip_(\d+)_\d+", name)
    if not match:
        raise ValueError(f"not the name of a clip of ChimpACT: {name!r}")
    for part, recordings in _CHIMPACT_PARTS.items():
        if int(match[2]) in recordings.get(match[1], ()):
            return part
    return "train"


def chimpact(
    folder: File,
    videos: File,
    split: str = "train",
    *,
    fps: float = 25.0,
    duration: float = 64 / 25,
) -> list[KeyFrame]:
    """ChimpACT (Ma et al., 2023; Appendix H): 23 behaviours of chimpanzees, several at a time.

    Each tenth frame is annotated; these are the key frames, here without the boxes that the
    benchmark interpolates between them. Boxes are cut at the border of the frame. That `images`
    have a width and height, as COCO's do, could not be checked.

    Args:
        folder: the release's `labels`: a JSON file in COCO's format for each video.
        videos: the release's `videos_full`, which has `<name>.mp4` for each `<name>.json`.
        split: train, val or test: 127, 17 and 19 of 163 videos.
        fps: frames per second of the videos.
        duration: seconds of a clip; by default those of the paper's 64 frames.
    """
    if split not in ("train", "val", "test"):
        raise ValueError(f"split must be train, val or test, received {split!r}")

    def key_frames(file: Path) -> list[KeyFrame] | None:
        if chimpact_split(file.stem) != split:
            return None
        images, annotations = read_keys(file, "images", "annotations")
        boxes: dict[int, list[dict]] = {}
        for annotation in annotations:
            boxes.setdefault(annotation["image_id"], []).append(annotation)

        def key_frame(image: dict) -> KeyFrame:
            time = 10 * int(Path(image["file_name"]).stem) / fps
            found = [_chimp(box, image) for box in boxes.get(image["id"], ())]
            return _key_frame(videos, f"{file.stem}.mp4", time, found, duration)

        return rows_of(file, images, key_frame)

    files = sorted(Path(folder).glob("*.json"))
    return list(chain.from_iterable(rows_of(folder, files, key_frames)))


def _chimp(annotation: dict, image: dict) -> Box:
    left, top, width, height = annotation["bbox"]
    across, down = image["width"], image["height"]
    corners = left / across, top / down, (left + width) / across, (top + height) / down
    inside = [min(max(value, 0.0), 1.0) for value in corners]
    labels = sorted(set(annotation["behaviors"]))
    if any(label not in range(23) for label in labels):
        raise ValueError(f"behaviors are 0 to 22, has {labels}")
    return Box(_corners(*inside), tuple(labels), annotation["bbox_id"])
