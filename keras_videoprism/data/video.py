"""Video and image files -> RGB frames with timestamps.

A file is read twice: once without decoding, for the times of all frames, and once decoding only
as far as the chosen times need. So the number of frames is known, and bounded, before any
is held, and frames are chosen by their time: variable frame rates need no special case.
"""

import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import NamedTuple

import av
import numpy as np
from av.container import InputContainer
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream

from keras_videoprism.data.remote import open_binary
from keras_videoprism.data.sample import uniform

MAX_FRAMES = 2**14
MAX_PIXELS = 2**29  # of all frames together: 1.6 GB of RGB
MAX_FRAME_PIXELS = 2**26  # of one decoded frame: 8192 x 8192

# Playlists (HLS, concat, DASH) are left out: a file must not make us open others.
_CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,flv,ogg,asf,gif,"
    "png_pipe,jpeg_pipe,webp_pipe,bmp_pipe,tiff_pipe"
)
_UNINDEXED = {"mpegts", "mpeg"}  # a seek may land after its target: read these from the start
_TIME_TOLERANCE = 1e-5  # seconds; far below any frame interval


class VideoError(ValueError):
    """A file that cannot be decoded; the message names the file and the reason."""

    def reason(self, path: str | os.PathLike[str]) -> str:
        """The message without the file, for lists that name it."""
        return str(self).removeprefix(f"{path}: ")


class Video(NamedTuple):
    """Frames uint8 [T, H, W, 3] (RGB) and their timestamps float64 [T] in seconds."""

    frames: np.ndarray
    timestamps: np.ndarray


class Header(NamedTuple):
    """What a file tells without decoding: seconds, pixels as stored, frames per second.

    An image has a duration and a frame rate of 0.
    """

    duration: float
    height: int
    width: int
    frame_rate: float


def read_video(
    path: str | os.PathLike[str],
    start: float | None = None,
    end: float | None = None,
    fps: float | None = None,
    num_frames: int | None = None,
    short_side: int | None = None,
    sampling: Callable[[int, int], np.ndarray] = uniform,
    max_frames: int = MAX_FRAMES,
    max_pixels: int = MAX_PIXELS,
    num_threads: int | None = None,
) -> Video:
    """Decodes a video, a part of it, or an image (a video of one frame).

    Display rotation is applied, grey becomes RGB, transparent pixels are laid over white. Pixels
    are taken as square, as other video loaders do.

    Args:
        path: video or image file, local or remote (see `data/remote.py`).
        start, end: part [start, end) in seconds from the first frame.
        fps: keep the first frame at or after each tick of 1/fps seconds. A slower video keeps
            all its frames: none is repeated.
        num_frames: keep at most so many of these, chosen by `sampling`.
        short_side: shrink so that the shorter side has at most so many pixels.
        sampling: see `data/sample.py`.
        max_frames: bound on the number of frames.
        max_pixels: bound on the pixels of all frames together.
        num_threads: None leaves it to FFmpeg, for one file at a time; 1 takes the least work, for
            many files at a time. The frames are the same.

    Returns:
        `Video`; timestamps are seconds from the file's first frame, also for a part.

    Raises:
        VideoError: empty, damaged or truncated file, no video stream, nothing between start
            and end, frames of several sizes, or a bound exceeded.
    """
    times = _choose(frame_times(path, start, end), fps, num_frames, sampling)
    if len(times) > max_frames:
        raise VideoError(
            f"{path}: {len(times)} frames are more than max_frames={max_frames}; "
            "set fps, num_frames, start or end"
        )
    frames: list[np.ndarray] = []
    stamps: list[float] = []
    for stamp, frame in _decode(path, times, short_side, num_threads):
        if len(times) * frame.shape[0] * frame.shape[1] > max_pixels:
            raise VideoError(
                f"{path}: {len(times)} frames of {frame.shape[0]}x{frame.shape[1]} are more than "
                f"max_pixels={max_pixels}; set short_side, fps, num_frames, start or end"
            )
        if frames and frame.shape != frames[0].shape:
            raise VideoError(f"{path}: frame size changes from {frames[0].shape} to {frame.shape}")
        frames.append(frame)
        stamps.append(stamp)
    return Video(np.stack(frames), np.array(stamps))


