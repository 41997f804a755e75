"""Record folders -> a stage-1 model -> a stage-2 encoder."""

import inspect
import json
import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from keras_videoprism import presets
from keras_videoprism.commands.run_record import write_run
from keras_videoprism.commands.sources import (
    Source,
    make_sources,
    schedule_of,
    source_names,
    step_log,
)
from keras_videoprism.data import Tokenizer, read_records
from keras_videoprism.data.atomic import atomic_path
from keras_videoprism.models import VideoPrism, VideoPrismLvT
from keras_videoprism.training import Stage1Model, Stage2Model
from keras_videoprism.training.callbacks import StepLog, StopWhenBroken, WarnOfCollapse
from keras_videoprism.training.checkpoints import Checkpoint, Counting, Curves
from keras_videoprism.training.recipes import stage1_optimizer, stage2_optimizer
from keras_videoprism.training.stage import Stage

# Arguments of `pretrain` that may differ when a run goes on: they do not change what is trained.
_FREE = ("output", "max_bad_records", "save_every", "keep", "force")

STEPS_PER_EPOCH = 100

# batches(start=n): endless batches from step n on.
Batches = Callable[..., tf.data.Dataset]
# Compiled stage -> its checkpoints.
Checkpoints = Callable[[keras.Model], Checkpoint]


def read_sources(
    sources: Sequence[Source],
    image_size: int | tuple[int, int],
    tokenizer: Tokenizer | None = None,
    augment: bool = False,
    seed: int = 0,
    max_bad_records: int = 0,
    start: int = 0,
    order: str = "alternate",
    steps: int | None = None,
) -> tf.data.Dataset:
    """Endless training batches; arguments as in `read_records`.

    Args:
        order: "alternate", "mixed" or "sequential"; see `Schedule`.
        steps: of the run, for "sequential".
    """
    schedule = schedule_of(sources, order, seed, steps)
    starts = schedule.starts(start)
    datasets = [
        read_records(
            source.path,
            batch_size=1 if order == "mixed" else source.batch_size,
            num_frames=source.num_frames,
            image_size=image_size,
            tokenizer=tokenizer,
            sampling="random_segment",
            augment=augment,
            shuffle=True,
            repeat=True,
            seed=seed + index,
            start=first,
            max_bad_records=max_bad_records,
        )
        for index, (source, first) in enumerate(zip(sources, starts, strict=True))
    ]
    return schedule.combine(datasets, start)


