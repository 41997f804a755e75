"""The files of each task of Table 12 -> its clips.

Each function takes the folder of the annotation files, which have the data set's own names, and the
folder of the videos.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from keras_videoprism.data import annotations
from keras_videoprism.data.annotations import KeyFrame, Question, SegmentedVideo
from keras_videoprism.data.annotations.behaviour import read_behaviours
from keras_videoprism.data.annotations.files import read_csv, read_json, read_text
from keras_videoprism.data.demo_scenes import DIRECTIONS, KINDS
from keras_videoprism.data.manifest import Row, read_manifest


class Labelled(NamedTuple):
    """Clips with classes, to train on and to test on; of a zero-shot task, none to train on."""

    train: list[Row]
    test: list[Row]
    classes: list[str]


class Captioned(NamedTuple):
    """Clips with captions, to test on."""

    test: list[Row]


class Choices(NamedTuple):
    """Questions with choices, to test on."""

    test: list[Question]


class Questions(NamedTuple):
    """Open questions to test on; the answers of the others make shots and a vocabulary."""

    train: list[Question]
    validation: list[Question]
    test: list[Question]


class Boxed(NamedTuple):
    """Key frames with boxes; `scored` are the ids of the classes that the metric counts.

    `found`: boxes that a detector found in the key frames to test on, with their scores, by video
    and second; None takes the annotated boxes.
    """

    train: list[KeyFrame]
    test: list[KeyFrame]
    classes: list[str]
    scored: list[int]
    found: dict[tuple[str, float], list[tuple[tuple[float, ...], float]]] | None = None


class Segmented(NamedTuple):
    """Videos with actions in parts of them."""

    train: list[SegmentedVideo]
    test: list[SegmentedVideo]
    classes: list[str]


Data = Labelled | Captioned | Choices | Questions | Boxed | Segmented


def kinetics(data: Path, videos: Path) -> Labelled:
    classes = _kinetics_classes(data / "train.csv")
    train = annotations.kinetics(data / "train.csv", videos, classes)
    return Labelled(train, annotations.kinetics(data / "val.csv", videos, classes), classes)


def kinetics_zero_shot(data: Path, videos: Path) -> Labelled:
    classes = _kinetics_classes(data / "val.csv")
    return Labelled([], annotations.kinetics(data / "val.csv", videos, classes), classes)


def _kinetics_classes(file: Path) -> list[str]:
    return sorted({entry["label"] for entry in read_csv(file) if entry.get("label")})


def moments(data: Path, videos: Path) -> Labelled:
    file = data / "moments_categories.txt"
    ids = {entry["name"].strip(): int(entry["id"]) for entry in read_csv(file, ("name", "id"))}
    train, test = (
        annotations.moments(data / f"{part}Set.csv", file, videos)
        for part in ("training", "validation")
    )
    return Labelled(train, test, sorted(ids, key=ids.__getitem__))


def _names_of(file: Path) -> list[str]:
    """Names of classes in the order of their ids, of a JSON object name -> id."""
    ids = read_json(file)
    return sorted(ids, key=lambda name: int(ids[name]))


def ssv2(data: Path, videos: Path) -> Labelled:
    file = data / "labels.json"
    train, test = (
        annotations.ssv2(data / f"{p}.json", file, videos) for p in ("train", "validation")
    )
    return Labelled(train, test, _names_of(file))


def ssv2_subset(file: str) -> Callable[[Path, Path], Labelled]:
    def load(data: Path, videos: Path) -> Labelled:
        rows = annotations.ssv2_subset(data / file, videos)
        return Labelled([], rows, sorted({row.captions[0] for row in rows}))

    return load


def diving48(data: Path, videos: Path) -> Labelled:
    names = [" ".join(parts) for parts in read_json(data / "Diving48_vocab.json")]
    train, test = (
        annotations.diving48(data / f"Diving48_V2_{part}.json", videos)
        for part in ("train", "test")
    )
    return Labelled(train, test, names)


def charades(data: Path, videos: Path) -> Labelled:
    train = annotations.charades(data / "Charades_v1_train.csv", videos)
    return Labelled(train, *charades_test(data, videos)[1:])


def charades_test(data: Path, videos: Path) -> Labelled:
    lines = read_text(data / "Charades_v1_classes.txt").splitlines()
    names = [line.partition(" ")[2].strip() for line in lines if line.strip()]
    return Labelled([], annotations.charades(data / "Charades_v1_test.csv", videos), names)


def activitynet(data: Path, videos: Path) -> Segmented:
    file = data / "activity_net.v1-3.min.json"
    (train, names), (test, _) = (
        annotations.activitynet_segments(file, videos, part) for part in ("training", "validation")
    )
    return Segmented(train, test, names)


AVA_CLASSES = "ava_action_list_v2.2_for_activitynet_2019.pbtxt"
AVA_FILES = (
    "ava_train_v2.2.csv",
    "ava_val_v2.2.csv",
    "ava_val_excluded_timestamps_v2.2.csv",
    AVA_CLASSES,
)
KINETICS_BOXES = ("kinetics_train_v1.0.csv", "kinetics_val_v1.0.csv")
# The detector's boxes that are kept: of AVA those of SlowFast, of Kinetics those of CenterNet.
_FOUND = {"ava_val_predicted_boxes.csv": 0.8, "kinetics_val_predicted_boxes.csv": 0.2}


def ava(data: Path, videos: Path) -> Boxed:
    excluded = data / AVA_FILES[2]
    train = annotations.ava(data / AVA_FILES[0], videos)
    test = annotations.ava(data / AVA_FILES[1], videos, excluded=excluded)
    names, scored = _ava_classes(data / AVA_CLASSES)
    return Boxed(train, test, names, scored, _found_boxes(data, "ava_val_predicted_boxes.csv"))


def ava_kinetics(data: Path, videos: Path) -> Boxed:
    base = ava(data, videos)
    train, test = (annotations.ava_kinetics(data / file, videos) for file in KINETICS_BOXES)
    found = _found_boxes(data, "kinetics_val_predicted_boxes.csv")
    both = None if base.found is None or found is None else base.found | found
    return Boxed(base.train + train, base.test + test, base.classes, base.scored, both)


def _ava_classes(file: Path, number: int = 80) -> tuple[list[str], list[int]]:
    """Names of all classes, and the ids of those that the file lists: from 0, the file's less 1."""
    items = re.findall(r'name:\s*"([^"]+)"\s*(?:label_)?id:\s*(\d+)', read_text(file))
    listed = {int(index) - 1: name for name, index in items}
    if not listed or max(listed) >= number or min(listed) < 0:
        raise ValueError(f"{file}: no list of actions with ids from 1 to {number}")
    return [listed.get(i, f"action {i + 1}") for i in range(number)], sorted(listed)


