import pytest

from keras_videoprism import presets
from keras_videoprism.commands import convert as module
from keras_videoprism.commands.convert import convert
from keras_videoprism.models import VideoClassifier, VideoPrismLvT


@pytest.fixture(scope="module")
def source(text_tower, tmp_path_factory):
    folder = tmp_path_factory.mktemp("source") / "preset"
    presets.save(text_tower, folder)
    return folder


@pytest.mark.parametrize("target", ["keras_videoprism", "transformers", "keras_hub"])
def test_round_trip(source, target, tmp_path):
    """To another library and back; `convert` compares the outputs, here the weights."""
    assert convert(source, tmp_path / "there", target) < 1e-6
    assert convert(tmp_path / "there", tmp_path / "back") < 1e-6
    old, new = (VideoPrismLvT.from_preset(folder) for folder in (source, tmp_path / "back"))
    for a, b in zip(old.get_weights(), new.get_weights(), strict=True):
        assert a == pytest.approx(b, abs=1e-6)


def test_what_is_refused(source, text_tower, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="target must be one of"):
        convert(source, tmp_path / "out", "onnx")
    with pytest.raises(ValueError, match="exists"):
        convert(source, tmp_path, "transformers")
    presets.save(VideoClassifier(text_tower.video_encoder, 2), tmp_path / "classifier")
    with pytest.raises(ValueError, match="no VideoPrism classifier"):
        convert(tmp_path / "classifier", tmp_path / "out", "keras_hub")
    monkeypatch.setattr(module, "_difference", lambda one, other: 0.5)
    with pytest.raises(ValueError, match="differ by 5.0e-01"):
        convert(source, tmp_path / "out", "transformers")
    assert not [path for path in tmp_path.iterdir() if path.name != "classifier"]
