import pytest

from keras_videoprism.data.atomic import atomic_folder, atomic_path


def test_writes_the_file(tmp_path):
    with atomic_path(tmp_path / "a.txt") as temporary:
        temporary.write_text("new")
        assert not (tmp_path / "a.txt").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(RuntimeError), atomic_path(tmp_path / "a.txt") as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


def test_a_folder_keeps_what_it_does_not_replace(tmp_path):
    (tmp_path / "a" / "sub").mkdir(parents=True)
    (tmp_path / "a" / "sub" / "old.txt").write_text("old")
    (tmp_path / "a" / "other.txt").write_text("other")
    with atomic_folder(tmp_path / "a") as temporary:
        (temporary / "sub").mkdir()
        (temporary / "sub" / "old.txt").write_text("new")
        assert (tmp_path / "a" / "sub" / "old.txt").read_text() == "old"
    files = {file.name: file.read_text() for file in tmp_path.rglob("*.txt")}
    assert files == {"old.txt": "new", "other.txt": "other"}


def test_an_error_leaves_the_old_folder_and_nothing_else(tmp_path):
    with pytest.raises(RuntimeError), atomic_folder(tmp_path / "a") as temporary:
        (temporary / "a.txt").write_text("half")
        raise RuntimeError
    assert not list(tmp_path.iterdir())