def iter_video(
    path: str | os.PathLike[str],
    start: float | None = None,
    end: float | None = None,
    fps: float | None = None,
    short_side: int | None = None,
) -> Iterator[tuple[float, np.ndarray]]:
    """`read_video` frame by frame, for files of any length: holds one frame at a time.

    Yields:
        (timestamp in seconds, uint8 frame [H, W, 3]), in the order of time.
    """
    yield from _decode(path, _choose(frame_times(path, start, end), fps), short_side)


def frame_times(
    path: str | os.PathLike[str], start: float | None = None, end: float | None = None
) -> np.ndarray:
    """Times of all frames in [start, end), without decoding them.

    Returns:
        float64 [n], n >= 1, ascending, in seconds from the first frame of the file.

    Raises:
        VideoError: as `read_video`.
    """
    return _scan(path, start, end)[0]


def _scan(
    path: str | os.PathLike[str], start: float | None, end: float | None
) -> tuple[np.ndarray, int, int]:
    """`frame_times`, and the height and width that the file tells."""
    if (start or 0) < 0 or (end is not None and end <= (start or 0)):
        raise VideoError(f"{path}: needs 0 <= start < end, received start={start}, end={end}")
    with _open(path) as (container, stream):
        times, last_end = _packet_times(container, stream, start or 0.0, end)
        duration = float((stream.duration or 0) * _tick(stream))
        height, width = stream.codec_context.height, stream.codec_context.width
    if end is None and last_end < 0.9 * duration:
        raise VideoError(f"{path}: truncated: ends at {last_end:.2f} of {duration:.2f} s")
    chosen = np.unique([t for t in times if t >= (start or 0.0) and (end is None or t < end)])
    if not chosen.size:
        raise VideoError(
            f"{path}: no frame between start={start} and end={end}; it ends at {last_end:.2f} s"
        )
    return chosen, height, width


def read_header(
    path: str | os.PathLike[str], start: float | None = None, end: float | None = None
) -> Header:
    """Size and times of the frames in [start, end).

    Raises:
        VideoError: as `read_video`, but for damaged frames, which are not decoded.
    """
    times, height, width = _scan(path, start, end)
    if len(times) == 1:
        return Header(0.0, height, width, 0.0)
    interval = float(times[-1] - times[0]) / (len(times) - 1)
    return Header(interval * len(times), height, width, 1 / interval)


def _choose(
    times: np.ndarray,
    fps: float | None,
    num_frames: int | None = None,
    sampling: Callable[[int, int], np.ndarray] = uniform,
) -> np.ndarray:
    """The times that `read_video` keeps."""
    if fps is not None:
        if fps <= 0:
            raise ValueError(f"fps must be positive, received {fps}")
        ticks = np.floor((times - times[0]) * fps + _TIME_TOLERANCE)
        times = times[np.unique(ticks, return_index=True)[1]]
    if num_frames is not None:
        times = times[sampling(len(times), min(len(times), num_frames))]
    return times


@contextmanager
def _open(path: str | os.PathLike[str]) -> Iterator[tuple[InputContainer, VideoStream]]:
    """A file and its first video stream; errors inside become VideoErrors that name the file."""
    try:
        # An open file, not its name: FFmpeg takes some names as addresses or patterns.
        with open_binary(path) as file:
            if not file.seek(0, os.SEEK_END):
                raise VideoError(f"{path}: the file is empty")
            file.seek(0)
            with av.open(file, "r", options={"format_whitelist": _CONTAINERS}) as container:
                if not container.streams.video:
                    raise VideoError(f"{path}: no video stream")
                stream = container.streams.video[0]
                if stream.codec_context is None:
                    raise VideoError(f"{path}: no decoder knows the codec of its video stream")
                yield container, stream
    except (OSError, av.FFmpegError) as error:
        raise VideoError(f"{path}: cannot be read: {error.strerror or error}") from error


def _packet_times(
    container: InputContainer, stream: VideoStream, start: float, end: float | None
) -> tuple[list[float], float]:
    """Times of the packets from the key frame before `start` to `end`; end time of the last."""
    times, last_end = [], 0.0
    for packet in _seek(container, stream, start).demux(stream):
        if packet.pts is None or packet.is_discard:
            continue
        # Packets come in decoding order: a later one may be shown earlier, but never before
        # its decoding time.
        if end is not None and packet.dts is not None and _seconds(stream, packet.dts) >= end:
            break
        times.append(_seconds(stream, packet.pts))
        last_end = max(last_end, _seconds(stream, packet.pts + (packet.duration or 0)))
    return times, last_end