def _found_boxes(data: Path, file: str) -> dict | None:
    """Boxes of a detector with their scores, those that the protocol keeps."""
    if not (data / file).exists():
        return None
    columns = ("video", "time", "left", "top", "right", "bottom", "label", "score")
    found: dict[tuple[str, float], list] = {}
    for entry in read_csv(data / file, columns):
        box = tuple(float(entry[side]) for side in ("left", "top", "right", "bottom"))
        if float(entry["score"]) >= _FOUND[file]:
            key = entry["video"], float(entry["time"])
            found.setdefault(key, []).append((box, float(entry["score"])))
    return found


def chimpact(data: Path, videos: Path) -> Boxed:
    train, test = (
        annotations.chimpact(data / "labels", videos, part) for part in ("train", "test")
    )
    file = data / "action_list.txt"
    names = [line.strip() for line in read_text(file).splitlines() if line.strip()]
    if len(names) != 23:
        raise ValueError(f"{file}: needs the names of 23 behaviours, has {len(names)}")
    return Boxed(train, test, names, list(range(23)))


def captions(parser: Callable, file: str, **options: Any) -> Callable[[Path, Path], Captioned]:
    return lambda data, videos: Captioned(parser(data / file, videos, **options))


NEXTQA_MAPPING = "map_vid_vidorID.json"


def nextqa(data: Path, videos: Path) -> Choices:
    mapping, subset = _if_there(data / NEXTQA_MAPPING), data / "atp-hard-ct4.txt"
    return Choices(annotations.nextqa(data / "val.csv", videos, mapping=mapping, subset=subset))


