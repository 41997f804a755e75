import keras
import numpy as np
import pytest

from keras_videoprism.models import VideoClassifier, VideoPrism
from keras_videoprism.training.layer_decay import LayerDecayAdamW, encoder_depths

SIZE = {"patch_size": 6, "position_shape": (2, 2, 2), "hidden_dim": 8, "num_heads": 2, "mlp_dim": 8}
LAYERS = {"num_spatial_layers": 2, "num_temporal_layers": 1}


def make_model(attention: str = "factorized") -> VideoClassifier:
    keras.utils.set_random_seed(0)
    encoder = VideoPrism(**SIZE, **LAYERS, attention=attention)
    return VideoClassifier(encoder, num_classes=3, freeze_encoder=False)


def depths_of(model: VideoClassifier) -> dict[str, int]:
    """Depth of each weight, by its path."""
    optimizer = LayerDecayAdamW(depths=encoder_depths(model.encoder), layer_decay=0.5)
    return {w.path: round(-np.log2(optimizer.scale(w))) for w in model.trainable_weights}


@pytest.mark.parametrize("attention", ["factorized", "joint"])
def test_every_weight_has_its_depth(attention):
    stacks = {
        "factorized": {
            "temporal_encoder/block_0": 1,
            "temporal_position": 1,
            "spatial_norm": 1,
            "spatial_encoder/block_1": 2,
            "spatial_encoder/block_0": 3,
        },
        "joint": {
            "joint_encoder/block_2": 1,
            "joint_encoder/block_1": 2,
            "joint_encoder/block_0": 3,
            "temporal_position": 4,
        },
    }[attention]
    expected = {**stacks, "patch_embedding": 4, "spatial_position": 4}
    found = depths_of(make_model(attention))
    for part, depth in expected.items():
        depths = {found.pop(path) for path in list(found) if f"/{part}/" in path}
        assert depths == {depth}, part
    names = {path.split("/")[-2] for path in found}
    last_norm = "temporal_norm" if attention == "factorized" else "norm"
    assert {last_norm, "classifier"} <= names and set(found.values()) == {0}


def test_block_1_is_not_block_10():
    optimizer = LayerDecayAdamW(depths={"spatial_encoder/block_1": 2}, layer_decay=0.5)
    scales = []
    for number in (1, 10):
        layer = keras.layers.Dense(1, name=f"block_{number}")
        with keras.name_scope("spatial_encoder"):
            layer.build((None, 1))
        scales.append(optimizer.scale(layer.kernel))
    assert scales == [0.25, 1.0]


@pytest.mark.backends
@pytest.mark.parametrize("scale", [1.0, 0.25])
def test_equals_adamw_at_the_rate_of_the_layer(scale):
    """Keras' AdamW with the scaled rate, over some steps."""
    rng = np.random.default_rng(0)
    gradients = [rng.normal(size=(3, 2)).astype("float32") for _ in range(4)]
    scaled = LayerDecayAdamW(0.1, depths={"deep": 2}, layer_decay=scale**0.5, weight_decay=0.3)
    plain = keras.optimizers.AdamW(0.1 * scale, weight_decay=0.3)
    values = []
    for optimizer in (scaled, plain):
        with keras.name_scope("deep"):
            kernel = keras.Variable(np.ones((3, 2), "float32"), name="kernel")
        for gradient in gradients:
            optimizer.apply([keras.ops.convert_to_tensor(gradient)], [kernel])
        values.append(keras.ops.convert_to_numpy(kernel))
    np.testing.assert_allclose(values[0], values[1], rtol=1e-5)
    assert np.abs(values[0] - 1).min() > 1e-2 * scale


@pytest.mark.backends
def test_compiled_fit_takes_smaller_steps_in_deeper_layers(random_videos):
    """The first step of Adam is as long as the rate, whatever the gradient."""
    model = make_model()
    optimizer = LayerDecayAdamW(
        1e-2, encoder_depths(model.encoder), layer_decay=0.5, weight_decay=0.0, epsilon=1e-14
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss=loss)
    before = [keras.ops.convert_to_numpy(w) for w in model.trainable_weights]
    model.fit(random_videos(4, 2, 12, 12), np.array([0, 1, 2, 0]), batch_size=4, verbose=0)
    for start, weight in zip(before, model.trainable_weights, strict=True):
        step = np.median(np.abs(keras.ops.convert_to_numpy(weight) - start))
        assert step == pytest.approx(1e-2 * optimizer.scale(weight), rel=1e-2), weight.path


def test_norms_and_biases_do_not_decay():
    """With zero gradients, decay alone changes a variable."""
    optimizer = LayerDecayAdamW(0.1, depths={"deep": 1}, layer_decay=0.5, weight_decay=0.5)
    names = ["kernel", "bias", "gamma", "beta", "per_dim_scale"]
    with keras.name_scope("deep"):
        variables = [keras.Variable(np.ones((2, 2), "float32"), name=name) for name in names]
    optimizer.apply([np.zeros((2, 2), "float32")] * len(variables), variables)
    values = {v.name: float(keras.ops.convert_to_numpy(v)[0, 0]) for v in variables}
    decayed = pytest.approx(1 - 0.05 * 0.5)
    assert values == {
        "kernel": decayed, "bias": 1, "gamma": 1, "beta": 1, "per_dim_scale": decayed
    }  # fmt: skip


def test_config_comes_back():
    schedule = keras.optimizers.schedules.CosineDecay(1e-2, 10)
    optimizer = LayerDecayAdamW(schedule, depths={"a": 2}, layer_decay=0.9, weight_decay=1e-3)
    loaded = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert isinstance(loaded, LayerDecayAdamW)
    assert loaded.get_config() == optimizer.get_config()
    assert (loaded.depths, loaded.layer_decay, loaded.weight_decay) == ({"a": 2}, 0.9, 1e-3)


@pytest.mark.parametrize("layer_decay", [0.0, 1.1])
def test_bad_arguments(layer_decay):
    with pytest.raises(ValueError, match=f"received {layer_decay}"):
        LayerDecayAdamW(layer_decay=layer_decay)
    with pytest.raises(ValueError, match="at least 0"):
        LayerDecayAdamW(depths={"a": -1})
