"""Small examples of the release's MATLAB files and of TREBA's arrays, made by hand."""

import numpy as np
import pytest

from keras_videoprism.data.annotations.flies import fly_vs_fly, treba_flies

scipy_io = pytest.importorskip("scipy.io")


def cells(rows):
    """A MATLAB cell array."""
    array = np.empty((len(rows), len(rows[0])), object)
    for place in np.ndindex(array.shape):
        array[place] = rows[place[0]][place[1]]
    return array


def movie(folder, names, bouts, frames):
    folder.mkdir(parents=True)
    actions = {"behs": cells([names]), "bouts": cells(bouts)}
    scipy_io.savemat(folder / f"{folder.name}_actions.mat", actions)
    track = {"trk": {"names": "x", "data": np.zeros((2, frames, 3)), "flags": 0}}
    scipy_io.savemat(folder / f"{folder.name}_track.mat", track)
    return folder


NONE = np.zeros((0, 3))


def test_fly_vs_fly(tmp_path):
    movie(
        tmp_path / "Aggression" / "movie1",
        ["lunge", "Wing_threat", "charge"],
        [[np.array([[3, 3, 0]]), NONE, np.array([[1, 8, 0]])], [NONE, np.array([[3, 6, 1]]), NONE]],
        frames=8,
    )
    rows = fly_vs_fly(tmp_path, "flies", fps=30, num_frames=4)
    assert [row.name for row in rows] == ["Aggression/movie1/movie1.mp4"] * 2
    assert rows[0].labels == (0, 1)  # frame 3 of 1 to 8: the lunge of one, the threat of the other
    assert rows[1].labels == ()  # frame 7; the charge is not a class
    assert (rows[1].start, rows[1].end) == (3.5 / 30, 7.5 / 30)
    frames = fly_vs_fly(tmp_path, "flies", fps=30, num_frames=1, classes=["charge", "wing threat"])
    assert [row.labels for row in frames] == [(0,), (0,)] + [(0, 1)] * 4 + [(0,), (0,)]


@pytest.mark.parametrize(
    "bouts, error",
    [
        ([[np.array([[0, 3, 0]])], [NONE]], "bout 0 to 3 of lunge in 8 frames"),
        ([[np.array([[5, 4, 0]])], [NONE]], "bout 5 to 4"),
        ([[np.array([[5, 9, 0]])], [NONE]], "bout 5 to 9"),
        ([[np.array([[5, 9]])], [NONE]], "reshape"),
        ([[NONE, NONE]], "do not fit the behaviours"),
    ],
)
def test_wrong_bouts(tmp_path, bouts, error):
    movie(tmp_path / "movie1", ["lunge"], bouts, frames=8)
    with pytest.raises(ValueError, match=rf"entry 1: .*{error}.*movie1_actions.mat"):
        fly_vs_fly(tmp_path, "flies", fps=30)


def test_wrong_matlab_files(tmp_path):
    folder = movie(tmp_path / "movie1", ["charge"], [[NONE], [NONE]], frames=8)
    with pytest.raises(ValueError, match="none of the behaviours"):
        fly_vs_fly(tmp_path, "flies", fps=30)
    scipy_io.savemat(folder / "movie1_track.mat", {"feat": 1})
    with pytest.raises(ValueError, match=r"movie1_track.mat: no MATLAB file with .*trk"):
        fly_vs_fly(tmp_path, "flies", fps=30)
    (folder / "movie1_track.mat").write_bytes(b"MATLAB 5.0 MAT-file" + b"\xff" * 300)
    with pytest.raises(ValueError, match="movie1_track.mat: no MATLAB file"):
        fly_vs_fly(tmp_path, "flies", fps=30)
    with pytest.raises(ValueError, match="no clip"):
        fly_vs_fly(tmp_path / "movie2", "flies", fps=30)


def treba(path, annotations):
    np.savez(path, keypoints=np.zeros((2, 3)), annotations=annotations)
    return path


def test_treba_flies(tmp_path):
    annotations = np.zeros((6, 10, 1), int)
    annotations[4, 2] = annotations[0, 2] = annotations[5, 8] = 1
    file = treba(tmp_path / "fly_val.npz", annotations)
    lengths = {"Courtship/movie1.mp4": 4, "movie2.mp4": 6}
    rows = treba_flies(file, "flies", lengths, fps=30, num_frames=4)
    assert [(row.name, row.labels) for row in rows] == [
        ("Courtship/movie1.mp4", (0, 4)),  # its frame 2
        ("movie2.mp4", ()),
    ]
    (_, row) = treba_flies(file, "flies", lengths, fps=30, num_frames=8)
    assert row.name == "movie2.mp4" and row.labels == ()  # six frames, a window of their own
    rows = treba_flies(file, "flies", lengths, fps=30, num_frames=1)
    assert [index for index, row in enumerate(rows) if 5 in row.labels] == [8]


def test_treba_wrong_files(tmp_path):
    def check(annotations, error, lengths):
        with pytest.raises(ValueError, match=rf"a\.npz: .*{error}"):
            treba_flies(treba(tmp_path / "a.npz", annotations), "flies", lengths, fps=30)

    check(np.zeros((6, 10)), "has 10 frames", {"a.mp4": 9})
    check(np.zeros((6, 10)), "has 10 frames", {})
    check(np.zeros((6, 10)), "has 10 frames", {"a.mp4": -2, "b.mp4": 12})
    check(np.zeros((5, 10)), "expected 0 or 1", {"a.mp4": 10})
    check(np.zeros(6), "expected 0 or 1", {"a.mp4": 6})
    check(np.full((6, 10), 2), "expected 0 or 1", {"a.mp4": 10})
    check(np.array([{}] * 6), "allow_pickle", {"a.mp4": 10})
    for content in (b"", b"PK\x03\x04 damaged", b"text"):
        (tmp_path / "b.npz").write_bytes(content)
        with pytest.raises(ValueError, match="b.npz: no plain array"):
            treba_flies(tmp_path / "b.npz", "flies", {"a.mp4": 1}, fps=30)
