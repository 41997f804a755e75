import numpy as np

from keras_videoprism.commands.classify import softmax
from keras_videoprism.commands.evaluate import adapt as module
from keras_videoprism.commands.evaluate.adapt import costs, grid_of, sigmoid
from keras_videoprism.commands.evaluate.classify import make_classifier
from keras_videoprism.commands.evaluate.encode import Clips, Place
from keras_videoprism.commands.evaluate.protocol import Recipe
from keras_videoprism.commands.evaluate.training import Training


def test_costs_count_what_trains(encoder):
    clips = Clips(4, (24, 24))
    assert grid_of(encoder, clips) == (4, 3, 3)
    model = make_classifier(encoder, 5, Training(Recipe()))
    found = costs(model, clips)
    assert found["trainable parameters"] == sum(
        int(np.prod(weight.shape)) for weight in model.head.trainable_weights
    )
    assert found["trainable GFLOPs"] == 0.0  # 63 thousand
    assert costs(model, Clips(64, (96, 96)))["trainable GFLOPs"] == 0.01


def test_clips_to_train_on_have_one_view_and_those_to_test_on_have_all(
    encoder, tmp_path, monkeypatch
):
    asked = []
    monkeypatch.setattr(
        module, "cache", lambda model, place, part, clips, dtype: asked.append((part, clips.views))
    )
    monkeypatch.setattr(module, "train_cached", lambda *arguments: ("head", (1.0, 2.0), [{}]))
    monkeypatch.setattr(module, "predict_cached", lambda head, features, test: head)
    training = Training(Recipe())
    place = Place(tmp_path, tmp_path, Clips(4, (24, 24), views=(2, 3)))

    def make():
        return make_classifier(encoder, 5, training)

    logits, notes = module.adapt(make, "train", "test", None, training, place, None)
    assert asked == [("train", None), ("test", (2, 3))] and logits == "head"
    assert notes["chosen"] == (1.0, 2.0)


def test_probabilities():
    logits = np.array([[1000.0, 1001.0, 999.0], [-1000.0, 0.0, 0.0]])
    found = softmax(logits)
    np.testing.assert_allclose(found.sum(axis=1), 1.0)
    np.testing.assert_allclose(found[1], [0.0, 0.5, 0.5], atol=1e-12)
    np.testing.assert_allclose(found[0, 1] / found[0, 0], np.e)
    found = sigmoid(np.array([-1e4, 0.0, np.log(3), 1e4]))
    np.testing.assert_allclose(found, [0.0, 0.5, 0.75, 1.0], atol=1e-12)
