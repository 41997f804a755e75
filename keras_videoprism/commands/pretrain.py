"""Record folders -> a stage-1 model -> a stage-2 encoder."""

import json
import logging
import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from keras_videoprism import converters, presets
from keras_videoprism.commands.run_record import write_run
from keras_videoprism.data import Tokenizer, alternate, read_records
from keras_videoprism.data.atomic import atomic_path
from keras_videoprism.data.mix import num_draws
from keras_videoprism.models import VideoPrism, VideoPrismLvT
from keras_videoprism.training import Stage1Model, Stage2Model
from keras_videoprism.training.callbacks import StepLog, StopWhenBroken, WarnOfCollapse
from keras_videoprism.training.checkpoints import Checkpoint, Counting, Curves
from keras_videoprism.training.recipes import stage1_optimizer, stage2_optimizer

_LOGGER = logging.getLogger(__name__)

# Arguments of `pretrain` that may differ when a run goes on: they do not change what is trained.
_FREE = ("output", "max_bad_records", "save_every", "keep", "force")

# batches(start=n): endless batches from step n on.
Batches = Callable[..., tf.data.Dataset]
# Compiled stage -> its checkpoints.
Checkpoints = Callable[[keras.Model], Checkpoint]


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
    max_bad_records: int = 0,
    start: int = 0,
) -> tf.data.Dataset:
    """Endless training batches, each from one source; arguments as in `read_records`."""
    weights = [source.weight for source in sources]
    starts = num_draws(len(sources), start, weights, seed)
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
            start=first,
            max_bad_records=max_bad_records,
        )
        for index, (source, first) in enumerate(zip(sources, starts, strict=True))
    ]
    return alternate(datasets, weights, seed, start)


