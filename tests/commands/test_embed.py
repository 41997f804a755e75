import numpy as np
import pytest

from keras_videoprism.commands.embed import Embeddings, embed, read_clip
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
    Embeddings(np.zeros((1, 2), "float32"), ["a.mp4"], []).save(tmp_path / "e.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["e.npz"]
    with np.load(tmp_path / "e.npz", allow_pickle=False) as arrays:
        assert arrays["files"].tolist() == ["a.mp4"]


def test_read_clip_crops_to_the_aspect(video_folder):
    clip = read_clip(sorted(video_folder.glob("*.mp4"))[0], 3, (16, 24))
    assert clip.shape == (3, 16, 24, 3)
    assert clip.dtype == np.float32 and 0 <= clip.min() and clip.max() <= 1
