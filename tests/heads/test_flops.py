import pytest

from keras_videoprism.heads.adaptation import AdaptedVideoPrism
from keras_videoprism.heads.classifier import AttentionClassifier
from keras_videoprism.heads.flops import encoder_flops, trainable_flops, trainable_parameters
from keras_videoprism.models import VideoPrism
from keras_videoprism.training.flops import _patches, _stacks, _transformer, tube

SMALL, NATIVE = (8, 14, 14), (16, 16, 16)  # 8 frames of 252 pixels, 16 of 288 (Appendix E.1)
LAYERS = {"mlap": 4}


@pytest.fixture
def base(no_weights):
    def make(method: str, **arguments) -> AdaptedVideoPrism:
        """The base model."""
        with no_weights():
            head = AttentionClassifier(400, num_layers=LAYERS.get(method, 1), **arguments)
            return AdaptedVideoPrism(VideoPrism(), head, method)

    return make


@pytest.mark.parametrize(
    ("method", "small", "native", "tolerance"),
    [
        ("frozen", 3.72, 9.71, 0.003),
        ("mlap", 14.9, 38.8, 0.003),
        ("adapter", 8.71, 22.8, 0.016),
        ("finetune", 374, 977, 0.007),
    ],
)
def test_trainable_flops_of_the_paper(base, method, small, native, tolerance):
    """Tables 13 to 16, in units of 1e9."""
    model = base(method)
    assert trainable_flops(model, SMALL) / 1e9 == pytest.approx(small, rel=tolerance)
    assert trainable_flops(model, NATIVE) / 1e9 == pytest.approx(native, rel=tolerance)


def test_flops_by_hand(base):
    """One head of the base model, S = 1568: keys and values; attention; query, output, MLP."""
    size, width = 1568, 768
    expected = 4 * size * width**2 + 4 * size * width + 2 * (2 + 8) * width**2 + 2 * width * 400
    assert trainable_flops(base("frozen"), SMALL) == expected
    released = trainable_flops(base("frozen", variant="released"), SMALL)
    assert expected - released == 2 * 8 * width**2  # no MLP
    boxes = trainable_flops(base("frozen"), SMALL, num_queries=3)
    assert (boxes - 4 * size * width**2) == 3 * (expected - 4 * size * width**2)


@pytest.mark.parametrize("attention", ["factorized", "joint"])
def test_encoder_equals_the_count_of_its_layers(no_weights, attention):
    """`training.flops` reads the kernels, this module the sizes."""
    with no_weights():
        encoder = VideoPrism(6, (4, 2, 2), 16, 1, 2, num_heads=2, mlp_dim=40, attention=attention)
    grid = (4, 3, 2)
    visible = tube(grid, 0.0)
    stacks = _stacks(encoder.encoder, visible)
    expected = sum(_transformer(stack, visible.tokens, pairs) for stack, pairs in stacks)
    assert encoder_flops(encoder, grid) == expected + _patches(encoder.encoder, grid)


def test_trainable_parameters(base):
    """The base model with 400 classes; the parts are counted in test_classifier.py."""
    block = 7_089_408
    head = 768 + block + 768 * 400 + 400
    assert trainable_parameters(base("frozen")) == head
    assert trainable_parameters(base("mlap")) == head + 3 * block
    assert trainable_parameters(base("adapter")) == head + 16 * (2 * 768 * 64 + 64 + 768 + 1)
    assert trainable_parameters(base("finetune")) == head + 114_365_184
