import os
import signal

import numpy as np
import pytest

from keras_videoprism.data import decode as decode_module
from keras_videoprism.data.decode import Decoder, decode_each
from keras_videoprism.data.manifest import Row, read_manifest
from keras_videoprism.data.schema import encode_clip
from keras_videoprism.data.video import VideoError, read_video


def test_same_as_in_this_process(video_folder):
    with Decoder() as decode:
        for file in sorted(video_folder.glob("*.mp4"))[:3]:
            found = decode(file, num_frames=5, short_side=24)
            expected = read_video(file, num_frames=5, short_side=24)
            np.testing.assert_array_equal(found.frames, expected.frames)
            np.testing.assert_array_equal(found.timestamps, expected.timestamps)


def test_errors_pass_through_and_the_child_lives_on(video_folder, tmp_path):
    (tmp_path / "a\nb.mp4").write_bytes(b"no video")
    file = sorted(video_folder.glob("*.mp4"))[0]
    with Decoder() as decode:
        decode(file)
        child = decode._child
        with pytest.raises(VideoError, match="b.mp4: cannot be read"):
            decode(tmp_path / "a\nb.mp4")
        assert len(decode(file, num_frames=2).frames) == 2
        assert decode._child is child


def test_time_limit(tmp_path, video_folder):
    """A pipe that nobody writes to: opening it waits for ever."""
    os.mkfifo(tmp_path / "pipe.mp4")
    with Decoder(time_limit=2.0) as decode:
        with pytest.raises(VideoError, match=r"pipe.mp4: not decoded within 2 s"):
            decode(tmp_path / "pipe.mp4")
        decode.time_limit = 60.0
        assert len(decode(sorted(video_folder.glob("*.mp4"))[0]).frames) == 12
    with pytest.raises(ValueError, match="time_limit"):
        Decoder(time_limit=0)("a.mp4")


def test_a_file_that_kills_the_decoder(video_folder, monkeypatch):
    """As a crash of a codec would."""
    file = sorted(video_folder.glob("*.mp4"))[0]
    with Decoder() as decode:
        decode(file)
        exchange = decode_module._exchange

        def crash(child, request):
            os.kill(child.pid, signal.SIGSEGV)
            return exchange(child, request)

        monkeypatch.setattr(decode_module, "_exchange", crash)
        with pytest.raises(VideoError, match=r"died of it \(exit status -11\)"):
            decode(file)
        monkeypatch.setattr(decode_module, "_exchange", exchange)
        assert len(decode(file).frames) == 12


def test_memory_limit(video_folder):
    """Too little for the decoder itself; the child dies or tells, and nothing else happens."""
    with Decoder(memory_limit=2**27) as decode, pytest.raises(VideoError, match="died|memory"):
        decode(sorted(video_folder.glob("*.mp4"))[0])


def test_each_row_in_order_and_few_ahead(video_folder, tmp_path):
    rows = read_manifest(video_folder) * 5
    rows.insert(2, Row(tmp_path / "missing.mp4", "missing.mp4"))
    asked = []

    def noted():
        for row in rows:
            asked.append(row)
            yield row

    videos = decode_each(noted(), num_frames=3)
    first = next(videos)
    assert len(asked) <= 2 * (os.cpu_count() or 1)
    videos = [first, *videos]
    assert isinstance(videos.pop(2), VideoError)
    for row, video in zip(rows[:2] + rows[3:], videos, strict=True):
        assert np.array_equal(video.frames, read_video(row.path, num_frames=3).frames)


def test_each_row_may_be_a_part(video_folder):
    row = read_manifest(video_folder)[0]
    (video,) = decode_each([row._replace(start=0.5, end=1.0)])
    assert video.timestamps.tolist() == [0.5, 0.625, 0.75, 0.875]


def test_a_record_is_encoded_in_the_child(video_folder):
    file = sorted(video_folder.glob("*.mp4"))[0]
    clip = {"file": "ä.mp4", "source": "s", "clip_id": 7, "captions": ["a\nb"], "labels": [2]}
    with Decoder() as decoder:
        record = decoder.encode(file, clip, num_frames=3)
        with pytest.raises(VideoError, match=r"no frame between start=9"):
            decoder.encode(file, clip, start=9.0)
    video = read_video(file, num_frames=3)
    assert bytes(record) == encode_clip(video.frames, video.timestamps, **clip)
