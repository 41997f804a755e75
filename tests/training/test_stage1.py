import keras
import numpy as np
import pytest

from keras_videoprism.models import VideoPrismLvT
from keras_videoprism.training.losses import contrastive_loss

needs_jax = pytest.mark.skipif(keras.backend.backend() != "jax", reason="once is enough")


@pytest.mark.backends
def test_call_drops_tubes_in_training_only(run, stage1, batch):
    model, clips = stage1(), batch(4)
    whole = run(model.model, clips)
    for name, embeddings in run(model, clips).items():
        np.testing.assert_allclose(embeddings, whole[name], atol=1e-5)
    dropped = run(lambda x: model(x, training=True), clips)
    np.testing.assert_allclose(dropped["text_embeddings"], whole["text_embeddings"], atol=1e-5)
    assert np.abs(dropped["video_embeddings"] - whole["video_embeddings"]).max() > 1e-3
    undropped = stage1(dropping_ratio=0.0)
    undropped.set_weights(model.get_weights())
    same = run(lambda x: undropped(x, training=True), clips)
    np.testing.assert_allclose(same["video_embeddings"], whole["video_embeddings"], atol=1e-5)


@pytest.mark.backends
def test_loss_uses_the_temperature(stage1):
    model = stage1(temperature=0.1)
    unit = np.eye(4, 16, dtype="float32")
    embeddings = {"video_embeddings": unit, "text_embeddings": unit[::-1].copy()}
    loss = keras.ops.convert_to_numpy(model.compute_loss(y_pred=embeddings))
    expected = contrastive_loss(*embeddings.values(), 10.0)
    assert loss == pytest.approx(float(expected), abs=1e-4)


@pytest.mark.backends
def test_temperature_stays_above_its_bound(stage1, batch):
    model = stage1(temperature=0.011, min_temperature=0.01)
    model.log_logit_scale.assign(10.0)  # as after a step that went too far
    model.compile(keras.optimizers.SGD(1e-3))
    logs = model.train_on_batch(batch(4), return_dict=True)
    assert float(logs["temperature"]) == pytest.approx(0.01, abs=1e-6)


def test_images_are_clips_of_one_frame(stage1, batch):
    model, images = stage1(), batch(4)
    images["videos"] = images["videos"][:, :1]
    model.compile("sgd")
    logs = model.train_on_batch(images, return_dict=True)
    assert np.isfinite(float(logs["loss"])) and float(logs["skipped_steps"]) == 0


@pytest.mark.parametrize(
    ("arguments", "change", "message"),
    [
        ({}, lambda x: x[:1], "at least 2 clips; received 1"),
        ({"dropping_ratio": 0.99}, lambda x: x, "0.99 leaves none of 16 tokens visible"),
        ({"dropping_ratio": 1.0}, lambda x: x, r"in \[0, 1\); received 1.0"),
    ],
)
def test_bad_batches(stage1, batch, arguments, change, message):
    model = stage1(**arguments)
    model.compile("sgd")
    bad = {name: change(array) for name, array in batch(4).items()}
    with pytest.raises(ValueError, match=message):
        model.fit(bad, verbose=0)


def test_tokens_need_a_frozen_encoder(stage1, batch):
    clips = batch(4)
    clips["video_tokens"] = np.zeros((4, 64, 16), "float32")
    del clips["videos"]
    for model in (stage1(), stage1(dropping_ratio=0.0)):
        with pytest.raises(ValueError, match="it would not learn.* received dropping_ratio"):
            model.check_batch(clips)
    model.model.video_encoder.trainable = False
    model.check_batch(clips)
    clips["video_tokens"] = np.zeros((4, 64, 8), "float32")
    with pytest.raises(ValueError, match=r"shape \[batch, T\*N, 16\]; received \(4, 64, 8\)"):
        model.check_batch(clips)


@pytest.mark.parametrize("token", [-1, 20])
def test_tokens_beyond_the_vocabulary(stage1, batch, token):
    bad = batch(4)
    bad["token_ids"][2, 1] = token
    with pytest.raises(ValueError, match=rf"in \[0, 20\).* received .*{token}"):
        stage1().check_batch(bad)


@needs_jax
def test_overfits_sixteen_clips(stage1, batch):
    model, clips = stage1(), batch(16)
    assert isinstance(model.model, VideoPrismLvT)
    model.compile(keras.optimizers.Adam(5e-3))
    for _ in range(220):
        model.train_on_batch(clips)
    model.reset_metrics()
    results = model.test_on_batch(clips, return_dict=True)
    assert float(results["recall_at_1"]) == 1.0
    assert float(results["loss"]) < 0.3  # log 16 = 2.8 by chance