def train_stage1(
    model: VideoPrismLvT,
    batches: Batches,
    optimizer: keras.Optimizer,
    steps: int,
    *,
    steps_per_epoch: int = STEPS_PER_EPOCH,
    output: str | Path | None = None,
    checkpoints: Checkpoints | None = None,
    step_log: Callable[..., StepLog] = StepLog,
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
        step_log: makes the log of steps, such as `partial(StepLog, sources=..., source_of=...)`.
        seed: seed of the masks.
        **stage1_args: see `Stage1Model`.
    """
    stage = Stage1Model(model, seed=seed, **stage1_args)
    return _fit(
        stage, batches, optimizer, steps, steps_per_epoch, model, output, checkpoints, step_log
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
    step_log: Callable[..., StepLog] = StepLog,
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
    curves = _fit(
        stage, batches, optimizer, steps, steps_per_epoch, student, output, checkpoints, step_log
    )
    return stage, curves


def _fit(
    stage: keras.Model,
    batches: Batches,
    optimizer: keras.Optimizer,
    steps: int,
    steps_per_epoch: int,
    trained: keras.Model,
    output: str | Path | None = None,
    checkpoints: Checkpoints | None = None,
    step_log: Callable[..., StepLog] = StepLog,
) -> Curves:
    epochs, steps_per_epoch = _whole_epochs(steps, steps_per_epoch)
    stage.compile(optimizer)
    counting = checkpoints(stage) if checkpoints else Counting()
    callbacks = [counting, *_callbacks(output, steps, steps_per_epoch, step_log)]
    while counting.step < epochs * steps_per_epoch:
        epoch, done = divmod(counting.step, steps_per_epoch)
        stage.fit(
            batches(start=counting.step),
            steps_per_epoch=steps_per_epoch - done,
            initial_epoch=epoch,
            epochs=epoch + 1 if done else epochs,  # first the rest of an epoch, then whole ones
            shuffle=False,
            callbacks=callbacks,
        )
    curves = counting.curves
    if output is not None:
        presets.save(trained, output)
        with atomic_path(Path(output) / "curves.json") as temporary:
            Path(temporary).write_text(json.dumps(curves, indent=1))
    return curves


def _whole_epochs(steps: int, steps_per_epoch: int = STEPS_PER_EPOCH) -> tuple[int, int]:
    """Numbers of epochs and of steps of each, whose product is at least `steps`."""
    epochs = math.ceil(steps / steps_per_epoch)
    return epochs, math.ceil(steps / epochs)


def _callbacks(
    output: str | Path | None, steps: int, steps_per_epoch: int, step_log: Callable[..., StepLog]
) -> list[keras.callbacks.Callback]:
    """What watches a run; its table stands beside the output, which appears when the run ends."""
    if output is None:
        return [StopWhenBroken()]
    log = step_log(f"{output}.run/steps.csv", every=min(50, steps_per_epoch))
    return [StopWhenBroken(), WarnOfCollapse(after=max(200, steps // 10)), log]


def pretrain(
    stage: int,
    records: Sequence[str | Path],
    preset: str,
    output: str | Path,
    steps: int,
    *,
    batch_size: int = 64,
    frames: Sequence[int] = (8,),
    weights: Sequence[float] | None = None,
    order: str = "alternate",
    image_size: int | None = None,
    learning_rate: float = 5e-4,
    warmup_steps: int | None = None,
    masking_ratio: float | None = None,
    micro_batches: int = 1,
    tokenizer: str | Path | None = None,
    teacher: str | Path | None = None,
    init: bool = False,
    attention: str | None = None,
    seed: int = 0,
    max_bad_records: int = 100,
    save_every: int = 1000,
    keep: int = 3,
    force: bool = False,
    **stage_args: Any,
) -> Curves:
    """Train one stage with the paper's recipe, from record folders to a preset folder.

    Beside it, the folder `<output>.run` holds run.json (see `write_run`) and steps.csv (see
    `StepLog`), and `<output>.checkpoints` the last checkpoints. A run that was killed goes on from
    the newest, to the same weights, when it is called again.

    Args:
        stage: 1 (contrast) or 2 (masked distillation).
        records: record folders; each step takes its batch from one of them.
        preset: what to train, e.g. "videoprism_lvt_b" in stage 1, "videoprism_b" in stage 2.
        output: preset folder to write.
        steps, batch_size, learning_rate, warmup_steps: see `recipes`; a tenth of the steps warms up
            by default.
        frames: frames of a clip, one number for all folders or one for each; 1 for images.
        weights: how often each folder is drawn; default equally often.
        order: of the folders: "alternate", "mixed" or "sequential" (see `Schedule`).
        image_size: pixels; default the native size of the preset.
        masking_ratio: share of dropped (stage 1, default 0.5) or masked tokens (stage 2, 0.65).
        micro_batches: parts of each batch, to save memory.
        tokenizer: stage 1: SentencePiece model, unless the preset has one.
        teacher: stage 2: preset folder of stage 1.
        init: start from the weights of the preset.
        attention: "factorized" or "joint" (see `VideoPrism`); default that of the preset.
        seed: seed of data, masks and initial weights.
        max_bad_records: so many damaged records of each folder are logged and replaced.
        save_every, keep, force: see `Checkpoint`.
        **stage_args: other arguments of `Stage1Model` or `Stage2Model`, such as `contrast`.
    """
    given = dict(locals())
    given |= given.pop("stage_args")
    keras.utils.set_random_seed(seed)
    _check_call(stage, output, teacher, stage_args)
    sources = make_sources(records, batch_size, frames, weights or (1.0,))
    arguments = {"output": output, "seed": seed, "num_micro_batches": micro_batches, **stage_args}
    if masking_ratio is not None:
        arguments[{1: "dropping_ratio", 2: "masking_ratio"}[stage]] = masking_ratio
    arguments["step_log"] = _step_log(sources, order, seed, steps)
    arguments["checkpoints"] = _checkpoints(given)
    optimizer = _optimizer(stage, learning_rate, steps, warmup_steps)
    write_run(f"{output}.run", given)
    read = partial(read_sources, sources, order=order, seed=seed, steps=steps)
    read = partial(read, max_bad_records=max_bad_records)
    if stage == 1:
        model = _stage1_towers(preset, init, tokenizer, attention)
        size = image_size or model.video_encoder.image_size
        batches = partial(read, image_size=size, tokenizer=model.tokenizer)
        return train_stage1(model, batches, optimizer, steps, **arguments)
    student = _encoder(preset, init, attention)
    batches = partial(read, image_size=image_size or student.image_size)
    stage1_model = VideoPrismLvT.from_preset(str(teacher))
    return train_stage2(student, stage1_model, batches, optimizer, steps, **arguments)[1]


def _check_call(
    stage: int, output: str | Path, teacher: str | Path | None, stage_args: dict[str, Any]
) -> None:
    """What can be told before anything is read."""
    if Path(output).exists():
        raise ValueError(f"{output} exists; name another folder or remove it.")
    if stage == 2 and teacher is None:
        raise ValueError("stage 2 needs a teacher: the preset folder that stage 1 wrote.")
    cls = {1: Stage1Model, 2: Stage2Model}[stage]
    makers = [vars(each)["__init__"] for each in (cls, Stage)]
    known = {name for maker in makers for name in inspect.signature(maker).parameters}
    unknown = sorted(stage_args.keys() - known)
    if unknown:
        raise ValueError(f"stage {stage} has no {unknown}; see the arguments of {cls.__name__}.")


def _optimizer(
    stage: int, learning_rate: float, steps: int, warmup_steps: int | None
) -> keras.Optimizer:
    make = {1: stage1_optimizer, 2: stage2_optimizer}[stage]
    return make(learning_rate, steps, steps // 10 if warmup_steps is None else warmup_steps)


def _step_log(
    sources: Sequence[Source], order: str, seed: int, steps: int
) -> Callable[..., StepLog]:
    """The log of steps, with the loss of each source under the name of its folder."""
    schedule = schedule_of(sources, order, seed, steps)
    names = source_names([source.path for source in sources])
    return step_log(schedule, names, math.prod(_whole_epochs(steps)))


def _checkpoints(given: dict[str, Any]) -> Checkpoints:
    settings = {name: value for name, value in given.items() if name not in _FREE}
    saving = {name: given[name] for name in ("save_every", "keep", "force")}
    return partial(Checkpoint, f"{given['output']}.checkpoints", settings=settings, **saving)


def _encoder(preset: str, init: bool, attention: str | None) -> VideoPrism:
    model = VideoPrism.from_preset(preset, load_weights=init, **_attention(init, attention))
    _check_attention(preset, model, attention)
    return model


def _stage1_towers(
    preset: str, init: bool, tokenizer: str | Path | None, attention: str | None
) -> VideoPrismLvT:
    loaded = None if tokenizer is None else Tokenizer(tokenizer)
    replaced = _attention(init, attention)
    if loaded is not None:
        # The stage-1 model of the paper pools the encoder's tokens directly (section 2.3.1).
        replaced |= {"vocabulary_size": loaded.vocabulary_size, "num_auxiliary_layers": 0}
    model = VideoPrismLvT.from_preset(preset, load_weights=init, **replaced)
    _check_attention(preset, model.video_encoder, attention)
    if loaded is not None:
        model.tokenizer = loaded
    if model.tokenizer is None:
        raise ValueError(f"{preset} has no tokenizer; name a SentencePiece model.")
    return model


def _attention(init: bool, attention: str | None) -> dict[str, Any]:
    """Arguments that change the attention of a preset; its weights fit its own alone."""
    return {} if init or attention is None else {"attention": attention}


def _check_attention(preset: str, encoder: VideoPrism, attention: str | None) -> None:
    if attention not in (None, encoder.attention):
        raise ValueError(
            f"the weights of {preset} are of {encoder.attention} attention; received "
            f"attention={attention!r}. Leave it out, or start without the weights (init=False)."
        )
