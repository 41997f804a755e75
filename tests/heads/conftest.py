"""A tiny encoder for the tests of heads, and models without weights."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import keras
import pytest

from keras_videoprism.models import VideoPrism


def make_encoder(attention: str = "factorized") -> VideoPrism:
    keras.utils.set_random_seed(0)
    return VideoPrism(6, (4, 2, 2), 16, 1, 2, num_heads=2, mlp_dim=32, attention=attention)


@contextmanager
def unallocated() -> Iterator[None]:
    with keras.StatelessScope(initialize_variables=False):
        yield
    # Keras remembers such variables, and would allocate them all in the next compiled step.
    keras.utils.clear_session(free_memory=False)


@pytest.fixture
def encoder() -> Callable[..., VideoPrism]:
    """Function: kind of attention -> `VideoPrism` of one spatial and two temporal layers."""
    return make_encoder


@pytest.fixture
def no_weights() -> Callable[[], AbstractContextManager]:
    """Context in which a model of any size is built without memory."""
    return unallocated