def train_stage1(
    model: VideoPrismLvT,
    batches: Batches,
    optimizer: keras.Optimizer,
    steps: int,
    *,
    steps_per_epoch: int = 100,
    output: str | Path | None = None,
    checkpoints: Checkpoints | None = None,
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
        seed: seed of the masks.
        **stage1_args: see `Stage1Model`.
    """
    stage = Stage1Model(model, seed=seed, **stage1_args)
    return _fit(stage, batches, optimizer, steps, steps_per_epoch, model, output, checkpoints)


def train_stage2(
    student: VideoPrism,
    teacher: VideoPrismLvT,
    batches: Batches,
    optimizer: keras.Optimizer,
    steps: int,
    *,
    steps_per_epoch: int = 100,
    output: str | Path | None = None,
    checkpoints: Checkpoints | None = None,
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
    curves = _fit(stage, batches, optimizer, steps, steps_per_epoch, student, output, checkpoints)
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
) -> Curves:
    epochs = math.ceil(steps / steps_per_epoch)
    steps_per_epoch = math.ceil(steps / epochs)
    stage.compile(optimizer)
    counting = checkpoints(stage) if checkpoints else Counting()
    callbacks = [counting, *_callbacks(output, steps, steps_per_epoch)]
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


def _callbacks(
    output: str | Path | None, steps: int, steps_per_epoch: int
) -> list[keras.callbacks.Callback]:
    """What watches a run; its table stands beside the output, which appears when the run ends."""
    if output is None:
        return [StopWhenBroken()]
    log = StepLog(f"{output}.run/steps.csv", every=min(50, steps_per_epoch))
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
    image_size: int | None = None,
    learning_rate: float = 5e-4,
    warmup_steps: int | None = None,
    masking_ratio: float | None = None,
    micro_batches: int = 1,
    tokenizer: str | Path | None = None,
    teacher: str | Path | None = None,
    init: bool = False,
    init_from: str | Path | None = None,
    freeze_spatial: bool = False,
    seed: int = 0,
    max_bad_records: int = 100,
    save_every: int = 1000,
    keep: int = 3,
    force: bool = False,
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
        steps, batch_size, learning_rate, warmup_steps (a tenth of the steps): see `recipes`.
        frames: frames of a clip, one number for all folders or one for each; 1 for images.
        weights: how often each folder is drawn; default equally often.
        image_size: pixels; default the native size of the preset.
        masking_ratio: share of dropped (stage 1, default 0.5) or masked tokens (stage 2, 0.65).
        micro_batches: parts of each batch, to save memory.
        tokenizer: stage 1: SentencePiece model, unless the preset has one.
        teacher: stage 2: preset folder of stage 1.
        init: start from the weights of the preset.
        init_from: stage 1: KerasHub's CLIP, SigLIP or ViT; what `initialize` leaves out is logged.
        freeze_spatial: stage 1: do not train patch embedding and spatial encoder.
        seed: seed of data, masks and initial weights.
        max_bad_records: so many damaged records of each folder are logged and replaced.
        save_every, keep, force: see `Checkpoint`.
    """
    given = dict(locals())
    settings = {name: value for name, value in given.items() if name not in _FREE}
    keras.utils.set_random_seed(seed)
    _check_output(output)
    _check_start(stage, teacher, init, init_from, freeze_spatial)
    sources = _sources(records, batch_size, frames, weights or (1.0,))
    make_optimizer = {1: stage1_optimizer, 2: stage2_optimizer}[stage]
    optimizer = make_optimizer(learning_rate, steps, _default(warmup_steps, steps // 10))
    write_run(f"{output}.run", given)
    read = partial(read_sources, sources, seed=seed, max_bad_records=max_bad_records)
    saving: dict[str, Any] = {"save_every": save_every, "keep": keep, "force": force}
    arguments: dict[str, Any] = {"output": output, "seed": seed, "num_micro_batches": micro_batches}
    arguments["checkpoints"] = partial(
        Checkpoint, f"{output}.checkpoints", settings=settings, **saving
    )
    if stage == 1:
        model = _start_from(init_from, freeze_spatial, _stage1_towers(preset, init, tokenizer))
        size = image_size or model.video_encoder.image_size
        batches = partial(read, image_size=size, tokenizer=model.tokenizer)
        ratio = _default(masking_ratio, 0.5)
        return train_stage1(model, batches, optimizer, steps, dropping_ratio=ratio, **arguments)
    student = VideoPrism.from_preset(preset, load_weights=init)
    batches = partial(read, image_size=image_size or student.image_size)
    ratio = _default(masking_ratio, 0.65)
    stage1_model = VideoPrismLvT.from_preset(str(teacher))
    return train_stage2(
        student, stage1_model, batches, optimizer, steps, masking_ratio=ratio, **arguments
    )[1]


def _default(value: Any, default: Any) -> Any:
    return default if value is None else value


def _check_output(output: str | Path) -> None:
    if Path(output).exists():
        raise ValueError(f"{output} exists; name another folder or remove it.")


def _check_start(
    stage: int,
    teacher: str | Path | None,
    init: bool,
    init_from: str | Path | None,
    freeze_spatial: bool,
) -> None:
    if stage == 2 and teacher is None:
        raise ValueError("stage 2 needs a teacher: the preset folder that stage 1 wrote.")
    if stage == 2 and (init_from or freeze_spatial):
        raise ValueError("init_from and freeze_spatial are for stage 1; stage 2 starts from it.")
    if freeze_spatial and not (init or init_from):
        raise ValueError(
            "freeze_spatial would keep a random spatial encoder: name a source by init_from, or "
            "start from the preset's weights by init."
        )


def _sources(
    records: Sequence[str | Path],
    batch_size: int,
    frames: Sequence[int],
    weights: Sequence[float],
) -> list[Source]:
    frames = _one_for_each("frames", frames, records)
    weights = _one_for_each("weights", weights, records)
    return [
        Source(path, batch_size, num_frames, weight)
        for path, num_frames, weight in zip(records, frames, weights, strict=True)
    ]


def _stage1_towers(preset: str, init: bool, tokenizer: str | Path | None) -> VideoPrismLvT:
    if tokenizer is None:
        model = VideoPrismLvT.from_preset(preset, load_weights=init)
        if model.tokenizer is None:
            raise ValueError(f"{preset} has no tokenizer; name a SentencePiece model.")
        return model
    loaded = Tokenizer(tokenizer)
    # The stage-1 model of the paper pools the encoder's tokens directly (section 2.3.1).
    model = VideoPrismLvT.from_preset(
        preset,
        load_weights=init,
        vocabulary_size=loaded.vocabulary_size,
        num_auxiliary_layers=0,
    )
    model.tokenizer = loaded
    return model


def _start_from(
    source: str | Path | None, freeze_spatial: bool, model: VideoPrismLvT
) -> VideoPrismLvT:
    if source is not None:
        for line in converters.initialize(model, source).lines():
            _LOGGER.warning("%s: %s", source, line)
    if freeze_spatial:
        converters.freeze_spatial(model.video_encoder)
    return model


def _one_for_each(name: str, values: Sequence, records: Sequence) -> Sequence:
    if len(values) not in (1, len(records)):
        raise ValueError(
            f"{name} must be one value or one for each of the {len(records)} record folders; "
            f"received {len(values)}."
        )
    return values if len(values) == len(records) else list(values) * len(records)
