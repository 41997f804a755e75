"""Videos with labels for each frame -> clips of a fixed number of frames.

The one rule: windows lie one after another (or `step` frames apart), only whole ones, and each has
the labels of its centre frame, the frame `span // 2` after its first. A video that is shorter than
a window is one clip, so that none is lost. The paper takes windows of 16 frames for the flies and
mice, 16 frames with a stride of 5 for KABR and 64 for ChimpACT (Appendix H); it does not say where
they lie. For a score of every frame, take `step=1`.
"""

from collections.abc import Collection, Sequence

from keras_videoprism.data.annotations.files import File, clip
from keras_videoprism.data.manifest import Row


def window_rows(
    videos: File,
    name: str,
    labels: Sequence[Collection[int]],
    *,
    fps: float,
    span: int,
    step: int | None = None,
) -> list[Row]:
    """Windows of one video.

    A window of the frames f to g starts and ends half a frame early, at (f - 0.5) / fps and
    (g + 0.5) / fps seconds: these frames lie in it and no others, even where a file rounds its
    times.

    Args:
        videos, name: folder and file of the video.
        labels: class ids of each frame.
        fps: frames per second of the file.
        span: frames of a window, those that a stride skips included.
        step: frames from one window to the next; default: `span`.

    Returns:
        The rows in order of time.

    Raises:
        ValueError: no frames; fps, span or step is not positive.
    """
    step = span if step is None else step
    if not (fps > 0 and span > 0 and step > 0):
        raise ValueError(f"needs positive fps, span and step, has {fps}, {span}, {step}")
    if not labels:
        raise ValueError(f"no frame of {name} is annotated")
    span = min(span, len(labels))
    rows = []
    for first in range(0, len(labels) - span + 1, step):
        start, end = max(0.0, (first - 0.5) / fps), (first + span - 0.5) / fps
        label = sorted(labels[first + span // 2])
        rows.append(clip(videos, name, labels=label, start=start, end=end))
    return rows
