"""A stage, batches and an optimizer -> a trained model, watched, saved and able to go on."""

import importlib.util
import json
import logging
import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from keras_videoprism import presets
from keras_videoprism.commands.event_file import EventFile
from keras_videoprism.commands.frozen_probe import FrozenProbe
from keras_videoprism.commands.run_page import RunPage
from keras_videoprism.commands.start_models import copy_weights
from keras_videoprism.data.atomic import atomic_path
from keras_videoprism.models import VideoPrism, VideoPrismLvT
from keras_videoprism.training import Stage1Model, Stage2Model
from keras_videoprism.training.callbacks import StepLog, StopWhenBroken, WarnOfCollapse
from keras_videoprism.training.checkpoints import Checkpoint, Counting, Curves
from keras_videoprism.training.devices import is_first_process, process_of, replicate
from keras_videoprism.training.flops import measure_peak
from keras_videoprism.training.recipes import stage1_optimizer, stage2_optimizer

_LOGGER = logging.getLogger(__name__)

STEPS_PER_EPOCH = 100
STEPS_PER_ROW = 50  # of steps.csv, at most

# Arguments of a run that may differ when it goes on: they do not change what is trained.
FREE = ("output", "max_bad_records", "save_every", "keep", "force")

# batches(start=n): endless batches from step n on.
Batches = Callable[..., tf.data.Dataset]
# Compiled stage -> its checkpoints.
Checkpoints = Callable[[keras.Model], Checkpoint]
Callbacks = Sequence[keras.callbacks.Callback]


def train_stage1(
    model: VideoPrismLvT,
    batches: Batches,
    optimizer: keras.Optimizer,
    steps: int,
    *,
    steps_per_epoch: int = STEPS_PER_EPOCH,
    output: str | Path | None = None,
    checkpoints: Checkpoints | None = None,
    callbacks: Callbacks = (),
    seed: int = 0,
    **stage1_args: Any,
) -> Curves:
    """Contrast videos and texts; `model` is trained in place and saved as a preset.

    Args:
        model: the towers; with a tokenizer.
        batches: function of `start`, the first step, that gives endless batches with videos,
            token_ids, padding_mask and clip_id, such as `partial(read_sources, sources, 288)`.
        optimizer: e.g. `recipes.stage1_optimizer()`.
        steps: number of steps, rounded up to whole epochs.
        steps_per_epoch: how often the curves get a point, at most.
        output: folder for the preset and `curves.json`.
        checkpoints: such as `partial(Checkpoint, folder)`: the run is saved and, if it was killed
            before, goes on.
        callbacks: of Keras, such as those of `run_callbacks`.
        seed: seed of the masks.
        **stage1_args: see `Stage1Model`.
    """
    stage = Stage1Model(model, seed=seed, **stage1_args)
    return fit(
        stage, batches, optimizer, steps, steps_per_epoch, model, output, checkpoints, callbacks
    )


def train_stage2(
    student: VideoPrism,
    teacher: VideoPrismLvT,
    batches: Batches,
    optimizer: keras.Optimizer,
    steps: int,
    *,
    steps_per_epoch: int = STEPS_PER_EPOCH,
    output: str | Path | None = None,
    checkpoints: Checkpoints | None = None,
    callbacks: Callbacks = (),
    seed: int = 0,
    **stage2_args: Any,
) -> tuple[Stage2Model, Curves]:
    """Distil the teacher into the student by masked prediction; arguments as in `train_stage1`.

    A student of the teacher's shape starts from the teacher's weights (Appendix C.2).
    """
    copy_weights(student, teacher)
    stage = Stage2Model(student, teacher, seed=seed, **stage2_args)
    curves = fit(
        stage, batches, optimizer, steps, steps_per_epoch, student, output, checkpoints, callbacks
    )
    return stage, curves


