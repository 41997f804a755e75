import itertools
import struct
import zlib
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import tensorflow as tf

from keras_videoprism.data import remote, video
from keras_videoprism.data.decode import Decoder
from keras_videoprism.data.video import (
    Header,
    VideoError,
    frame_times,
    iter_video,
    read_header,
    read_video,
)
from tests.conftest import write_video

SHARED = Path(__file__).parents[2].parent / "shared" / "videos"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="needs the shared videos")

NUM_FRAMES, FPS = 40, 8


def write_ramp(path: Path, times_ms: list[int] | None = None, codec: str = "libx264") -> Path:
    """A video whose frame i has the grey value 6 i, with equal or with given times."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=FPS)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        if codec == "libx264":
            stream.options = {"g": "10"}  # several key frames, so that a seek has something to do
        if times_ms is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for index in range(NUM_FRAMES if times_ms is None else len(times_ms)):
            image = np.full((48, 64, 3), 6 * index, np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            if times_ms is not None:
                frame.pts, frame.time_base = times_ms[index], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def grey(frames: np.ndarray) -> np.ndarray:
    """Index of the frames of a ramp, from their grey value."""
    return frames[:, 20, 20, 1] / 6


def jpeg_with_orientation(image: np.ndarray, orientation: int) -> bytes:
    jpeg = tf.io.encode_jpeg(image).numpy()
    entry = struct.pack(">HHIHH", 0x0112, 3, 1, orientation, 0)
    exif = b"Exif\0\0MM\0*" + struct.pack(">IH", 8, 1) + entry + bytes(4)
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]


@pytest.fixture(scope="module")
def ramp(tmp_path_factory):
    return write_ramp(tmp_path_factory.mktemp("video") / "ramp.mp4")


def test_reads_all_frames(ramp):
    clip = read_video(ramp)
    assert clip.frames.shape == (NUM_FRAMES, 48, 64, 3) and clip.frames.dtype == np.uint8
    np.testing.assert_allclose(clip.timestamps, np.arange(NUM_FRAMES) / FPS)
    np.testing.assert_allclose(grey(clip.frames), np.arange(NUM_FRAMES), atol=0.5)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_a_part_is_the_same_as_in_the_whole(tmp_path, suffix):
    clip = read_video(write_ramp(tmp_path / f"ramp{suffix}"), start=2.0, end=3.0)
    np.testing.assert_allclose(clip.timestamps, np.arange(16, 24) / FPS, atol=1e-3)
    np.testing.assert_allclose(grey(clip.frames), np.arange(16, 24), atol=0.5)


def test_fps_and_num_frames(ramp):
    half = read_video(ramp, fps=4)
    np.testing.assert_allclose(grey(half.frames), np.arange(0, NUM_FRAMES, 2), atol=0.5)
    assert len(read_video(ramp, fps=100).frames) == NUM_FRAMES  # never repeats a frame
    five = read_video(ramp, num_frames=5)
    np.testing.assert_allclose(grey(five.frames), [0, 8, 16, 24, 32], atol=0.5)
    assert len(read_video(ramp, start=4.5, num_frames=16).frames) == 4


def test_header(video_folder, tmp_path):
    file = video_folder / "red_left.mp4"  # 12 frames at 8 per second
    assert read_header(file) == Header(1.5, 48, 64, 8.0)
    assert read_header(file, 0.5, 1.0) == Header(0.5, 48, 64, 8.0)
    assert read_header(file, 0.0, 0.1) == Header(0.0, 48, 64, 0.0)  # one frame
    with pytest.raises(VideoError, match="cannot be read"):
        read_header(tmp_path / "missing.mp4")


def test_variable_frame_rate(tmp_path):
    times = [0, 100, 200, 300, 1000, 1900, 2000, 2050, 3000]
    path = write_ramp(tmp_path / "vfr.mkv", times)
    np.testing.assert_allclose(read_video(path).timestamps * 1000, times, atol=1)
    clip = read_video(path, fps=1)  # the first frame at or after each second
    np.testing.assert_allclose(clip.timestamps * 1000, [0, 1000, 2000, 3000], atol=1)
    np.testing.assert_allclose(grey(clip.frames), [0, 4, 6, 8], atol=0.5)


def test_iterator_gives_the_same_frames(ramp):
    clip = read_video(ramp, start=1.0, fps=4, short_side=24)
    stamps, frames = zip(*iter_video(ramp, start=1.0, fps=4, short_side=24), strict=True)
    np.testing.assert_array_equal(stamps, clip.timestamps)
    np.testing.assert_array_equal(frames, clip.frames)


def test_short_side_shrinks_but_never_enlarges(ramp):
    assert read_video(ramp, num_frames=1, short_side=24).frames.shape == (1, 24, 32, 3)
    assert read_video(ramp, num_frames=1, short_side=500).frames.shape == (1, 48, 64, 3)


def test_images_are_clips_of_one_frame(tmp_path):
    grey_image = np.full((10, 20, 1), 77, np.uint8)
    clear = np.zeros((10, 20, 4), np.uint8)
    clear[:, 10:] = (200, 0, 0, 255)
    clear[0, 0] = (0, 0, 0, 128)
    for name, image in (("grey.png", grey_image), ("clear.png", clear)):
        (tmp_path / name).write_bytes(tf.io.encode_png(image).numpy())
    frames, timestamps = read_video(tmp_path / "grey.png")
    np.testing.assert_array_equal(frames, np.full((1, 10, 20, 3), 77))
    np.testing.assert_array_equal(timestamps, [0.0])
    frames = read_video(tmp_path / "clear.png").frames
    np.testing.assert_array_equal(frames[0, 5, [3, 15]], [[255, 255, 255], [200, 0, 0]])
    np.testing.assert_array_equal(frames[0, 0, 0], [127, 127, 127])


@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (3, 2), (6, 3), (8, 1)])
def test_display_rotation_is_applied(tmp_path, orientation, turns):
    image = np.zeros((16, 32, 3), np.uint8)
    image[:8, :16] = (250, 250, 250)
    (tmp_path / "a.jpg").write_bytes(jpeg_with_orientation(image, orientation))
    upright = read_video(tmp_path / "a.jpg").frames[0]
    expected = np.rot90(image, turns)  # counter-clockwise
    assert upright.shape == expected.shape
    assert np.abs(upright.astype(int) - expected).mean() < 5


def test_bounds(ramp, monkeypatch):
    with pytest.raises(VideoError, match="40 frames are more than max_frames=39"):
        read_video(ramp, max_frames=39)
    with pytest.raises(VideoError, match="more than max_pixels=1000"):
        read_video(ramp, max_pixels=1000)
    monkeypatch.setattr(video, "MAX_FRAME_PIXELS", 1000)
    with pytest.raises(VideoError, match="48x64 is more than 1000 pixels"):
        read_video(ramp)


def test_a_huge_image_is_refused_before_decoding(tmp_path):
    def chunk(name: bytes, content: bytes) -> bytes:
        check = zlib.crc32(name + content)
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", 30000, 30000, 8, 2, 0, 0, 0)
    parts = (
        chunk(b"IHDR", header),
        chunk(b"IDAT", zlib.compress(bytes(90001))),
        chunk(b"IEND", b""),
    )
    (tmp_path / "huge.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    with pytest.raises(VideoError, match="huge.png"):
        read_video(tmp_path / "huge.png")


def test_unreadable_files(tmp_path, ramp):
    content = ramp.read_bytes()
    cases = {
        "missing.mp4": (None, "No such file"),
        "empty.mp4": (b"", "the file is empty"),
        "text.mp4": (b"no video at all" * 50, "cannot be read"),
        "half.mp4": (content[: len(content) // 2], "cannot be read"),
        "list.m3u8": (b"#EXTM3U\n#EXTINF:1,\nramp.mp4\n#EXT-X-ENDLIST\n", "cannot be read"),
    }
    for name, (content, reason) in cases.items():
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(VideoError, match=f"{name}: .*{reason}"):
            read_video(tmp_path / name)


def test_truncated_stream(tmp_path):
    content = write_ramp(tmp_path / "whole.mkv").read_bytes()
    (tmp_path / "half.mkv").write_bytes(content[: len(content) // 2])
    with pytest.raises(VideoError, match="half.mkv: truncated"):
        read_video(tmp_path / "half.mkv")


def test_no_display_times(tmp_path):
    path = write_ramp(tmp_path / "a.avi")  # H.264 with reordered frames in AVI
    with pytest.raises(VideoError, match="no display times"):
        read_video(path)


def test_bad_arguments(ramp):
    with pytest.raises(VideoError, match="no frame between start=50"):
        read_video(ramp, start=50)
    with pytest.raises(VideoError, match="start=2, end=1"):
        frame_times(ramp, start=2, end=1)
    with pytest.raises(ValueError, match="fps must be positive, received 0"):
        read_video(ramp, fps=0)
    with pytest.raises(ValueError, match="short_side must be at least 1"):
        read_video(ramp, short_side=0)


@needs_shared
def test_rotated_phone_video():
    plain, turned = (SHARED / f"rotated_{angle}.mov" for angle in (0, 90))
    assert read_video(plain).frames.shape == (3, 320, 568, 3)
    assert read_video(turned).frames.shape == (3, 568, 320, 3)


@needs_shared
def test_damaged_video():
    with pytest.raises(VideoError, match="corrupted.mp4: cannot be read: Invalid data"):
        read_video(SHARED / "corrupted.mp4")


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_a_remote_file_is_the_same_as_the_local_one(tmp_path, s3, suffix):
    local = write_ramp(tmp_path / f"ramp{suffix}")
    path = f"{s3}/{tmp_path.name}/ramp{suffix}"
    remote.upload(local, path)
    options = {"start": 1.0, "end": 4.0, "num_frames": 7}
    here = read_video(local, **options)
    with Decoder() as decode:
        for there in (read_video(path, **options), decode(path, **options)):
            np.testing.assert_array_equal(there.frames, here.frames)
            np.testing.assert_array_equal(there.timestamps, here.timestamps)


def test_bad_remote_files_are_named(tmp_path, s3):
    (tmp_path / "empty.mp4").touch()
    remote.upload(tmp_path / "empty.mp4", f"{s3}/{tmp_path.name}/empty.mp4")
    with pytest.raises(VideoError, match="s3://.*/empty.mp4: the file is empty"):
        read_video(f"{s3}/{tmp_path.name}/empty.mp4")
    with Decoder() as decode:
        for path in (f"{s3}/missing.mp4", "s3://no-such-bucket/a.mp4"):
            with pytest.raises(VideoError, match=f"{path}: cannot be read: no such file"):
                decode(path)


@pytest.mark.parametrize("call", [0, 1, 2, 3])
def test_a_connection_that_breaks_while_decoding_is_named(tmp_path, monkeypatch, call):
    """FFmpeg must not take a failed read, of which it gets several, for the end of the file."""
    frames = np.random.default_rng(0).integers(0, 256, (12, 96, 128, 3), np.uint8)
    path = f"file://{write_video(tmp_path / 'noise.mp4', frames)}"
    calls = itertools.count()
    read = remote._TensorFlowFiles.cat_file

    def cat_file(*arguments, **options):
        return read(*arguments, **options)[: -1 if next(calls) == call else None]

    monkeypatch.setattr(remote._TensorFlowFiles, "cat_file", cat_file)
    monkeypatch.setattr(remote, "WAITS", ())
    monkeypatch.setattr(video, "open_binary", lambda path: remote.open_binary(path, 1024))
    with pytest.raises(VideoError, match="file://.*/noise.mp4: cannot be read: .* bytes came of"):
        read_video(path)
    assert next(calls) > call


def textured(num_frames: int = 48) -> np.ndarray:
    """uint8 [T, 48, 64, 3]: noise that slides, so that a frame differs from what it refers to."""
    noise = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    image = np.kron(noise, np.ones((8, 8, 1), np.uint8))
    return np.stack([np.roll(image, (t, 3 * t), (0, 1)) for t in range(num_frames)])


@pytest.mark.parametrize(
    ("codec", "suffix"),
    [
        ("libx264", "mp4"),
        ("libx264", "ts"),
        ("libx265", "mkv"),
        ("mpeg2video", "mpg"),
        ("mpeg4", "avi"),
        ("libvpx-vp9", "webm"),
    ],
)
@pytest.mark.parametrize("num_frames", [1, 5, 17])
def test_one_thread_skips_frames_and_gives_the_same(tmp_path, codec, suffix, num_frames):
    file = write_video(tmp_path / f"a.{suffix}", textured(), codec=codec)
    whole = read_video(file)
    chosen = np.arange(num_frames) * len(whole.frames) // num_frames
    found = read_video(file, num_frames=num_frames, num_threads=1)
    np.testing.assert_array_equal(found.timestamps, whole.timestamps[chosen])
    np.testing.assert_array_equal(found.frames, whole.frames[chosen])


def test_one_thread_skips_frames(tmp_path, monkeypatch):
    """H.264 with B-frames: the decoder gives fewer frames than the file has."""
    file = write_video(tmp_path / "a.mp4", textured())
    counts = []

    def counted(*arguments):
        frames = list(frames_of(*arguments))
        counts.append(len(frames))
        yield from frames

    frames_of = video._frames
    monkeypatch.setattr(video, "_frames", counted)
    read_video(file, num_frames=2, num_threads=1)
    read_video(file, num_frames=2)
    assert counts[0] < 0.8 * counts[1] and counts[1] == 48


@needs_shared
@pytest.mark.parametrize("name", sorted(p.name for p in SHARED.glob("*.m*")))
def test_one_thread_gives_the_same_of_real_videos(name):
    if name == "corrupted.mp4":
        pytest.skip("cannot be decoded")
    options = {"num_frames": 16, "short_side": 144}
    one, many = (
        read_video(SHARED / name, num_threads=1, **options),
        read_video(SHARED / name, **options),
    )
    np.testing.assert_array_equal(one.timestamps, many.timestamps)
    np.testing.assert_array_equal(one.frames, many.frames)
