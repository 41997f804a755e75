"""The Academic-Corpus that a captioner is trained on (Appendix G, Table 20).

`charades` and `charades_sta` read two more of its sets. The files of Video Storytelling and of
Spoken Moments in Time could not be seen: list them by hand for `read_manifest`. The formats of the
others are those of public files, or of public code that reads them, as said below; the paper does
not say how it cut the clips.

A clip that several people describe, or one twice, is one row with several captions.
"""

import re
from collections.abc import Iterable
from itertools import chain, pairwise
from typing import NamedTuple

import numpy as np

from keras_videoprism.data.annotations.captions import described_steps
from keras_videoprism.data.annotations.files import (
    File,
    clip,
    pairs,
    read_csv,
    read_json,
    read_jsonl,
    rows_of,
    seconds,
)
from keras_videoprism.data.manifest import Row


def tacos(file: File, videos: File) -> list[Row]:
    """TACoS (Regneri et al., 2013): cooking, sentence by sentence.

    Args:
        file: train.json, val.json or test.json as 2D-TAN has them: name of the video -> `fps`, and
            `timestamps`, the first and the last frame of each of the `sentences`.
        videos: has the videos, such as `s13-d21.avi`.
    """

    def rows(entry: tuple[str, dict]) -> list[Row]:
        name, video = entry
        parts = zip(video["timestamps"], video["sentences"], strict=True)
        return [
            clip(videos, name, [text], start=first / video["fps"], end=(last + 1) / video["fps"])
            for (first, last), text in parts
        ]

    return _merged(chain.from_iterable(rows_of(file, pairs(file, read_json(file)), rows)))


def youdescribe(file: File, videos: File) -> list[Row]:
    """YouDescribe (Pitcher-Cooper et al., 2023): what volunteers tell blind viewers.

    Some descriptions pause the video while they are read; their clip has the length of the reading
    all the same. Those that are not in English are not told apart.

    Args:
        file: CSV with youtube_id, audio_clip_start_time and audio_clip_end_time in seconds, and
            audio_clip_transcript, the columns that public code reads; no file could be seen.
        videos: has `<youtube_id>.mp4`.
    """

    def row(entry: dict[str, str]) -> Row:
        start, end = (float(entry[f"audio_clip_{side}_time"]) for side in ("start", "end"))
        text = entry["audio_clip_transcript"]
        return clip(videos, f"{entry['youtube_id']}.mp4", [text], start=start, end=end)

    return _merged(rows_of(file, read_csv(file), row))


def coin(file: File, videos: File, subset: str = "training") -> list[Row]:
    """COIN (Tang et al., 2019): the steps of instructions.

    Args:
        file: COIN.json.
        videos: has `<youtube id>.mp4`.
        subset: training or testing.
    """
    return _merged(described_steps(file, videos, subset, "annotation", "label"))


def vitt(file: File, videos: File) -> list[Row]:
    """ViTT (Huang et al., 2020): the sections of a video, each until the next one begins.

    Args:
        file: ViTT-annotations.json: JSON lines, an `id` and `annotations` with a `timestamp` in
            milliseconds and a `tag`; a video has a line for each of its annotators.
        videos: has `<id>.mp4`, where the ids are those of YouTube-8M.
    """

    def rows(entry: dict) -> list[Row]:
        sections = sorted(entry["annotations"], key=lambda section: section["timestamp"])
        times = sorted({section["timestamp"] / 1000 for section in sections})
        ends = dict(pairwise([*times, None]))
        return [
            clip(videos, f"{entry['id']}.mp4", [section["tag"]], start=start, end=ends[start])
            for section in sections
            for start in [section["timestamp"] / 1000]
        ]

    return _merged(chain.from_iterable(rows_of(file, read_jsonl(file), rows)))


