"""A tiny encoder for the tests of heads."""

from collections.abc import Callable

import keras
import pytest

from keras_videoprism.models import VideoPrism


def make_encoder(attention: str = "factorized") -> VideoPrism:
    keras.utils.set_random_seed(0)
    return VideoPrism(6, (4, 2, 2), 16, 1, 2, num_heads=2, mlp_dim=32, attention=attention)


@pytest.fixture
def encoder() -> Callable[..., VideoPrism]:
    """Function: kind of attention -> `VideoPrism` of one spatial and two temporal layers."""
    return make_encoder
