"""Record folders -> a stage-1 model -> a stage-2 encoder."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from keras_videoprism import presets
from keras_videoprism.data import Tokenizer, alternate, read_records
from keras_videoprism.data.atomic import atomic_path
from keras_videoprism.models import VideoPrism, VideoPrismLvT
from keras_videoprism.training import Stage1Model, Stage2Model

Curves = dict[str, list[float]]


class Source(NamedTuple):
    """One data set of alternating gradient descent (Appendix C.1).

    path: record folder. batch_size: clips in a step of this source. num_frames: 1 for images.
    weight: how often it is drawn.
    """

    path: str | Path
    batch_size: int
    num_frames: int
    weight: float = 1.0


def read_sources(
    sources: Sequence[Source],
    image_size: int | tuple[int, int],
    tokenizer: Tokenizer | None = None,
    augment: bool = False,
    seed: int = 0,
) -> tf.data.Dataset:
    """Endless training batches, each from one source."""
    datasets = [
        read_records(
            source.path,
            batch_size=source.batch_size,
            num_frames=source.num_frames,
            image_size=image_size,
            tokenizer=tokenizer,
            sampling="random_segment",
            augment=augment,
            shuffle=True,
            repeat=True,
            seed=seed + index,
        )
        for index, source in enumerate(sources)
    ]
    return alternate(datasets, weights=[source.weight for source in sources], seed=seed)


def train_stage1(
    model: VideoPrismLvT,
    batches: tf.data.Dataset,
    optimizer: keras.Optimizer,
    steps: int,
    *,
    steps_per_epoch: int = 100,
    output: str | Path | None = None,
    seed: int = 0,
    **stage1_args: Any,
) -> Curves:
    """Contrast videos and texts; `model` is trained in place and saved as a preset.

    Args:
        model: the towers; with a tokenizer.
        batches: endless, with videos, token_ids, padding_mask and clip_id.
        optimizer: e.g. `recipes.stage1_optimizer()`.
        steps: number of steps.
        steps_per_epoch: how often the curves get a point.
        output: folder for the preset and `curves.json`.
        seed: seed of the masks.
        **stage1_args: see `Stage1Model`.
    """
    stage = Stage1Model(model, seed=seed, **stage1_args)
    return _fit(stage, batches, optimizer, steps, steps_per_epoch, model, output)


def train_stage2(
    student: VideoPrism,
    teacher: VideoPrismLvT,
    batches: tf.data.Dataset,
    optimizer: keras.Optimizer,
    steps: int,
    *,
    steps_per_epoch: int = 100,
    output: str | Path | None = None,
    seed: int = 0,
    **stage2_args: Any,
) -> tuple[Stage2Model, Curves]:
    """Distil the teacher into the student by masked prediction; arguments as in `train_stage1`.

    A student of the teacher's shape starts from the teacher's weights (Appendix C.2).
    """
    ours, theirs = student.get_weights(), teacher.video_encoder.get_weights()
    if [w.shape for w in ours] == [w.shape for w in theirs]:
        student.set_weights(theirs)
    stage = Stage2Model(student, teacher, seed=seed, **stage2_args)
    curves = _fit(stage, batches, optimizer, steps, steps_per_epoch, student, output)
    return stage, curves


def _fit(
    stage: keras.Model,
    batches: tf.data.Dataset,
    optimizer: keras.Optimizer,
    steps: int,
    steps_per_epoch: int,
    trained: keras.Model,
    output: str | Path | None,
) -> Curves:
    steps_per_epoch = min(steps_per_epoch, steps)
    stage.compile(optimizer)
    epochs = max(steps // steps_per_epoch, 1)
    history = stage.fit(batches, steps_per_epoch=steps_per_epoch, epochs=epochs, shuffle=False)
    curves = {name: [float(v) for v in values] for name, values in history.history.items()}
    curves["step"] = [steps_per_epoch * (epoch + 1.0) for epoch in history.epoch]
    if output is not None:
        presets.save(trained, output)
        with atomic_path(Path(output) / "curves.json") as temporary:
            Path(temporary).write_text(json.dumps(curves, indent=1))
    return curves
