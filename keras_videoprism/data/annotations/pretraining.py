"""The public sources of pretraining (Table 1), as far as their listings are known.

They are long: the functions take one part of a listing at a time, and a `Row` for each clip fits in
memory for some millions of clips. The videos are named after their YouTube id.
"""

import re
from collections.abc import Sequence
from itertools import chain

from keras_videoprism.data.annotations.files import (
    File,
    clip,
    read_csv,
    read_jsonl,
    rows_of,
    seconds,
)
from keras_videoprism.data.annotations.transcripts import Word, corrected, sentence_clips
from keras_videoprism.data.manifest import Row


def internvid(file: File, videos: File) -> list[Row]:
    """InternVid (Wang et al., 2023e): captions written by models.

    Args:
        file: JSON lines with YoutubeID, Start_timestamp and End_timestamp (`00:03:10.567`) and
            Caption; scores such as UMT_Score are ignored.
        videos: has `<YoutubeID>.mp4`, the whole videos.
    """

    def row(entry: dict) -> Row:
        start, end = seconds(entry["Start_timestamp"]), seconds(entry["End_timestamp"])
        name = f"{youtube_id(entry['YoutubeID'])}.mp4"
        return clip(videos, name, [entry["Caption"]], start=start, end=end)

    return rows_of(file, read_jsonl(file), row)


def videocc(file: File, videos: File) -> list[Row]:
    """VideoCC (Nagrani et al., 2022): captions of images that look like the clip.

    Args:
        file: video_cc_public.csv: a YouTube address or id, start and end in microseconds, caption.
            Its description does not say whether it has a header; one is left out.
        videos: has `<id>.mp4`, the whole videos.
    """

    def row(entry: dict[str, str]) -> Row:
        start, end = (int(entry[key]) / 1e6 for key in ("start", "end"))
        name = f"{youtube_id(entry['url'])}.mp4"
        return clip(videos, name, [entry["caption"]], start=start, end=end)

    lines = read_csv(file, ("url", "start", "end", "caption"))
    has_header = bool(lines) and lines[0].get("start", "").strip()[:1].isalpha()
    return rows_of(file, lines[1:] if has_header else lines, row)


def wts70m(file: File, videos: File) -> list[Row]:
    """WTS-70M (Stroud et al., 2020): the metadata of videos, each text a caption of its own.

    No public listing was found. This reads one made by hand.

    Args:
        file: CSV with youtube_id, start and end in seconds, and any of title, description, tags
            and channel.
        videos: has `<youtube_id>.mp4`, the whole videos.
    """

    def row(entry: dict[str, str]) -> Row:
        texts = [entry.get(key, "") for key in ("title", "description", "tags", "channel")]
        name = f"{youtube_id(entry['youtube_id'])}.mp4"
        return clip(videos, name, texts, start=float(entry["start"]), end=float(entry["end"]))

    return rows_of(file, read_csv(file), row)


def yt_temporal_180m(
    file: File, videos: File, *, min_duration: float = 2.0, max_duration: float = 20.0
) -> list[Row]:
    """YT-Temporal-180M (Zellers et al., 2021): what is said, cut at the bounds of sentences.

    The format is that of the one example in MERLOT's code; that the release has one such object
    in each line could not be checked.

    Args:
        file: JSON lines, one for each video: `info` has its id, `subtitles` each word with its
            time, and `denoised`, where there is one, spans with their text as it was heard
            (`noisyasr`) and with punctuation (`cleanasr`).
        videos: has `<id>.mp4`, the whole videos.
        min_duration, max_duration: seconds of a clip; see `sentence_clips`.
    """

    def rows(entry: dict) -> list[Row] | None:
        name = f"{youtube_id(entry['info']['id'])}.mp4"
        words = [Word(word["word"], word["time"]) for word in entry["subtitles"]]
        words = _denoised(words, entry.get("denoised", ()))
        clips = sentence_clips(words, min_duration=min_duration, max_duration=max_duration)
        found = [clip(videos, name, [text], start=start, end=end) for text, start, end in clips]
        return found or None

    return list(chain.from_iterable(rows_of(file, read_jsonl(file), rows)))


def _denoised(words: list[Word], spans: Sequence[dict]) -> list[Word]:
    """The words, those of each span corrected; spans follow one another."""
    result, first = [], 0
    for span in spans:
        last = first + len(span["noisyasr"].split())
        result += corrected(words[first:last], span["cleanasr"])
        first = last
    return result + words[first:]


def youtube_id(text: str) -> str:
    """The id of a video, given itself or in an address (`watch?v=<id>`, `youtu.be/<id>`)."""
    match = re.search(r"(?:^|[?&]v=|youtu\.be/)([A-Za-z0-9_-]{11})(?:[?&#]|$)", text.strip())
    if not match:
        raise ValueError(f"not the id or address of a YouTube video: {text!r}")
    return match[1]