def nextqa_open(data: Path, videos: Path) -> Questions:
    """Of the questions to test on, many have a second right answer in a file of its own."""
    mapping = _if_there(data / NEXTQA_MAPPING)
    second = _if_there(data / "add_reference_answer_test.json")
    train, validation, test = (
        annotations.nextqa_open(data / f"{part}.csv", videos, mapping=mapping, references=found)
        for part, found in (("train", None), ("val", None), ("test", second))
    )
    return Questions(train, validation, test)


def _if_there(file: Path) -> Path | None:
    return file if file.exists() else None


QA_FILES = ("train_qa.json", "val_qa.json", "test_qa.json")


def msrvtt_qa(data: Path, videos: Path) -> Questions:
    return Questions(*(annotations.msrvtt_qa(data / file, videos) for file in QA_FILES))


def msvd_qa(data: Path, videos: Path) -> Questions:
    mapping = data / "youtube_mapping.txt"
    return Questions(*(annotations.msvd_qa(data / file, mapping, videos) for file in QA_FILES))


def charades_sta(data: Path, videos: Path) -> Choices:
    """Each moment is a question; its choices are all sentences of its video (section F.2)."""
    rows = annotations.charades_sta(data / "charades_sta_test.txt", videos)
    sentences: dict[str, list[str]] = {}
    for row in rows:
        sentences.setdefault(row.name, []).append(row.captions[0])
    return Choices(
        [Question(row, "", (row.captions[0],), tuple(sentences[row.name])) for row in rows]
    )


def parts(parser: Callable, classes: list[str], **options: Any) -> Callable[[Path, Path], Labelled]:
    """Annotations in the folders `train` and `test`."""

    def load(data: Path, videos: Path) -> Labelled:
        train, test = (parser(data / part, videos, **options) for part in ("train", "test"))
        return Labelled(train, test, classes)

    return load


def calms21(data: Path, videos: Path) -> Labelled:
    train, test = (
        annotations.calms21(data / f"calms21_task1_{part}.json", videos)
        for part in ("train", "test")
    )
    return Labelled(train, test, ["attack", "investigation", "mount", "other"])


def crim13(view: str) -> Callable[[Path, Path], Labelled]:
    def load(data: Path, videos: Path) -> Labelled:
        first = min((data / "train").rglob("*.txt"), default=None)
        if first is None:
            raise ValueError(f"{data / 'train'} has no annotation file (*.txt)")
        names, _ = read_behaviours(first)
        train, test = (
            annotations.crim13(data / part, videos / view, classes=names)
            for part in ("train", "test")
        )
        return Labelled(train, test, names)

    return load


def kabr(data: Path, videos: Path) -> Labelled:
    train, test = (annotations.kabr(data / f"{part}.csv", videos) for part in ("train", "val"))
    return Labelled(train, test, _names_of(data / "classes.json"))


def demo(first: int, names: list[str]) -> Callable[[Path, Path], Labelled]:
    """A part of the classes of the demo corpus; clips that have none of them are left out."""

    def load(data: Path, videos: Path) -> Labelled:
        wanted = range(first, first + len(names))

        def rows(part: str) -> list[Row]:
            found = [
                row._replace(labels=tuple(label - first for label in row.labels if label in wanted))
                for row in read_manifest(data / part)
            ]
            return [row for row in found if row.labels]

        return Labelled(rows("curated"), rows("test"), names)

    return load


def demo_boxes(data: Path, videos: Path) -> Boxed:
    """Of the localisation variant of the demo corpus; whole clips of 2 s."""
    folder = data / "boxes"
    train, test = (
        annotations.ava(folder / f"ava_{part}_v2.2.csv", folder / "videos", duration=2.0)
        for part in ("train", "val")
    )
    classes = _ava_classes(folder / "ava_action_list_v2.2.pbtxt", len(DIRECTIONS) + len(KINDS))
    return Boxed(train, test, *classes)


def demo_moves(data: Path, videos: Path) -> Segmented:
    """Of the localisation variant of the demo corpus."""
    return activitynet(data / "moves", data / "moves" / "videos")
