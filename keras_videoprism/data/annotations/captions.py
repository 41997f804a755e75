"""Data sets with captions."""

from collections import defaultdict

from keras_videoprism.data.annotations.files import (
    File,
    clip,
    pairs,
    read_csv,
    read_json,
    read_keys,
    read_text,
    rows_of,
)
from keras_videoprism.data.manifest import Row


def msrvtt(file: File, videos: File, split: str = "train") -> list[Row]:
    """MSR-VTT (Xu et al., 2016), its full splits; twenty captions a clip.

    Args:
        file: train_val_videodatainfo.json or test_videodatainfo.json.
        videos: has `<video_id>.mp4`, cut already.
        split: train, validate or test.
    """
    clips, sentences = read_keys(file, "videos", "sentences")
    captions = defaultdict(list)
    for sentence in sentences:
        captions[sentence["video_id"]].append(sentence["caption"])
    return rows_of(
        file,
        [video for video in clips if video["split"] == split],
        lambda video: clip(videos, f"{video['video_id']}.mp4", captions[video["video_id"]]),
    )


def msrvtt_1ka(file: File, videos: File) -> list[Row]:
    """The 1,000 test pairs of MSR-VTT that are called 1K-A (MSRVTT_JSFUSION_test.csv)."""
    return rows_of(
        file,
        read_csv(file),
        lambda entry: clip(videos, f"{entry['video_id']}.mp4", [entry["sentence"]]),
    )


def vatex(file: File, videos: File) -> list[Row]:
    """VATEX (Wang et al., 2019), the English captions; videos: `<videoID>.mp4`, cut already."""
    return rows_of(
        file,
        read_json(file),
        lambda entry: clip(videos, f"{entry['videoID']}.mp4", entry["enCap"]),
    )


def activitynet_captions(file: File, videos: File, paragraphs: bool = True) -> list[Row]:
    """ActivityNet Captions (Krishna et al., 2017).

    Args:
        file: train.json, val_1.json or val_2.json.
        videos: has `<id>.mp4`, where ids begin with `v_`.
        paragraphs: all sentences of a video as one caption, as retrieval takes them; False gives
            one row for each segment.
    """
    entries = []
    for video_id, video in pairs(file, read_json(file)):
        if paragraphs:
            text = " ".join(sentence.strip() for sentence in video["sentences"])
            entries.append((video_id, text, (None, None)))
        else:
            parts = zip(video["sentences"], video["timestamps"], strict=True)
            entries += [(video_id, sentence, times) for sentence, times in parts]

    def row(entry: tuple) -> Row:
        video_id, text, (start, end) = entry
        return clip(videos, f"{video_id}.mp4", [text], start=start, end=end)

    return rows_of(file, entries, row)


def charades_sta(file: File, videos: File) -> list[Row]:
    """Charades-STA (Gao et al., 2017); lines `<id> <start> <end>##<sentence>`."""

    def row(line: str) -> Row:
        place, _, sentence = line.partition("##")
        video_id, start, end = place.split()
        return clip(videos, f"{video_id}.mp4", [sentence], start=float(start), end=float(end))

    lines = read_text(file).splitlines()
    return rows_of(file, [line for line in lines if line.strip()], row)


def youcook2(file: File, videos: File, subset: str = "training") -> list[Row]:
    """YouCook2 (Zhou et al., 2018): one row for each step of a recipe.

    Args:
        file: youcookii_annotations_trainval.json.
        videos: has `<youtube id>.mp4`.
        subset: training or validation.
    """
    return described_steps(file, videos, subset, "annotations", "sentence")


def described_steps(file: File, videos: File, subset: str, steps: str, text: str) -> list[Row]:
    """Steps of videos in a file like ActivityNet's: database -> id -> subset, steps -> segment.

    Args:
        file: JSON.
        videos: has `<id>.mp4`.
        subset: the part of the data set.
        steps, text: how the file calls the steps of a video, and what is said of one.
    """
    (database,) = read_keys(file, "database")
    entries = [
        (video_id, step)
        for video_id, video in pairs(file, database)
        if video["subset"] == subset
        for step in video[steps]
    ]

    def row(entry: tuple[str, dict]) -> Row:
        video_id, step = entry
        start, end = step["segment"]
        return clip(videos, f"{video_id}.mp4", [step[text]], start=start, end=end)

    return rows_of(file, entries, row)
