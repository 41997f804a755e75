"""Tiny models of both stages, and batches of clips that differ in content and motion."""

from collections.abc import Callable

import keras
import numpy as np
import pytest

from keras_videoprism.models import VideoPrism, VideoPrismLvT
from keras_videoprism.training import Stage1Model, Stage2Model

SIZE = {
    "patch_size": 6,
    "position_shape": (4, 4, 4),
    "hidden_dim": 16,
    "num_spatial_layers": 1,
    "num_temporal_layers": 1,
    "num_heads": 2,
    "mlp_dim": 32,
}
TEXT = {"num_auxiliary_layers": 0, "vocabulary_size": 20, "num_text_layers": 1}
DECODER = {"decoder_dim": 16, "decoder_layers": 1, "decoder_heads": 2, "decoder_mlp_dim": 32}


def moving_squares(count: int) -> np.ndarray:
    """float32 [count, 4, 24, 24, 3]: on each background a square of another colour moves."""
    rng = np.random.default_rng(0)
    videos = np.ones((count, 4, 24, 24, 3), "float32") * rng.random((count, 1, 1, 1, 3)) / 2
    colours, starts = rng.random((count, 3)), rng.integers(0, 24, (count, 2))
    steps = rng.integers(-4, 5, (count, 2))
    side = np.arange(8)
    for clip, colour, start, step in zip(videos, colours, starts, steps, strict=True):
        for time, frame in enumerate(clip):
            top, left = start + time * step
            frame[np.ix_((top + side) % 24, (left + side) % 24)] = colour
    return videos.astype("float32")


def make_batch(count: int) -> dict[str, np.ndarray]:
    """A batch of this many clips with all keys that training needs."""
    lengths = 3 + np.arange(count) % 3
    return {
        "videos": moving_squares(count),
        "token_ids": np.random.default_rng(1).integers(0, 20, (count, 5)).astype("int32"),
        "padding_mask": np.arange(5) < lengths[:, None],
        "clip_id": np.arange(count) + 100,
    }


def make_stage1(cls: type = Stage1Model, attention: str = "factorized", **arguments) -> Stage1Model:
    """A model of stage 1, always with the same weights."""
    keras.utils.set_random_seed(0)
    return cls(VideoPrismLvT(**SIZE, **TEXT, attention=attention), **arguments)


def make_autoencoder(cls: type = Stage1Model, **arguments) -> Stage1Model:
    """Stage 1 with the sigmoid loss and masked autoencoding."""
    arguments = {"contrast": "sigmoid", "autoencoding_weight": 0.5, **DECODER, **arguments}
    return make_stage1(cls, **arguments)


def make_stage2(
    cls: type = Stage2Model, student_dim: int = 16, attention: str = "factorized", **arguments
) -> Stage2Model:
    """A model of stage 2, always with the same weights.

    `student_dim` is the width of the student, `attention` its own; the teacher's is 16, factorized.
    """
    keras.utils.set_random_seed(0)
    student = VideoPrism(**{**SIZE, "hidden_dim": student_dim}, attention=attention)
    return cls(student, VideoPrismLvT(**SIZE, **TEXT), **{**DECODER, **arguments})


@pytest.fixture
def batch() -> Callable[[int], dict[str, np.ndarray]]:
    return make_batch


@pytest.fixture
def stage1() -> Callable[..., Stage1Model]:
    return make_stage1


@pytest.fixture
def stage2() -> Callable[..., Stage2Model]:
    return make_stage2


@pytest.fixture
def autoencoder() -> Callable[..., Stage1Model]:
    return make_autoencoder


@pytest.fixture
def stages(stage1, stage2, autoencoder) -> dict[str, Callable]:
    return {"stage1": stage1, "stage2": stage2, "autoencoder": autoencoder}
