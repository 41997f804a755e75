"""Data sets with classes."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keras_videoprism.data.annotations.files import (
    File,
    clip,
    pairs,
    read_csv,
    read_json,
    read_keys,
    rows_of,
)
from keras_videoprism.data.manifest import Row


def kinetics(file: File, videos: File, classes: Sequence[str] | None = None) -> list[Row]:
    """Kinetics-400 and -600 (Kay et al., 2017).

    Args:
        file: CSV with label, youtube_id, time_start and time_end; a test file lacks the label.
        videos: has `<label>/<youtube_id>_<start>_<end>.mp4` with six digits each; files without
            label lie in it directly.
        classes: names in the order of their ids; default: the sorted labels of the file.
    """
    entries = read_csv(file)
    names = classes or sorted({entry["label"] for entry in entries if entry.get("label")})
    ids = {name: index for index, name in enumerate(names)}

    def row(entry: dict[str, str]) -> Row:
        label = entry.get("label")
        return clip(videos, kinetics_name(entry), labels=[ids[label]] if label else ())

    return rows_of(file, entries, row)


def kinetics_name(entry: dict[str, str]) -> str:
    """The usual name of the file that a line of Kinetics' CSV stands for."""
    start, end = (int(float(entry[key])) for key in ("time_start", "time_end"))
    name, label = f"{entry['youtube_id']}_{start:06d}_{end:06d}.mp4", entry.get("label")
    return f"{label}/{name}" if label else name


def ssv2(file: File, labels: File, videos: File) -> list[Row]:
    """Something-Something v2 (Goyal et al., 2017): classes and captions.

    Args:
        file: train.json or validation.json, or a test file without templates.
        labels: labels.json, template -> id.
        videos: has `<id>.webm`.
    """
    ids = {name: int(index) for name, index in read_json(labels).items()}

    def row(entry: dict) -> Row:
        name = f"{entry['id']}.webm"
        if "template" not in entry:
            return clip(videos, name)
        label = ids[entry["template"].replace("[", "").replace("]", "")]
        return clip(videos, name, [entry.get("label", "")], [label])

    return rows_of(file, read_json(file), row)


def ssv2_subset(file: File, videos: File) -> list[Row]:
    """SSv2-Temporal (Sevilla-Lara et al., 2021) or SSv2-Events (Bagad et al., 2023), zero-shot.

    18 and 49 classes of Something-Something v2, chosen for what happens in time, with 12 videos
    each. The caption of a row is the name of its class, by which the classes are sorted.

    Args:
        file: eval_ssv2_temporal.csv or eval_ssv2_events.csv of VideoCon (Bansal et al., 2023), with
            videopath, caption (a prompt that asks for a description in quotes) and match, 1 if it
            is right. The second file could not be checked; its description is the same.
        videos: has `<id>.webm`.
    """

    def match(entry: dict[str, str]) -> tuple[str, str] | None:
        template = re.search(r'description: "(.+)"', entry["caption"])
        if entry["match"] not in ("0", "1") or not template:
            raise ValueError('needs a caption with `description: "..."` and a match of 0 or 1')
        name = re.sub(r"[\[\]]", "", template[1])
        return (Path(entry["videopath"]).stem, name) if entry["match"] == "1" else None

    found = rows_of(file, read_csv(file), match)
    names = sorted({name for _, name in found})
    ids = {name: index for index, name in enumerate(names)}
    return [clip(videos, f"{video}.webm", [name], [ids[name]]) for video, name in found]


def moments(file: File, categories: File, videos: File) -> list[Row]:
    """Moments in Time (Monfort et al., 2019).

    Args:
        file: CSV without header: file, label, votes.
        categories: lines `name,id`.
        videos: the folder that the files are named below.
    """
    entries = read_csv(categories, ("name", "id"))
    ids = {entry["name"].strip(): int(entry["id"]) for entry in entries}
    columns = ("file", "label", "positive_votes", "negative_votes")
    return rows_of(
        file,
        read_csv(file, columns),
        lambda entry: clip(videos, entry["file"], labels=[ids[entry["label"]]]),
    )


def diving48(file: File, videos: File) -> list[Row]:
    """Diving48 (Li et al., 2018), labels of its second version; videos: `<vid_name>.mp4`."""
    return rows_of(
        file,
        read_json(file),
        lambda entry: clip(videos, f"{entry['vid_name']}.mp4", labels=[int(entry["label"])]),
    )


def charades(file: File, videos: File) -> list[Row]:
    """Charades (Sigurdsson et al., 2016): all actions of each video, and its descriptions.

    Args:
        file: Charades_v1_train.csv or _test.csv; actions read `c092 11.90 21.20;c147 0.00 12.60`.
        videos: has `<id>.mp4`.
    """

    def row(entry: dict[str, str]) -> Row:
        actions = [action.split()[0] for action in entry["actions"].split(";") if action.strip()]
        labels = sorted({int(action.removeprefix("c")) for action in actions})
        captions = entry.get("descriptions", "").split(";")
        return clip(videos, f"{entry['id']}.mp4", captions, labels)

    return rows_of(file, read_csv(file), row)


def read_activitynet(file: File) -> tuple[list[tuple[str, Any]], dict[str, int]]:
    """(id, content) of all videos, and class name -> id: the sorted names of all parts."""
    (database,) = read_keys(file, "database")
    entries = pairs(file, database)
    names = sorted({a["label"] for _, video in entries for a in video["annotations"]})
    return entries, {name: index for index, name in enumerate(names)}


def activitynet_actions(file: File, videos: File, subset: str = "training") -> list[Row]:
    """ActivityNet v1.3 (Caba Heilbron et al., 2015): one row for each segment with an action.

    Args:
        file: activity_net.v1-3.min.json.
        videos: has `v_<id>.mp4`.
        subset: training, validation or testing.
    """
    entries, ids = read_activitynet(file)
    segments = [
        (video_id, annotation)
        for video_id, video in entries
        if video["subset"] == subset
        for annotation in video["annotations"]
    ]

    def row(entry: tuple[str, dict]) -> Row:
        video_id, annotation = entry
        start, end = annotation["segment"]
        label = [ids[annotation["label"]]]
        return clip(videos, f"v_{video_id}.mp4", labels=label, start=start, end=end)

    return rows_of(Path(file), segments, row)
