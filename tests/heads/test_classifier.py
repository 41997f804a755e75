import keras
import numpy as np
import pytest

from keras_videoprism.heads.classifier import VARIANTS, AttentionClassifier
from keras_videoprism.models import VideoClassifier

RNG = np.random.default_rng(0)
TOKENS = RNG.normal(size=(4, 6, 8)).astype("float32")
SIZE = {"num_classes": 3, "num_heads": 2, "hidden_dim": 8}


@pytest.mark.backends
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_linear_layer_follows_the_pooler(run, variant):
    head = AttentionClassifier(**SIZE, variant=variant)
    head.build(TOKENS.shape)
    kernel, bias = (keras.ops.convert_to_numpy(w) for w in head.classifier.weights)
    expected = run(head.pooler, TOKENS) @ kernel + bias
    np.testing.assert_allclose(run(head, TOKENS), expected, atol=1e-5)


def test_training_drops_half_of_the_features():
    """With a classifier that is the identity, dropout shows in the logits."""
    head = AttentionClassifier(64, 2, 64, variant="released")
    tokens = np.random.default_rng(1).normal(size=(1, 3, 64)).astype("float32")
    head.build(tokens.shape)
    head.classifier.kernel.assign(np.eye(64))
    logits, dropped = (
        keras.ops.convert_to_numpy(head(tokens, training=training)) for training in (False, True)
    )
    zero = dropped == 0
    assert 0.2 < zero.mean() < 0.8 and not (logits == 0).any()
    np.testing.assert_allclose(dropped[~zero], 2 * logits[~zero], rtol=1e-4)


@pytest.mark.backends
def test_released_variant_is_the_official_classifier(run):
    official = VideoClassifier(None, num_classes=3, num_heads=2)
    official.build(TOKENS.shape)
    head = AttentionClassifier(**SIZE, variant="released")
    head.build(TOKENS.shape)
    head.set_weights([RNG.normal(size=weight.shape) for weight in head.get_weights()])
    official.pooler.set_weights(head.pooler.get_weights())
    official.classifier.set_weights(head.classifier.get_weights())
    np.testing.assert_allclose(run(head, TOKENS), run(official, TOKENS), atol=1e-5)


def test_parameters_by_hand(no_weights):
    """Of the paper's head on the base encoder; the giant model's tokens are 1408 wide."""
    width, classes = 768, 400
    norms = 3 * 2 * width
    attention = 4 * (width * width + width)
    mlp = 2 * width * 4 * width + 4 * width + width
    block = norms + attention + mlp
    last = width * classes + classes
    for tokens, layers, expected in (
        ((None, None, 768), 1, width + block + last),
        ((None, 4, None, 768), 4, width + 4 * block + last),
        ((None, None, 1408), 1, width + block + last + (1408 - width) * (2 * width + 2)),
    ):
        with no_weights():
            head = AttentionClassifier(classes, num_layers=layers)
            head.build(tokens)
        assert head.count_params() == expected


@pytest.mark.parametrize("variant", VARIANTS)
def test_padding_does_not_count(run, variant):
    head = AttentionClassifier(**SIZE, variant=variant)
    head.build(TOKENS.shape)
    mask = np.array([[True] * 4 + [False] * 2] * 4)
    other = np.where(mask[..., None], TOKENS, 9).astype("float32")
    masked = run(lambda x, m: head(x, padding_mask=m), other, mask)
    np.testing.assert_allclose(masked, run(head, TOKENS[:, :4]), atol=1e-5)


@pytest.mark.parametrize("num_layers", [1, 2])
def test_save_and_load(run, tmp_path, num_layers):
    shape = (6, 8) if num_layers == 1 else (num_layers, 6, 8)
    x = RNG.normal(size=(2, *shape)).astype("float32")
    head = AttentionClassifier(**SIZE, num_layers=num_layers)
    model = keras.Sequential([keras.Input(shape), head])
    model.save(tmp_path / "head.keras")
    loaded = keras.models.load_model(tmp_path / "head.keras")
    np.testing.assert_allclose(run(loaded, x), run(model, x), atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"variant": "simple"}, "received 'simple'"),
        ({"variant": "released", "num_layers": 2}, "num_layers=2, variant='released'"),
        ({"num_layers": 0}, "num_layers=0"),
        ({"num_heads": 3}, "hidden_dim=8, num_heads=3"),
        ({"num_classes": 0}, "received 0"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        AttentionClassifier(**{**SIZE, **arguments})


def test_queries_need_the_paper_variant():
    head = AttentionClassifier(**SIZE, variant="released")
    with pytest.raises(ValueError, match="'released' takes no queries"):
        head(TOKENS, queries=TOKENS)
