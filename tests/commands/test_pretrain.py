import pytest

from keras_videoprism.commands.pretrain import pretrain


def test_bad_arguments_are_told_before_any_work(tmp_path):
    settings = {"preset": "videoprism_tiny", "output": tmp_path / "out", "steps": 2}
    with pytest.raises(ValueError, match="frames must be one value or one for each of the 2"):
        pretrain(1, ["a", "b"], frames=(8, 8, 1), **settings)
    with pytest.raises(ValueError, match="teacher"):
        pretrain(2, ["a"], **settings)
    (tmp_path / "out").mkdir()
    with pytest.raises(ValueError, match="exists"):
        pretrain(1, ["a"], **settings)
