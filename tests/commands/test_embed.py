import subprocess
import sys

import av
import numpy as np
import pytest

from keras_videoprism.commands import embed as module
from keras_videoprism.commands.embed import Embeddings, embed, fit_frames, read_clip, windows
from keras_videoprism.models import VideoPrism, VideoPrismLvT

TINY = {
    "patch_size": 8,
    "position_shape": (4, 3, 3),
    "hidden_dim": 16,
    "num_spatial_layers": 1,
    "num_temporal_layers": 1,
    "num_heads": 2,
    "mlp_dim": 32,
}


def test_frames_resized_in_parts(monkeypatch):
    frames = np.random.default_rng(0).integers(256, size=(5, 40, 30, 3), dtype=np.uint8)
    at_once = fit_frames(frames, 4, (12, 16))
    assert at_once.shape == (4, 12, 16, 3)
    monkeypatch.setattr(module, "VALUES_AT_ONCE", 2 * 30 * 22 * 3)  # two of the cropped frames
    np.testing.assert_array_equal(fit_frames(frames, 4, (12, 16)), at_once)


def test_embedding_is_that_of_the_clip(video_folder):
    file = sorted(video_folder.glob("*.mp4"))[0]
    model = VideoPrismLvT(**TINY, num_auxiliary_layers=0, vocabulary_size=9, num_text_layers=1)
    result = embed(model, [file])
    expected = np.asarray(model.encode_video(read_clip(file, 4, (24, 24))[None]))
    assert result.embeddings == pytest.approx(expected, abs=1e-6)
    assert np.linalg.norm(result.embeddings, axis=1) == pytest.approx(1.0, abs=1e-5)


def test_missing_file_is_listed(video_folder, tmp_path):
    file = sorted(video_folder.glob("*.mp4"))[0]
    steps = []
    result = embed(
        VideoPrism(**TINY), [tmp_path / "none.mp4", file], progress=lambda *done: steps.append(done)
    )
    assert result.files == [str(file)]
    assert result.failed[0][0].endswith("none.mp4")
    assert steps == [(1, 2), (2, 2)]


def test_nothing_embedded_is_an_empty_array(tmp_path):
    result = embed(VideoPrism(**TINY), [tmp_path / "none.mp4"])
    assert result.embeddings.shape == (0, 16)


def test_save_leaves_no_other_file(tmp_path):
    Embeddings(np.zeros((1, 2)), ["a.mp4"], np.zeros((1, 2)), []).save(tmp_path / "e.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["e.npz"]
    with np.load(tmp_path / "e.npz", allow_pickle=False) as arrays:
        assert arrays["files"].tolist() == ["a.mp4"]


def test_read_clip_crops_to_the_aspect(video_folder):
    clip = read_clip(sorted(video_folder.glob("*.mp4"))[0], 3, (16, 24))
    assert clip.shape == (3, 16, 24, 3)
    assert clip.dtype == np.uint8 and clip.max() > 127


def test_windows_cover_the_file(video_folder):
    """12 frames at 8 a second: 1.5 s."""
    file = sorted(video_folder.glob("*.mp4"))[0]
    assert list(windows(file, None)) == [(0.0, 1.5)]
    assert list(windows(file, 2.0)) == [(0.0, 1.5)]
    assert list(windows(file, 0.5)) == [(0.0, 0.5), (0.5, 1.0), (1.0, 1.5)]
    assert list(windows(file, 1.0)) == [(0.0, 1.0), (0.5, 1.5)]
    assert list(windows(file, 1.0, 0.25)) == [(0.0, 1.0), (0.25, 1.25), (0.5, 1.5)]
    for window, stride in ((0.0, None), (1.0, 2.0), (1.0, -1.0)):
        with pytest.raises(ValueError, match="stride <= window"):
            list(windows(file, window, stride))


def test_each_window_is_embedded_by_itself(video_folder):
    file = sorted(video_folder.glob("*.mp4"))[0]
    model = VideoPrism(**TINY)
    result = embed(model, [file], window=1.0)
    assert result.files == [str(file)] * 2
    assert result.times.tolist() == [[0.0, 1.0], [0.5, 1.5]]
    clip = read_clip(file, 4, (24, 24), start=0.5, end=1.5)
    expected = np.asarray(model(clip[None])).mean(axis=1)[0]
    np.testing.assert_allclose(result.embeddings[1], expected, atol=1e-5)
    assert np.abs(result.embeddings[0] - result.embeddings[1]).max() > 1e-4


def test_sampling_and_resize_by_name(video_folder):
    file = sorted(video_folder.glob("*.mp4"))[0]
    default = np.int32(read_clip(file, 3, (24, 24)))
    for other in ({"sampling": "endpoints"}, {"resize_method": "bicubic"}, {"crop": False}):
        assert np.abs(read_clip(file, 3, (24, 24), **other) - default).max() > 2
    last = read_clip(file, 12, (24, 24))[-1]
    np.testing.assert_array_equal(read_clip(file, 3, (24, 24), sampling="endpoints")[-1], last)
    for wrong in ({"sampling": "middle"}, {"resize_method": "gauss"}):
        with pytest.raises(ValueError, match="must be one of"):
            read_clip(file, 3, (24, 24), **wrong)


PEAK = """
import resource, sys
from keras_videoprism.commands.embed import embed
from keras_videoprism.models import VideoPrism
model = VideoPrism(patch_size=8, position_shape=(4, 3, 3), hidden_dim=16, num_spatial_layers=1,
                   num_temporal_layers=1, num_heads=2, mlp_dim=32)
result = embed(model, sys.argv[1:], window=5.0)
print(len(result.files), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_memory_does_not_grow_with_length(tmp_path):
    """Ten minutes peak within 1.2 times the memory of ten seconds; all frames are 0.6 GB."""
    frame = np.random.default_rng(0).integers(0, 256, (240, 320, 3), dtype=np.uint8)
    peaks = {}
    for seconds in (10, 600):
        file = tmp_path / f"{seconds}.mp4"
        with av.open(str(file), "w") as container:
            stream = container.add_stream("libx264", rate=4, options={"preset": "ultrafast"})
            stream.height, stream.width, stream.pix_fmt = 240, 320, "yuv420p"
            for index in range(4 * seconds):
                picture = av.VideoFrame.from_ndarray(np.roll(frame, index, axis=1), format="rgb24")
                container.mux(stream.encode(picture))
            container.mux(stream.encode())
        call = [sys.executable, "-c", PEAK, str(file)]
        output = subprocess.run(call, capture_output=True, text=True, check=True).stdout
        windows_found, peaks[seconds] = map(int, output.split())
        assert windows_found == seconds / 5
    assert peaks[600] < 1.2 * peaks[10]
