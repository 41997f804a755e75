import numpy as np
import pytest

from keras_videoprism.commands.probe import Features, extract, forward_of, probe_features
from keras_videoprism.models import VideoPrism


def _features(rng, labels):
    """Tokens that show their class in one token of eight."""
    tokens = rng.normal(size=(len(labels), 8, 16)).astype("float32")
    tokens[:, 3, 0] += 8.0 * labels
    return tokens


def test_probe_reads_what_is_in_the_tokens():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 256).astype("int32")
    tokens = _features(rng, labels)
    train, test = Features(tokens[:192], labels[:192]), Features(tokens[192:], labels[192:])
    settings = {"num_classes": 2, "num_heads": 2, "epochs": 20, "verbose": 0, "learning_rate": 1e-2}
    assert probe_features(train, test, **settings) > 0.9
    shuffled = Features(train.tokens, rng.permutation(train.labels))
    assert probe_features(shuffled, test, **settings) < 0.8


def test_multi_hot_labels_are_scored_by_average_precision():
    rng = np.random.default_rng(0)
    hot = rng.integers(0, 2, (128, 2)).astype("float32")
    features = Features(_features(rng, hot[:, 0]), hot)
    score = probe_features(
        features, features, num_classes=2, num_heads=2, epochs=20, verbose=0, learning_rate=1e-2
    )
    assert 0.7 < score <= 1.0


def test_extract_keeps_order_and_the_last_batch():
    import tensorflow as tf

    encoder = VideoPrism(
        patch_size=8,
        position_shape=(2, 2, 2),
        hidden_dim=16,
        num_spatial_layers=1,
        num_temporal_layers=1,
        num_heads=2,
        mlp_dim=32,
    )
    videos = np.random.default_rng(0).random((5, 2, 16, 16, 3), dtype="float32")
    arrays = {"videos": videos, "labels": np.arange(5)}
    features = extract(forward_of(encoder), tf.data.Dataset.from_tensor_slices(arrays).batch(2))
    assert features.labels.tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(features.tokens, np.asarray(encoder(videos)), atol=1e-5)


def test_labels_that_do_not_fit():
    rng = np.random.default_rng(0)
    features = Features(rng.normal(size=(4, 8, 16)).astype("float32"), np.array([0, 1, 2, 3]))
    with pytest.raises(ValueError, match=r"labels must be in \[0, 3\); received 0 to 3"):
        probe_features(features, features, num_classes=3, num_heads=2)
