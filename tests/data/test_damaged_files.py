"""Files damaged in ten ways among good ones: all good ones are written, all others listed."""

import struct
import zlib
from pathlib import Path

import av
import numpy as np
import pytest

from keras_videoprism.data.index import open_records
from keras_videoprism.data.manifest import Row
from keras_videoprism.data.write import write_records

NUM_GOOD = 20


def absurd_png() -> bytes:
    """A header that promises 60,000 x 60,000 pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(b"\0")
    chunks = [
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        for chunk in (header, data, b"IEND")
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def audio_only(path: Path) -> None:
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=16_000)
        silence = np.zeros((1, 1024), "float32")
        frame = av.AudioFrame.from_ndarray(silence, format="fltp", layout="mono")
        frame.sample_rate = 16_000
        for packet in [*stream.encode(frame), *stream.encode()]:
            container.mux(packet)


def damage(folder: Path, good: bytes) -> list[Path]:
    """One file for each way."""
    start = good.index(b"mdat") + 4
    contents = {
        "truncated.mp4": good[: len(good) // 2],
        "empty.mp4": b"",
        "text.mp4": b"this is no video\n" * 50,
        "codec_tag.mp4": good.replace(b"avc1", b"zzzz").replace(b"avcC", b"zzzC"),
        "absurd_size.png": absurd_png(),
        "no_index.mp4": good.replace(b"moov", b"lost"),
        "playlist.mp4": b"#EXTM3U\n#EXTINF:10,\nhttp://127.0.0.1:9/a.ts\n",
        "zeroed.mp4": good[:start] + bytes(len(good) // 3) + good[start + len(good) // 3 :],
    }
    files = []
    for name, content in contents.items():
        (folder / name).write_bytes(content)
        files.append(folder / name)
    audio_only(folder / "audio.mp4")
    (folder / "folder.mp4").mkdir()
    return [*files, folder / "audio.mp4", folder / "folder.mp4"]


@pytest.fixture(scope="module")
def rows(video_folder, tmp_path_factory):
    """Twenty good clips, and the damaged ones spread among them."""
    folder = tmp_path_factory.mktemp("damaged")
    good = (video_folder / "red_left.mp4").read_bytes()
    damaged = damage(folder, good)
    assert len(damaged) == 10
    files = []
    for number in range(NUM_GOOD):
        file = folder / f"good_{number:02d}.mp4"
        file.write_bytes(good)
        files += [file, *damaged[number : number + 1]]
    return [Row(file, file.name) for file in files]


def test_good_clips_are_written_and_others_listed(rows, tmp_path):
    report = write_records(rows, tmp_path / "out", num_shards=3, num_frames=4)
    assert report.written == NUM_GOOD == len(open_records(tmp_path / "out").offsets)
    expected = [row.name for row in rows if not row.name.startswith("good")]
    assert [name for name, _ in report.skipped] == expected
    assert all(reason for _, reason in report.skipped)
    write_records(rows, tmp_path / "again", num_shards=3, num_frames=4)
    contents = [
        {file.name: file.read_bytes() for file in (tmp_path / name).iterdir()}
        for name in ("out", "again")
    ]
    assert contents[0] == contents[1]
