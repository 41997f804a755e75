import numpy as np
import pytest

from keras_videoprism.commands.classify import classify_files, zero_shot_classify
from keras_videoprism.commands.embed import read_clip
from keras_videoprism.models import VideoClassifier, VideoPrism

NAMES = ["a red square", "a green square"]


def test_zero_shot_by_hand(text_tower, video_folder):
    """One template: a softmax over cosines at temperature 0.01."""
    clip = read_clip(next(iter(sorted(video_folder.glob("*.mp4")))), 4, (24, 24))[None]
    found = zero_shot_classify(text_tower, clip, NAMES, "video")
    video = np.asarray(text_tower.encode_video(clip))
    text = np.asarray(text_tower.encode_text([f"a video of {name}." for name in NAMES]))
    logits = video @ text.T / 0.01
    expected = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    np.testing.assert_allclose(found, expected, atol=1e-3)
    ensemble = zero_shot_classify(text_tower, clip, NAMES)
    assert np.abs(ensemble - found).max() > 1e-4 and ensemble.sum() == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((["a", "a"], "video"), "Received twice"),
        (([], "video"), "Expected names"),
        ((["a"], "imagenet"), "one of .'kinetics', 'video'"),
        ((["a " * 5000], "video"), "characters"),
        (([" . "], ["{}"]), "empty"),
    ],
)
def test_bad_classes(text_tower, arguments, message):
    with pytest.raises(ValueError, match=message):
        zero_shot_classify(text_tower, np.zeros((1, 4, 24, 24, 3), "float32"), *arguments)


def test_files_that_fail_are_listed(text_tower, video_folder, tmp_path):
    files = [tmp_path / "none.mp4", *sorted(video_folder.glob("*.mp4"))[:2]]
    found, failed = classify_files(text_tower, files, NAMES)
    assert [file for file, _ in found] == [str(file) for file in files[1:]]
    assert failed[0][0] == str(files[0])


def test_trained_classifier(text_tower, video_folder):
    model = VideoClassifier(text_tower.video_encoder, num_classes=2)
    file = sorted(video_folder.glob("*.mp4"))[0]
    found, _ = classify_files(model, [file], NAMES)
    logits = np.asarray(model(read_clip(file, 4, (24, 24))[None]))[0]
    expected = np.exp(logits) / np.exp(logits).sum()
    np.testing.assert_allclose(found[0][1], expected, atol=1e-5)
    with pytest.raises(ValueError, match="3 names for 2 classes"):
        classify_files(model, [file], [*NAMES, "more"])
    with pytest.raises(ValueError, match="names nothing"):
        classify_files(text_tower.video_encoder, [file], NAMES)
    assert isinstance(text_tower.video_encoder, VideoPrism)
