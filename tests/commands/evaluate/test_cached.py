from functools import partial
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from keras_videoprism.commands.evaluate.cached import (
    FeatureBatches,
    Head,
    predict_cached,
    train_cached,
)
from keras_videoprism.commands.evaluate.protocol import Recipe
from keras_videoprism.commands.evaluate.training import WEIGHTS, Examples, Training
from keras_videoprism.commands.features import predict
from keras_videoprism.heads.adaptation import AdaptedVideoPrism
from keras_videoprism.heads.classifier import AttentionClassifier

IDS = np.arange(10, 17)
LABELS = np.array([0, 1, 0, 1, 0, 1, 0])
EXAMPLES = Examples(IDS, np.eye(2, dtype=bool)[LABELS])


class Known:
    """Features that are in memory: tokens [36, 16], which tell the class."""

    def __init__(self, values, views=None):
        self.values, self.plan = values, SimpleNamespace(made_by={"views": views})

    def of(self, clip_ids):
        return self.values[clip_ids - IDS[0]]


def telling(labels=LABELS):
    noise = np.random.default_rng(0).normal(size=(len(labels), 36, 16))
    noise[..., 0] += 4.0 * labels[:, None] - 2.0
    return Known(noise.astype("float16"))


@pytest.mark.backends
def test_batches_of_features():
    boxes = {WEIGHTS: np.ones((7, 2), bool), "boxes": np.zeros((7, 2, 4), "float32")}
    examples = Examples(IDS, np.zeros((7, 2, 3), bool), boxes)
    batches = FeatureBatches(telling(), examples, batch_size=3, seed=0)
    assert len(batches) == 2
    inputs, targets, weights = batches[0]
    assert inputs["tokens"].shape == (3, 36, 16) and inputs["tokens"].dtype == np.float32
    assert inputs["boxes"].shape == (3, 2, 4) and targets.shape == (3, 2, 3)
    assert weights.tolist() == [[1.0, 1.0]] * 3
    first = batches.order.tolist()
    assert sorted(first) == [*range(7)]
    batches.begin(1)
    assert batches.order.tolist() != first
    again = FeatureBatches(telling(), examples, batch_size=3, seed=0)
    assert again.order.tolist() == first
    assert FeatureBatches(telling(), examples, batch_size=99, seed=0).batch_size == 7


@pytest.mark.backends
def test_a_head_of_features_is_the_head():
    layer = AttentionClassifier(3, num_heads=2, hidden_dim=16)
    tokens = np.random.default_rng(0).random((2, 5, 16), "float32")
    expected = keras.ops.convert_to_numpy(layer(tokens))
    head = Head(layer)
    for inputs in (tokens, {"tokens": tokens}):
        np.testing.assert_allclose(keras.ops.convert_to_numpy(head(inputs)), expected, atol=1e-6)
    views = np.stack([tokens, tokens[:, ::-1]], axis=1)
    found = predict(head, views, has_views=True)
    np.testing.assert_allclose(found, np.stack([expected, expected], axis=1), atol=1e-5)


def test_a_sweep_takes_the_rate_that_learns(encoder):
    """Features tell the class, and one of two rates is too low to learn anything."""

    def make():
        head = AttentionClassifier(2, num_heads=2, hidden_dim=16, dropout=0.0)
        return AdaptedVideoPrism(encoder, head)

    recipe = Recipe(epochs=20, batch_size=3, warmup_share=0.0)
    training = Training(recipe, learning_rates=(1e-9, 0.03), weight_decays=(1e-5,))
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)

    def score(logits, held):
        assert len(logits) == len(held.targets) == 1
        return float(logits[0][held.targets[0].argmax()] - logits[0][1 - held.targets[0].argmax()])

    train = partial(train_cached, make, telling(), EXAMPLES, loss, training, score)
    head, pair, tried = train()
    assert pair == (0.03, 1e-5) and [one["learning_rate"] for one in tried] == [1e-9, 0.03]
    assert tried[1]["score"] > tried[0]["score"]
    logits = predict_cached(head, telling(), EXAMPLES)
    assert logits.argmax(axis=1).tolist() == LABELS.tolist()
    wrong = predict_cached(head, telling(LABELS[::-1] ^ 1), EXAMPLES)
    assert (wrong.argmax(axis=1) == LABELS).mean() < 0.6
