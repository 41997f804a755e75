"""A checkpoint of any known library -> a folder that another one loads."""

from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_videoprism import presets
from keras_videoprism.converters import to_keras_hub, to_transformers
from keras_videoprism.converters.transformers import video_prism_of
from keras_videoprism.data.atomic import atomic_folder
from keras_videoprism.models import VideoClassifier, VideoPrismLvT

TARGETS = ("keras_videoprism", "transformers", "keras_hub")
TOLERANCE = 1e-4


def convert(source: str | Path, output: str | Path, target: str = "keras_videoprism") -> float:
    """Convert a checkpoint and compare what both sides give for a random clip.

    Args:
        source: whatever `presets.load` takes.
        output: folder to write.
        target: library that shall load it.

    Returns:
        Largest difference between the outputs of the source and of the written folder.

    Raises:
        ValueError: `output` exists, the target cannot hold the model, or outputs differ.
    """
    if target not in TARGETS:
        raise ValueError(f"target must be one of {TARGETS}, received {target!r}.")
    if Path(output).exists():
        raise ValueError(f"{output} exists: give a new folder.")
    model = presets.load(source)
    with atomic_folder(output) as temporary:
        write(model, temporary, target)
        difference = _difference(model, presets.load(temporary, type(model)))
        if difference > TOLERANCE:
            raise ValueError(f"the written model's outputs differ by {difference:.1e}.")
    return difference


def write(model: keras.Model, folder: Path, target: str) -> None:
    """Write the files of a model in the layout of a library."""
    if target == "transformers":
        to_transformers(model, folder)
    elif target == "keras_videoprism":
        presets.save(model, folder)
    elif isinstance(model, VideoClassifier):
        raise ValueError("KerasHub has no VideoPrism classifier; convert its encoder.")
    else:
        to_keras_hub(model).save_to_preset(str(folder))


def _difference(one: keras.Model, other: keras.Model) -> float:
    inputs = _random_inputs(one)
    outputs = [keras.tree.flatten(model(inputs)) for model in (one, other)]
    return max(
        float(np.abs(keras.ops.convert_to_numpy(a) - keras.ops.convert_to_numpy(b)).max())
        for a, b in zip(*outputs, strict=True)
    )


def _random_inputs(model: keras.Model) -> Any:
    """Two frames of two patches a side, and a short text."""
    generator, side = np.random.default_rng(0), 2 * video_prism_of(model).patch_size
    videos = generator.random((1, 2, side, side, 3), "float32")
    if not isinstance(model, VideoPrismLvT):
        return videos
    token_ids = generator.integers(1, model.vocabulary_size, (1, 6)).astype("int32")
    return {"videos": videos, "token_ids": token_ids, "padding_mask": np.ones((1, 6), bool)}