def localized_narratives(file: File, videos: File) -> list[Row]:
    """Video Localized Narratives (Voigtlaender et al., 2023): what each actor does.

    Args:
        file: JSON lines of one of its parts, such as OVIS_train.jsonl: `dataset_id`, `video_id`
            and a `caption` for each of the `actor_narratives`.
        videos: has `<dataset_id>/<video_id>.mp4`.
    """

    def row(entry: dict) -> Row:
        captions = [narrative["caption"] for narrative in entry["actor_narratives"]]
        return clip(videos, f"{entry['dataset_id']}/{entry['video_id']}.mp4", captions)

    return _merged(rows_of(file, read_jsonl(file), row))


def epic_kitchens(file: File, videos: File) -> list[Row]:
    """EPIC-KITCHENS-100 (Damen et al., 2022): narrations such as "close door".

    Args:
        file: EPIC_100_train.csv or EPIC_100_validation.csv.
        videos: has `<participant_id>/videos/<video_id>.MP4`.
    """

    def row(entry: dict[str, str]) -> Row:
        start, end = (seconds(entry[f"{side}_timestamp"]) for side in ("start", "stop"))
        name = f"{entry['participant_id']}/videos/{entry['video_id']}.MP4"
        return clip(videos, name, [entry["narration"]], start=start, end=end)

    return _merged(rows_of(file, read_csv(file), row))


class _Pass(NamedTuple):
    """What one narrator said of a video: (seconds, text) in order of time."""

    video: str
    narrations: list[tuple[float, str]]

    @property
    def gap(self) -> float | None:
        """Mean seconds between two narrations; None where there is none."""
        first, last = self.narrations[0][0], self.narrations[-1][0]
        return (last - first) / (len(self.narrations) - 1) if last > first else None


def ego4d(file: File, videos: File) -> list[Row]:
    """Ego4D (Grauman et al., 2022): the narrations, each with a clip around its moment.

    The clip is that of EgoClip (Lin et al., 2022, whose 3.8 M clips are those of Table 20): seconds
    t - b / 2a to t + b / 2a, where b is the mean gap between the narrations of the video and a
    the mean of all b. It follows the pace of each narrator. EgoClip also leaves out narrations with
    "#unsure" and some videos; here all stay.

    Args:
        file: narration.json: video -> narration_pass_1 and _2 -> `narrations` with timestamp_sec
            and narration_text. Marks are resolved: "#C C picks a #unsure" is "C picks a something".
        videos: has `<video uid>.mp4`.
    """

    def passes(entry: tuple[str, dict]) -> list[_Pass]:
        video, content = entry
        found = []
        for name in ("narration_pass_1", "narration_pass_2"):
            given = content.get(name, {}).get("narrations", [])
            told = sorted((float(n["timestamp_sec"]), _plain(n["narration_text"])) for n in given)
            found += [_Pass(video, told)] * bool(told)
        return found

    found = [*chain.from_iterable(rows_of(file, pairs(file, read_json(file)), passes))]
    gaps = [told.gap for told in found if told.gap is not None]
    mean_gap = float(np.mean(gaps)) if gaps else 1.0

    def rows(told: _Pass) -> list[Row]:
        half = (told.gap or mean_gap) / mean_gap / 2
        name = f"{told.video}.mp4"
        return [
            clip(videos, name, [text], start=max(time - half, 0.0), end=time + half)
            for time, text in told.narrations
        ]

    return _merged(chain.from_iterable(rows_of(file, found, rows)))


def _plain(narration: str) -> str:
    """A narration of Ego4D without its marks: #C the camera wearer, #O another person."""
    text = narration.replace("#unsure", "something").replace("#Unsure", "something")
    return re.sub(r"#[COco]\s+", "", text)


def _merged(rows: Iterable[Row]) -> list[Row]:
    """One row for each clip, with all its captions."""
    captions: dict[Row, list[str]] = {}
    for row in rows:
        captions.setdefault(row._replace(captions=()), []).extend(row.captions)
    return [row._replace(captions=tuple(dict.fromkeys(texts))) for row, texts in captions.items()]
