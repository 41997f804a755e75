import keras
import numpy as np
import pytest

from keras_videoprism.layers.masking import tube_visible
from keras_videoprism.models import VideoPrismLvT
from keras_videoprism.training.losses import contrastive_loss, sigmoid_loss

DECODER = {"decoder_dim": 16, "decoder_layers": 1, "decoder_heads": 2, "decoder_mlp_dim": 32}
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


@pytest.mark.backends
def test_the_sigmoid_loss_learns_a_bias(stage1, batch):
    model = stage1(contrast="sigmoid")
    unit = np.eye(4, 16, dtype="float32")
    embeddings = {"video_embeddings": unit, "text_embeddings": unit[::-1].copy()}
    expected = sigmoid_loss(*embeddings.values(), 10.0, -10.0)
    loss = keras.ops.convert_to_numpy(model.loss_of(embeddings))
    assert loss == pytest.approx(float(expected), abs=1e-4)
    model.compile(keras.optimizers.SGD(0.1))
    logs = model.train_on_batch(batch(4), return_dict=True)
    assert float(logs["logit_bias"]) > -10.0  # at first nothing seems to match
    assert float(logs["temperature"]) != pytest.approx(0.1, abs=1e-5)
    model.log_logit_scale.assign(model.log_logit_scale.constraint(keras.ops.convert_to_tensor(6.0)))
    assert keras.ops.convert_to_numpy(model.log_logit_scale) == 6.0  # no bound, unlike CLIP's


def reconstruction_by_hand(model, clips: dict) -> np.ndarray:
    """Mean squared error of the dropped patches of each clip, patch by patch."""
    visible = tube_visible(model.seed, 0, clips["clip_id"], (4, 4, 4), model.dropping_ratio)
    tokens = model.model.video_encoder(clips["videos"], visible=visible)  # [B, 4 * V, D]
    kept = keras.ops.convert_to_numpy(visible.patches)
    slots = np.full((len(kept), 64), 4 * kept.shape[1], "int32")
    for clip, frame, place in np.ndindex(len(kept), 4, kept.shape[1]):
        slots[clip, 16 * frame + kept[clip, place]] = frame * kept.shape[1] + place
    pixels = keras.ops.convert_to_numpy(model.pixel_decoder(tokens, slots=slots, grid=(4, 4, 4)))
    errors = [[] for _ in kept]
    for clip, frame, patch in np.ndindex(len(kept), 4, 16):
        if patch not in kept[clip]:
            top, left = 6 * (patch // 4), 6 * (patch % 4)
            target = clips["videos"][clip, frame, top : top + 6, left : left + 6].ravel()
            target = (target - target.mean()) / np.sqrt(target.var() + 1e-6)
            errors[clip].append(np.square(pixels[clip, 16 * frame + patch] - target).mean())
    return np.array([np.mean(error) for error in errors])


@pytest.mark.backends
def test_autoencoding_adds_the_error_of_dropped_patches(run, autoencoder, batch):
    model, clips = autoencoder(), batch(4)
    y_pred = run(lambda x: model(x, training=True), clips)
    expected = reconstruction_by_hand(model, clips)
    np.testing.assert_allclose(y_pred["reconstruction_loss"], expected, rtol=1e-4)
    embeddings = {name: y_pred[name] for name in ("video_embeddings", "text_embeddings")}
    losses = (model.loss_of(outputs) for outputs in (embeddings, y_pred))
    contrast, loss = (float(keras.ops.convert_to_numpy(loss)) for loss in losses)
    assert loss == pytest.approx(contrast + 0.5 * expected.mean(), rel=1e-5)
    assert "reconstruction_loss" not in model(clips, training=False)


@pytest.mark.backends
def test_autoencoding_leaves_the_embeddings_alone(run, autoencoder, stage1, batch):
    model, plain = autoencoder(), stage1()
    plain.model.set_weights(model.model.get_weights())
    found, expected = (run(lambda x, m=m: m(x, training=True), batch(2)) for m in (model, plain))
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"contrast": "hinge"}, "one of .'softmax', 'sigmoid'.; received 'hinge'"),
        ({"autoencoding_weight": 1.0, "dropping_ratio": 0.0}, "needs dropped patches .*=0.0"),
        ({"autoencoding_weight": -1.0}, "at least 0.* received -1.0"),
        ({"autoencoding_weight": 1.0, "dropping_ratio": 0.01}, "drops none of 16 patches"),
    ],
)
def test_arguments_that_cannot_work(stage1, batch, arguments, message):
    with pytest.raises(ValueError, match=message):
        stage1(**DECODER, **arguments).check_batch(batch(2))


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
