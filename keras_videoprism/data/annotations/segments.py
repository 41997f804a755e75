"""Long videos with actions in parts of them: temporal localisation (Table 12, TAL)."""

from pathlib import Path
from typing import NamedTuple

from keras_videoprism.data.annotations.classes import read_activitynet
from keras_videoprism.data.annotations.files import File, clip, rows_of
from keras_videoprism.data.manifest import Row

WINDOW_SECONDS = 16 / 15  # G-TAD's features: 16 frames at 15 per second, one after the other


class SegmentedVideo(NamedTuple):
    """A whole video: its file, its length in seconds, and (start, end, class) of its actions."""

    row: Row
    duration: float
    segments: tuple[tuple[float, float, int], ...]


def activitynet_segments(
    file: File, videos: File, subset: str = "training"
) -> tuple[list[SegmentedVideo], list[str]]:
    """ActivityNet v1.3 (Caba Heilbron et al., 2015), a row for each video.

    Segments are cut at the end of the video; a few of the data set reach beyond it.

    Args:
        file: activity_net.v1-3.min.json.
        videos: has `v_<id>.mp4`.
        subset: training, validation or testing.

    Returns:
        The videos, and the names of the classes in the order of their ids: sorted, over all parts.

    Raises:
        ValueError: a length or a segment that is not positive; see `rows_of` for others.
    """
    entries, ids = read_activitynet(file)

    def video(entry: tuple[str, dict]) -> SegmentedVideo | None:
        video_id, content = entry
        if content["subset"] != subset:
            return None
        duration = float(content["duration"])
        segments = []
        for annotation in content["annotations"]:
            start, end = (min(float(time), duration) for time in annotation["segment"])
            if not 0 <= start < end:
                raise ValueError(f"segment {annotation['segment']} of {duration} s")
            segments.append((start, end, ids[annotation["label"]]))
        return SegmentedVideo(clip(videos, f"v_{video_id}.mp4"), duration, tuple(segments))

    return rows_of(Path(file), entries, video), [*ids]


def window_clips(
    video: SegmentedVideo, seconds: float = WINDOW_SECONDS, step: float | None = None
) -> list[Row]:
    """Windows in the middle of equal steps of time, cut at both ends of the video.

    Args:
        video: see `SegmentedVideo`.
        seconds: length of a window.
        step: from one window to the next, about: a whole number of steps fills the video. Default:
            `seconds`, so that the windows lie one after the other.
    """
    count = max(round(video.duration / (step or seconds)), 1)
    centres = [(index + 0.5) * video.duration / count for index in range(count)]
    half = seconds / 2
    return [
        video.row._replace(start=max(centre - half, 0.0), end=min(centre + half, video.duration))
        for centre in centres
    ]