def fit(
    stage: keras.Model,
    batches: Batches,
    optimizer: keras.Optimizer,
    steps: int,
    steps_per_epoch: int,
    trained: keras.Model,
    output: str | Path | None = None,
    checkpoints: Checkpoints | None = None,
    callbacks: Callbacks = (),
) -> Curves:
    """Train `stage`, from the last checkpoint on, and save the part of it that is `trained`."""
    epochs, steps_per_epoch = whole_epochs(steps, steps_per_epoch)
    stage.compile(optimizer)
    counting = checkpoints(stage) if checkpoints else Counting()
    warnings = [StopWhenBroken(), WarnOfCollapse(after=max(200, steps // 10))]
    fit_epochs(stage, batches, epochs, steps_per_epoch, counting, [*warnings, *callbacks])
    if output is not None:
        replicate(trained)
        if is_first_process():
            presets.save(trained, output)
            with atomic_path(Path(output) / "curves.json") as temporary:
                Path(temporary).write_text(json.dumps(counting.curves, indent=1))
    return counting.curves


def fit_epochs(
    model: keras.Model,
    batches: Batches,
    epochs: int,
    steps_per_epoch: int,
    counting: Counting,
    callbacks: Callbacks = (),
) -> None:
    """Train a compiled model up to the last of the epochs, from the step that `counting` is at."""
    while counting.step < epochs * steps_per_epoch:
        epoch, done = divmod(counting.step, steps_per_epoch)
        model.fit(
            batches(start=counting.step),
            steps_per_epoch=steps_per_epoch - done,
            initial_epoch=epoch,
            epochs=epoch + 1 if done else epochs,  # first the rest of an epoch, then whole ones
            shuffle=False,
            callbacks=[counting, *callbacks],
        )


def refuse_existing(output: str | Path) -> None:
    """A preset is written at the end of a run: what is in its way is told at the beginning."""
    if Path(output).exists():
        raise ValueError(f"{output} exists; name another folder or remove it.")


def paper_optimizer(
    stage: int, learning_rate: float, steps: int, warmup_steps: int | None
) -> keras.Optimizer:
    """That of `recipes` for a stage; a tenth of the steps warms up by default."""
    make = {1: stage1_optimizer, 2: stage2_optimizer}[stage]
    return make(learning_rate, steps, steps // 10 if warmup_steps is None else warmup_steps)


def checkpoints_of(
    given: dict[str, Any],
    free: Sequence[str] = FREE,
    frozen: Sequence[keras.layers.Layer] = (),
) -> Checkpoints:
    """Checkpoints beside the output of a run, from its arguments; those in `free` may change.

    The variables of the `frozen` layers are left out.
    """
    settings = {name: value for name, value in given.items() if name not in free}
    saving = {name: given[name] for name in ("save_every", "keep", "force")}
    folder = f"{given['output']}.checkpoints"
    return partial(Checkpoint, folder, settings=settings, frozen=frozen, **saving)


def whole_epochs(steps: int, steps_per_epoch: int = STEPS_PER_EPOCH) -> tuple[int, int]:
    """Numbers of epochs and of steps of each, whose product is at least `steps`."""
    epochs = math.ceil(steps / steps_per_epoch)
    return epochs, math.ceil(steps / epochs)


def run_callbacks(
    folder: str | Path,
    batches: Batches,
    steps: int,
    encoder: VideoPrism,
    step_log: Callable[..., StepLog] = StepLog,
    *,
    frames: int | None = None,
    probe: Sequence[str | Path] | None = None,
    probe_classes: int | None = None,
    probe_every: int = 1000,
    peak_flops: float | str | None = None,
) -> list[keras.callbacks.Callback]:
    """What writes down a run in its folder: steps.csv, TensorBoard's events and report.html.

    Args:
        folder: of the run; run.json is there (see `write_run`).
        batches: as in `train_stage1`; the masks of a clip of the first batch are drawn.
        steps: number of steps.
        encoder: what is probed.
        step_log: makes the log of steps, such as `partial(StepLog, sources=..., source_of=...)`.
        frames: of a clip that is probed.
        probe: labelled record folders to train and to test a probe on, with `probe_classes`
            classes, every `probe_every` steps; its scores go to probe.csv (see `FrozenProbe`).
        peak_flops: operations per second that all devices could do, of which the log then gives
            the share that the run does; "measured" takes a matrix product on each (`measure_peak`).

    Raises:
        ValueError: a probe without classes, or on several hosts.
    """
    _check_probe(probe, probe_classes)
    if not is_first_process():
        return []
    if peak_flops == "measured":
        devices = len(keras.distribution.list_devices())
        peak_flops = devices * measure_peak(encoder.compute_dtype)
    every = min(STEPS_PER_ROW, whole_epochs(steps)[1])
    path = Path(folder) / "steps.csv"
    found: list[keras.callbacks.Callback] = [
        step_log(path, every=every, peak_flops=peak_flops, on_row=EventFile(folder))
    ]
    if probe is not None and probe_classes is not None:
        scores, (train, test) = Path(folder) / "probe.csv", probe
        found.append(
            FrozenProbe(scores, encoder, train, test, probe_classes, probe_every, num_frames=frames)
        )
    if importlib.util.find_spec("matplotlib") is None:
        _LOGGER.warning("matplotlib is not installed: %s gets no report.html.", folder)
        return found
    return [*found, RunPage(folder, batches)]


def _check_probe(probe: Sequence | None, classes: int | None) -> None:
    if probe is None:
        return
    if len(probe) != 2 or classes is None:
        raise ValueError(
            "a probe needs two record folders, to train and to test it on, and probe_classes; "
            f"received {[*probe]} and {classes}."
        )
    if process_of()[1] > 1:
        raise ValueError(
            "a probe runs on one host; this job has several. Probe the written preset by the "
            "command `probe`."
        )
