"""Record folders -> a stage-1 model -> a stage-2 encoder, with the paper's recipe."""

import inspect
import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import keras

from keras_videoprism.commands.run_record import write_run
from keras_videoprism.commands.sources import (
    Source,
    make_sources,
    read_sources,
    schedule_of,
    source_names,
    step_log,
)
from keras_videoprism.commands.start_models import start_models
from keras_videoprism.commands.train import (
    FREE,
    checkpoints_of,
    paper_optimizer,
    refuse_existing,
    run_callbacks,
    train_stage1,
    train_stage2,
    whole_epochs,
)
from keras_videoprism.training import Stage1Model, Stage2Model
from keras_videoprism.training.callbacks import StepLog
from keras_videoprism.training.checkpoints import Curves
from keras_videoprism.training.devices import process_of
from keras_videoprism.training.stage import Stage

# Of a run that goes on, these may change too: they only watch it.
_FREE = (*FREE, "probe", "probe_classes", "probe_every", "peak_flops")

Arguments = dict[str, Any]


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
    seed: int = 0,
    max_bad_records: int = 100,
    save_every: int = 1000,
    keep: int = 3,
    force: bool = False,
    **others: Any,
) -> Curves:
    """Train one stage with the paper's recipe, from record folders to a preset folder.

    Beside it, the folder `<output>.run` holds run.json (see `write_run`), steps.csv (see `StepLog`)
    and report.html, and `<output>.checkpoints` the last checkpoints. A run that was killed goes on
    from the newest, to the same weights, when it is called again.

    Args:
        stage: 1 (contrast) or 2 (masked distillation).
        records: record folders; each step takes its batch from one of them.
        preset: what to train, e.g. "videoprism_lvt_b" in stage 1, "videoprism_b" in stage 2.
        output: preset folder to write.
        steps, batch_size, learning_rate, warmup_steps (a tenth of the steps): see `recipes`.
        frames: frames of a clip, one number for all folders or one for each; 1 for images.
        weights: how often each folder is drawn; default equally often.
        order: of the folders: "alternate", "mixed" or "sequential" (see `Schedule`).
        image_size: pixels; default the native size of the preset.
        masking_ratio: share of dropped (stage 1, default 0.5) or masked tokens (stage 2, 0.65).
        micro_batches: parts of each batch, to save memory.
        seed: seed of data, masks and initial weights.
        max_bad_records: so many damaged records of each folder are logged and replaced.
        save_every, keep, force: see `Checkpoint`.
        **others: arguments of `start_models`, such as `init`; of `run_callbacks`, such as `probe`;
            and of `Stage1Model` or `Stage2Model`, such as `remat`.
    """
    given = dict(locals())
    given |= given.pop("others")
    starting, watching, stage_args = _split(stage, output, others)
    sources = make_sources(records, _share(batch_size), frames, weights or (1.0,))
    log = _step_log(sources, order, seed, steps)
    optimizer = paper_optimizer(stage, learning_rate, steps, warmup_steps)
    keras.utils.set_random_seed(seed)
    towers, student = start_models(stage, preset, **starting)
    encoder = student or towers.video_encoder
    tokenizer = None if student else towers.tokenizer
    read = partial(read_sources, sources, tokenizer=tokenizer, order=order, seed=seed, steps=steps)
    read = partial(read, max_bad_records=max_bad_records, process=process_of())
    batches = partial(read, image_size=image_size or encoder.image_size)
    write_run(f"{output}.run", given)
    arguments = {"output": output, "seed": seed, "num_micro_batches": micro_batches, **stage_args}
    arguments["checkpoints"] = checkpoints_of(given, _FREE)
    arguments["callbacks"] = run_callbacks(
        f"{output}.run", batches, steps, encoder, log, frames=max(frames), **watching
    )
    if masking_ratio is not None:
        arguments["masking_ratio" if student else "dropping_ratio"] = masking_ratio
    if student:
        return train_stage2(student, towers, batches, optimizer, steps, **arguments)[1]
    return train_stage1(towers, batches, optimizer, steps, **arguments)


def _split(
    stage: int, output: str | Path, others: Arguments
) -> tuple[Arguments, Arguments, Arguments]:
    """The arguments of each function; what can be told before anything is read."""
    refuse_existing(output)
    cls = {1: Stage1Model, 2: Stage2Model}[stage]
    starting = {name: others[name] for name in others.keys() & _keywords_of(start_models)}
    watching = {name: others[name] for name in others.keys() & _keywords_of(run_callbacks)}
    stage_args = {n: v for n, v in others.items() if n not in starting | watching}
    makers = [vars(each)["__init__"] for each in (cls, Stage)]
    known = {name for maker in makers for name in inspect.signature(maker).parameters}
    unknown = sorted(stage_args.keys() - known)
    if unknown:
        raise ValueError(f"stage {stage} has no {unknown}; see the arguments of {cls.__name__}.")
    return starting, watching, stage_args


def _keywords_of(function: Callable) -> set[str]:
    """Names of the arguments that must be named; the others are not for callers of `pretrain`."""
    parameters = inspect.signature(function).parameters.values()
    return {parameter.name for parameter in parameters if parameter.kind == parameter.KEYWORD_ONLY}


def _share(batch_size: int) -> int:
    """Clips of a batch that this process reads."""
    count = process_of()[1]
    if batch_size % count:
        raise ValueError(
            f"a batch of {batch_size} cannot be shared by {count} hosts; choose a multiple."
        )
    return batch_size // count


def _step_log(
    sources: Sequence[Source], order: str, seed: int, steps: int
) -> Callable[..., StepLog]:
    """The log of steps, with the loss of each source under the name of its folder."""
    schedule = schedule_of(sources, order, seed, steps)
    names = source_names([source.path for source in sources])
    return step_log(schedule, names, math.prod(whole_epochs(steps)))