def _decode(
    path: str | os.PathLike[str],
    times: np.ndarray,
    short_side: int | None,
    num_threads: int | None = None,
) -> Iterator[tuple[float, np.ndarray]]:
    """Decodes the frames shown at `times` (ascending)."""
    reformatter = VideoReformatter()
    done, previous = 0, -math.inf
    with _open(path) as (container, stream):
        context = stream.codec_context
        if context.width * context.height > MAX_FRAME_PIXELS:
            raise VideoError(
                f"{path}: a frame of {context.height}x{context.width} is more than "
                f"{MAX_FRAME_PIXELS} pixels"
            )
        context.options = {"max_pixels": str(MAX_FRAME_PIXELS)}
        for frame in _frames(_seek(container, stream, times[0]), stream, times, num_threads):
            time = _seconds(stream, frame.pts) if frame.pts is not None else previous
            if time < previous:  # such as H.264 in AVI, which stores no display times
                raise VideoError(f"{path}: the file has no display times; convert it to MP4")
            previous = time
            if time < times[done] - _TIME_TOLERANCE:
                continue
            if frame.is_corrupt:
                raise VideoError(f"{path}: damaged frame at {time:.2f} s")
            yield time, _to_rgb(frame, short_side, reformatter)
            done = int(np.searchsorted(times, time + _TIME_TOLERANCE, side="right"))
            if done == len(times):
                return
    raise VideoError(f"{path}: truncated: {done} of {len(times)} frames could be decoded")


def _frames(
    container: InputContainer, stream: VideoStream, times: np.ndarray, num_threads: int | None
) -> Iterator[av.VideoFrame]:
    """The stream's frames; on one thread, without some that neither `times` nor others need."""
    if num_threads != 1:
        stream.thread_type = "AUTO"
        yield from container.decode(stream)
        return
    context = stream.codec_context
    context.thread_count = 1
    wanted: set[float] = set(times.tolist())
    awaited: set[float] = set()
    for packet in container.demux(stream):
        time = None if packet.pts is None else _seconds(stream, packet.pts)
        if time is not None and time in wanted:
            awaited.add(time)
        # A frame may be in several packets, and comes late: until it has come, nothing is skipped.
        context.skip_frame = "NONREF" if not awaited and time is not None else "DEFAULT"
        for frame in packet.decode():
            if frame.pts is not None:
                shown = _seconds(stream, frame.pts)
                awaited = {other for other in awaited if other > shown}
            yield frame


def _seek(container: InputContainer, stream: VideoStream, time: float) -> InputContainer:
    """Goes to a key frame at or before `time`."""
    if time > 0 and container.format.name not in _UNINDEXED:
        offset = int(time / _tick(stream)) + (stream.start_time or 0)
        container.seek(offset, stream=stream)
    return container


def _tick(stream: VideoStream) -> Fraction:
    """Seconds of one unit of the stream's times; FFmpeg's own unit where it has none."""
    return stream.time_base or Fraction(1, av.time_base)


def _seconds(stream: VideoStream, ticks: int) -> float:
    tick = _tick(stream)
    return (ticks - (stream.start_time or 0)) * tick.numerator / tick.denominator


def _to_rgb(
    frame: av.VideoFrame, short_side: int | None, reformatter: VideoReformatter
) -> np.ndarray:
    """Upright uint8 RGB [H, W, 3]."""
    if short_side is not None and short_side < 1:
        raise ValueError(f"short_side must be at least 1, received {short_side}")
    scale = min(1.0, short_side / min(frame.width, frame.height)) if short_side else 1.0
    width, height = round(frame.width * scale), round(frame.height * scale)
    transparent = frame.format.has_palette or any(c.is_alpha for c in frame.format.components)
    pixel_format = "rgba" if transparent else "rgb24"
    pixels = reformatter.reformat(
        frame, width, height, pixel_format, interpolation=Interpolation.AREA
    ).to_ndarray()
    if transparent:
        alpha = pixels[..., 3:].astype(np.uint16)
        pixels = ((pixels[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
    # FFmpeg's angle of the display matrix is counter-clockwise, as rot90's is. Mirroring, which
    # a few front cameras store, is not told: PyAV 18 fails on the side data of EXIF images.
    return np.ascontiguousarray(np.rot90(pixels, round(frame.rotation / 90)))
