import shutil
from functools import partial
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from keras_videoprism.commands.evaluate import on_videos as module
from keras_videoprism.commands.evaluate.adapt import adapt
from keras_videoprism.commands.evaluate.cached import FeatureBatches
from keras_videoprism.commands.evaluate.classify import class_targets, make_classifier
from keras_videoprism.commands.evaluate.encode import Clips, Place, store
from keras_videoprism.commands.evaluate.loaders import diving48
from keras_videoprism.commands.evaluate.on_videos import predict_videos, video_batches
from keras_videoprism.commands.evaluate.protocol import Recipe
from keras_videoprism.commands.evaluate.training import WEIGHTS, Examples, Training

CLIPS = Clips(4, (24, 24))
RECIPE = Recipe(train_sampling="uniform", label_smoothing=0.3, flip=False)


@pytest.fixture(scope="module")
def part(copies, tmp_path_factory):
    """Records of six clips, and what is to be learned of them."""
    from keras_videoprism.data import decode

    folder = tmp_path_factory.mktemp("part")
    rows = diving48(copies("diving48"), copies("diving48") / "videos").train
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decode.Decoder, "_ask", lambda self, call: _here(decode, call))
        stored = store(rows, Place(folder, folder, CLIPS), "train")
    return folder / "train", class_targets(stored, 3)


def _here(decode, call):
    answer, content = decode._answer(**call)
    return answer, bytearray(content)


def first(part, examples=None, recipe=RECIPE, augmented=False, mixed=False, seed=0):
    records, known = part
    examples, training = examples or known, Training(recipe, "finetune", seed=seed)
    options = {"augmented": augmented, "mixed": mixed}
    batches = video_batches(records, examples, CLIPS, 6, training, **options)
    return next(iter(batches.as_numpy_iterator()))


def colour(videos):
    """The class that a square's colour is: blue, green, red."""
    return videos[..., ::-1].astype(float).mean(axis=(1, 2, 3)).argmax(axis=1)


def test_targets_belong_to_their_clips(part):
    inputs, targets = first(part)
    assert inputs.keys() == {"videos"} and inputs["videos"].shape == (6, 4, 24, 24, 3)
    assert targets.dtype == np.float32 and targets.argmax(axis=1).tolist() != [0, 0, 1, 1, 2, 2]
    np.testing.assert_array_equal(targets.argmax(axis=1), colour(inputs["videos"]))


def test_features_come_in_the_order_of_the_videos(part):
    records, examples = part
    how = {"augmented": False, "mixed": False}
    videos = video_batches(records, examples, CLIPS, 4, Training(RECIPE, seed=5), **how)
    known = SimpleNamespace(of=lambda ids: ids[:, None])
    features = FeatureBatches(known, examples, batch_size=4, seed=5)
    for epoch, (_, expected) in enumerate(videos.take(3).as_numpy_iterator()):  # of one batch each
        features.begin(epoch)
        np.testing.assert_array_equal(features[0][1], expected)


def test_a_head_learns_the_same_from_videos_and_from_features(part, encoder, tmp_path):
    records, examples = part
    for name in ("train", "test"):
        shutil.copytree(records, tmp_path / "records" / name)
    place = Place(tmp_path / "records", tmp_path / "features", CLIPS)
    recipe = RECIPE._replace(epochs=3, batch_size=4, frozen_rate=1e-2)

    def logits(through_encoder):
        training = Training(recipe, through_encoder=through_encoder)
        make = partial(make_classifier, encoder, 3, training)
        loss = keras.losses.CategoricalCrossentropy(from_logits=True)
        how = training, place, None
        return adapt(make, examples, examples, loss, *how, augmented=False)[0]

    keras.utils.set_random_seed(7)  # what was drawn before does not count
    from_videos = logits(True)
    np.testing.assert_allclose(from_videos, logits(False), atol=1e-4)
    assert np.ptp(from_videos, axis=0).max() > 0.1


def test_clips_are_augmented_by_the_recipe(part, monkeypatch):
    asked = []

    class Read(Exception):
        pass

    def note(*arguments, **options):
        asked.append((options["augment"], options["flip"]))
        raise Read

    monkeypatch.setattr(module, "read_records", note)
    for recipe in (RECIPE._replace(flip=True), RECIPE._replace(strong=True)):
        for augmented in (True, False):
            with pytest.raises(Read):
                first(part, recipe=recipe, augmented=augmented)
    assert asked == [("inception", True), (False, False), ("strong", False), (False, False)]


def test_mixed_clips_have_mixed_labels(part):
    _, targets = first(part, mixed=True)
    np.testing.assert_allclose(targets.sum(axis=1), 1.0, atol=1e-5)
    assert ((targets > 0.11) & (targets < 0.79)).any()
    np.testing.assert_allclose(targets.min(), 0.1, atol=1e-5)  # smoothing alone


def test_boxes_belong_to_their_clips(part):
    ids = part[1].clip_ids
    boxes = np.arange(24, dtype="float32").reshape(6, 1, 4)
    mask = np.arange(6)[:, None] % 2 == 0
    targets = part[1].targets[:, None]
    examples = Examples(ids, targets, {"boxes": boxes, WEIGHTS: mask})
    inputs, found, weights = first(part, examples)
    rows = inputs["boxes"][:, 0, 0].astype(int) // 4
    np.testing.assert_array_equal(found, targets[rows])
    np.testing.assert_array_equal(weights, mask[rows].astype("float32"))
    np.testing.assert_array_equal(found[:, 0].argmax(axis=1), colour(inputs["videos"]))


class Colours:
    """A model that knows the colours."""

    def predict_on_batch(self, inputs):
        return inputs["videos"][..., ::-1].astype("float32").mean(axis=(1, 2, 3))


@pytest.mark.parametrize("views", [None, (1, 3)])
def test_logits_are_in_the_order_of_the_examples(part, views):
    records, examples = part
    logits = predict_videos(Colours(), records, examples, CLIPS._replace(views=views))
    assert logits.shape == (6, 3) if views is None else (6, 3, 3)
    best = logits.argmax(axis=-1).reshape(6, -1)
    assert (best == examples.targets.argmax(axis=1)[:, None]).all()
