from pathlib import Path

import numpy as np
import pytest

from keras_videoprism.commands.embed import embed
from keras_videoprism.commands.search import build_index, load_index, search
from keras_videoprism.data.manifest import list_videos


@pytest.fixture(scope="module")
def model(text_tower):
    return text_tower


def test_a_window_finds_itself(model, video_folder, tmp_path):
    """A video as the query: its own windows come first, with their times."""
    files = list_videos(video_folder)
    index = build_index(model, files, tmp_path / "index.npz", window=1.0)
    assert len(index.files) == 12
    assert index.times[:2].tolist() == [[0.0, 1.0], [0.5, 1.5]]
    whole = embed(model, files[:1])._replace(times=np.array([[0.0, 1.5]]))
    hit = search(model, whole, Path(files[0]), top_k=3)
    assert len(hit) == 1 and hit[0].score == pytest.approx(1.0, abs=1e-4)
    assert hit[0][:3] == (str(files[0]), 0.0, 1.5)
    found = search(model, index, "a red square", top_k=12)
    scores = [hit.score for hit in found]
    assert scores == sorted(scores, reverse=True) and {hit.file for hit in found} == {
        *map(str, files)
    }


def test_index_goes_on_where_it_stopped(model, video_folder, tmp_path):
    """What an interrupted call wrote is kept; a failed file is told and tried again."""
    files, output = list_videos(video_folder), tmp_path / "index.npz"
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")

    def interrupt(done, of):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_index(model, files, output, window=1.0, progress=interrupt, save_every=2)
    assert len(set(load_index(output).files)) == 2
    steps = []
    index = build_index(
        model, [*files, broken], output, window=1.0, progress=lambda *s: steps.append(s)
    )
    assert steps[0] == (3, 7) and steps[-1] == (7, 7)
    assert [file for file, _ in index.failed] == [str(broken)]
    fresh = build_index(model, files, tmp_path / "fresh.npz", window=1.0)
    assert index.files == fresh.files
    np.testing.assert_allclose(index.embeddings, fresh.embeddings, atol=1e-6)


def test_bad_index(model, video_folder, tmp_path):
    with pytest.raises(ValueError, match="no index"):
        load_index(tmp_path / "missing.npz")
    (tmp_path / "text.npz").write_text("text")
    with pytest.raises(ValueError, match="no index"):
        load_index(tmp_path / "text.npz")
    np.savez(
        tmp_path / "other.npz", embeddings=np.zeros((1, 3)), files=["a"], times=np.zeros((1, 2))
    )
    with pytest.raises(ValueError, match="another model"):
        build_index(model, list_videos(video_folder), tmp_path / "other.npz")
    np.savez(tmp_path / "pickled.npz", embeddings=np.array([{}], dtype=object), files=[], times=[])
    with pytest.raises(ValueError, match="no index"):
        load_index(tmp_path / "pickled.npz")
