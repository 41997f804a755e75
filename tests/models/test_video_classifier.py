import keras
import numpy as np
import pytest

from keras_videoprism.converters import from_flax
from keras_videoprism.models import VideoClassifier, VideoPrism


@pytest.fixture(scope="module")
def classifier(golden) -> VideoClassifier:
    return from_flax(golden("classifier")[0])


@pytest.fixture
def encoder() -> VideoPrism:
    return VideoPrism(6, (4, 4, 4), 16, 1, 1, num_heads=2, mlp_dim=32)


@pytest.mark.backends
def test_golden_logits(golden, run, classifier):
    _, arrays = golden("classifier")
    videos = arrays["case0/videos"]
    logits = run(classifier, {"videos": videos})
    np.testing.assert_allclose(logits, arrays["case0/logits"], atol=2e-5)
    embeddings = run(classifier.embed, videos)
    np.testing.assert_allclose(embeddings, arrays["case0/global_embeddings"], atol=2e-5)


@pytest.mark.backends
def test_padded_frames_do_not_count(run, classifier, random_videos):
    videos = random_videos(2, 4, 24, 24)
    frame_mask = np.array([[True] * 4, [True, True, False, False]])
    expected = run(classifier, {"videos": videos, "frame_mask": frame_mask})
    other = videos.copy()
    other[~frame_mask] = 1.0
    logits = run(classifier, {"videos": other, "frame_mask": frame_mask})
    np.testing.assert_allclose(logits, expected, atol=1e-5)
    assert np.abs(run(classifier, other) - expected)[1].max() > 1e-3


@pytest.mark.backends
def test_only_the_head_learns(encoder, random_videos):
    model = VideoClassifier(encoder, num_classes=3)
    brightness = np.array([0.2, 0.6, 1.0, 0.2], "float32").reshape(4, 1, 1, 1, 1)
    batch = {"videos": brightness * random_videos(4, 2, 12, 12)}
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.05), loss=loss)
    before = encoder.get_weights()
    labels = np.array([0, 1, 2, 0])
    first = float(model.train_on_batch(batch, labels))
    for _ in range(20):
        last = float(model.train_on_batch(batch, labels))
    assert last < 0.8 * first
    for old, new in zip(before, encoder.get_weights(), strict=True):
        np.testing.assert_array_equal(new, old)


def test_freezing_is_a_choice(encoder):
    assert not VideoClassifier(encoder, 3).encoder.trainable
    assert VideoClassifier(encoder, 3, freeze_encoder=False).encoder.trainable


def test_head_over_tokens():
    model = VideoClassifier(None, num_classes=3, num_heads=2)
    assert model(np.zeros((2, 5, 16), "float32")).shape == (2, 3)
    with pytest.raises(ValueError, match="num_heads must be given"):
        VideoClassifier(None, num_classes=3)


def test_save_and_load(run, tmp_path, encoder, random_videos):
    model = VideoClassifier(encoder, num_classes=3)
    videos = random_videos(1, 3, 12, 18)
    model.build(videos.shape)
    expected = run(model, videos)
    model.save(tmp_path / "classifier.keras")
    loaded = keras.models.load_model(tmp_path / "classifier.keras")
    np.testing.assert_allclose(run(loaded, videos), expected, atol=1e-6)
    assert not loaded.encoder.trainable and loaded.num_heads == 2
