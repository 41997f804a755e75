import keras
import numpy as np
import pytest

from keras_videoprism.heads.action_detector import ActionDetector
from keras_videoprism.heads.adaptation import METHODS, AdaptedVideoPrism
from keras_videoprism.heads.adapter import remove_adapters
from keras_videoprism.heads.classifier import AttentionClassifier
from keras_videoprism.models import VideoPrismLvT

SIZE = {"num_classes": 3, "num_heads": 2, "hidden_dim": 8, "dropout": 0.0}
HEAD = 8 + (2 * 8 + 2 * 16 + 2 * 8) + 2 * (16 * 8 + 8) + 2 * (8 * 8 + 8) + (8 * 32 * 2 + 40)
LAST = 8 * 3 + 3


@pytest.fixture
def adapted(encoder):
    def make(method: str, attention: str = "factorized", **arguments) -> AdaptedVideoPrism:
        head = AttentionClassifier(**SIZE, num_layers=2 if method == "mlap" else 1)
        return AdaptedVideoPrism(encoder(attention), head, method, adapter_dim=4, **arguments)

    return make


def count(weights: list) -> int:
    return sum(int(np.prod(weight.shape)) for weight in weights)


def test_what_trains(adapted):
    adapter = 16 * 4 + 4 + 4 * 16 + 16 + 1
    encoder_size = adapted("frozen").encoder.count_params()
    expected = {
        "frozen": HEAD + LAST,
        "mlap": HEAD + (HEAD - 8) + LAST,
        "adapter": HEAD + LAST + 3 * adapter,
        "finetune": HEAD + LAST + encoder_size,
    }
    for method in METHODS:
        model = adapted(method)
        assert count(model.trainable_weights) == expected[method], method
        frozen = 0 if method == "finetune" else encoder_size
        assert count(model.non_trainable_weights) == frozen


@pytest.mark.backends
def test_training_changes_what_trains_and_nothing_else(adapted, random_videos):
    model = adapted("adapter")
    brightness = np.array([0.2, 0.6, 1.0, 0.2], "float32").reshape(4, 1, 1, 1, 1)
    batch = {"videos": brightness * random_videos(4, 2, 12, 12)}
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.02), loss=loss)
    before = {weight.path: keras.ops.convert_to_numpy(weight) for weight in model.weights}
    labels = np.array([0, 1, 2, 0])
    losses = [float(model.train_on_batch(batch, labels)) for _ in range(4)]
    assert losses[-1] < losses[0]
    trainable = {weight.path for weight in model.trainable_weights}
    for weight in model.weights:
        same = np.array_equal(before[weight.path], keras.ops.convert_to_numpy(weight))
        # The softmax does not feel what the bias of the keys adds to all logits alike.
        assert same != (weight.path in trainable) or weight.path.endswith("key/bias"), weight.path


@pytest.mark.backends
@pytest.mark.parametrize(("method", "attention"), [("frozen", "factorized"), ("mlap", "joint")])
def test_the_head_runs_on_features_alone(run, adapted, random_videos, method, attention):
    model = adapted(method, attention)
    videos = random_videos(2, 4, 12, 12)
    features = run(model.features, videos)
    assert features.shape == ((2, 16, 16) if method == "frozen" else (2, 2, 16, 16))
    np.testing.assert_allclose(run(model.head, features), run(model, videos), atol=1e-5)


def test_layers_of_mlap_are_the_last_in_token_order(run, adapted, random_videos):
    model = adapted("mlap")
    videos = random_videos(2, 4, 12, 12)
    features = run(model.features, videos)
    outputs = run(lambda x: model.encoder(x, return_features=True), videos)
    for number in range(2):
        np.testing.assert_allclose(features[:, number], outputs.temporal_layers[number], atol=1e-5)
    last = run(model.encoder.encoder.temporal_norm, features[:, -1])
    np.testing.assert_allclose(last, outputs.tokens, atol=1e-5)


@pytest.mark.parametrize("method", ["adapter", "mlap"])
def test_save_and_load(run, tmp_path, adapted, random_videos, method):
    model = adapted(method)
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(size=weight.shape) / 4 for weight in model.get_weights()])
    videos = random_videos(1, 2, 12, 12)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.method == method and len(loaded.adapters) == (3 if method == "adapter" else 0)
    assert count(loaded.trainable_weights) == count(model.trainable_weights)
    np.testing.assert_allclose(run(loaded, videos), run(model, videos), atol=1e-6)


def test_padded_frames_do_not_count(run, adapted, random_videos):
    model = adapted("frozen")
    videos, frame_mask = random_videos(2, 4, 12, 12), np.array([[True] * 3 + [False]] * 2)
    other = np.where(frame_mask[..., None, None, None], videos, 1).astype("float32")
    masked, same = (
        run(model, {"videos": each, "frame_mask": frame_mask}) for each in (videos, other)
    )
    np.testing.assert_allclose(masked, same, atol=1e-5)
    assert np.abs(run(model, videos) - run(model, other)).max() > 1e-4


def test_boxes_go_to_the_head(run, encoder, random_videos):
    head = ActionDetector(grid=(2, 2, 2), **SIZE)
    model = AdaptedVideoPrism(encoder(), head)
    batch = {"videos": random_videos(1, 2, 12, 12), "boxes": np.array([[[0, 0, 0.5, 1.0]] * 2])}
    batch["box_mask"] = np.ones((1, 2), bool)
    logits = run(model, batch)
    tokens = run(model.features, batch)
    expected = run(lambda t, b: model.head(t, b), tokens, batch["boxes"].astype("float32"))
    assert logits.shape == (1, 2, 3)
    np.testing.assert_allclose(logits, expected, atol=1e-5)


def test_errors(encoder, no_weights):
    model = encoder()
    one, two, three = (AttentionClassifier(**SIZE, num_layers=count) for count in (1, 2, 3))
    for head, method, message in (
        (one, "lora", "received 'lora'"),
        (one, "mlap", "num_layers=1, method='mlap'"),
        (two, "frozen", "num_layers=2, method='frozen'"),
        (three, "mlap", "head has 3 layers, but the encoder has only 2"),
    ):
        with pytest.raises(ValueError, match=message):
            AdaptedVideoPrism(model, head, method)
    assert AdaptedVideoPrism(encoder("joint"), three, "mlap").head.num_layers == 3
    with no_weights():
        towers = VideoPrismLvT(6, (4, 2, 2), 16, 1, 1, 2, 64)
    with pytest.raises(ValueError, match="pass its video_encoder"):
        AdaptedVideoPrism(towers, one)


def test_adapters_of_another_model(encoder):
    model = encoder()
    AdaptedVideoPrism(model, AttentionClassifier(**SIZE), "adapter", adapter_dim=4)
    with pytest.raises(ValueError, match="belong to another model"):
        AdaptedVideoPrism(model, AttentionClassifier(**SIZE), "frozen")
    remove_adapters(model)
    assert AdaptedVideoPrism(model, AttentionClassifier(**SIZE), "frozen").adapters == []
