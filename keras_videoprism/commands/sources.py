"""The record folders of a run, and which of them each step, or clip, comes from (Table 22)."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path, PurePath
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from keras_videoprism.data import Tokenizer, read_records
from keras_videoprism.data.mix import (
    alternate,
    mixed,
    num_draws,
    sequential,
    source_draws,
    source_turns,
)
from keras_videoprism.data.read import Answers
from keras_videoprism.training.callbacks import StepLog

ORDERS = ("alternate", "mixed", "sequential")


class Source(NamedTuple):
    """One data set of a run (Appendix C.1).

    path: record folder. batch_size: clips in a step of this source. num_frames: 1 for images.
    weight: how often it is drawn, or its share of the steps.
    """

    path: str | Path
    batch_size: int
    num_frames: int
    weight: float = 1.0


class Schedule(NamedTuple):
    """A pure function of the step: nothing has to be saved for a run to go on.

    order: "alternate" draws a source for each step, "mixed" for each clip; "sequential" takes one
    source after the other. weights: how often each is drawn, or its share of the steps. seed: of
    the draws. steps: of the run, for "sequential". batch_size: of the run, for "mixed".
    """

    order: str
    weights: Sequence[float]
    seed: int = 0
    steps: int | None = None
    batch_size: int | None = None

    def starts(self, start: int) -> list[int]:
        """How many batches ("mixed": clips) of each source the steps before `start` take."""
        count = len(self.weights)
        if self.order == "mixed":
            return num_draws(count, start, self.weights, self.seed, self.batch_size)
        return np.bincount(self.sources(start), minlength=count).tolist()

    def combine(self, datasets: Sequence[tf.data.Dataset], start: int) -> tf.data.Dataset:
        """Batches from step `start` on, of sources that begin at `starts(start)`."""
        if self.order == "mixed":
            return mixed(datasets, self.batch_size or 1, self.weights, self.seed, start)
        if self.order == "alternate":
            return alternate(datasets, self.weights, self.seed, start)
        return sequential(datasets, self._steps(), self.weights, start)

    def sources(self, steps: int) -> np.ndarray:
        """Index of the source of each of the first `steps` steps; not for "mixed"."""
        if self.order == "alternate":
            return source_draws(len(self.weights), steps, self.weights, self.seed)
        return source_turns(len(self.weights), self._steps(), self.weights, steps)

    def _steps(self) -> int:
        if self.steps is None:
            raise ValueError("order='sequential' needs steps, the number of steps of the run.")
        return self.steps


def schedule_of(
    sources: Sequence[Source], order: str, seed: int = 0, steps: int | None = None
) -> Schedule:
    """Which source each step of a run takes; ValueError where the order does not fit them."""
    if order not in ORDERS:
        raise ValueError(f"order must be one of {ORDERS}; received {order!r}.")
    if not sources:
        raise ValueError("give at least one source; received none.")
    for name in ("batch_size", "num_frames"):
        values = [getattr(source, name) for source in sources]
        if order == "mixed" and len(set(values)) > 1:
            raise ValueError(
                f"order='mixed' draws each clip of a batch from any source, so that all need the "
                f"same {name}; received {values}. Use order='alternate' for images and clips."
            )
    weights = [source.weight for source in sources]
    return Schedule(order, weights, seed, steps, sources[0].batch_size)


def read_sources(
    sources: Sequence[Source],
    image_size: int | tuple[int, int],
    tokenizer: Tokenizer | None = None,
    answers: Answers | None = None,
    augment: bool | str = False,
    seed: int = 0,
    max_bad_records: int = 0,
    process: tuple[int, int] = (0, 1),
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
            answers=answers,
            sampling="random_segment",
            augment=augment,
            shuffle=True,
            repeat=True,
            seed=seed + index,
            process=process,
            start=first,
            max_bad_records=max_bad_records,
        )
        for index, (source, first) in enumerate(zip(sources, starts, strict=True))
    ]
    return schedule.combine(datasets, start)


def source_names(paths: Sequence[Any]) -> list[str]:
    """Names of record folders, each once: the last part of a path, perhaps with a number."""
    names: list[str] = []
    for path in paths:
        name = stem = PurePath(path).name or str(path)
        number = 2
        while name in names:
            name, number = f"{stem}-{number}", number + 1
        names.append(name)
    return names


def step_log(schedule: Schedule, names: Sequence[str], steps: int) -> Callable[..., StepLog]:
    """`StepLog` with the loss of each source, where a step has only one.

    Args:
        schedule: of the sources.
        names: of the sources.
        steps: number of steps that the run will do.
    """
    if schedule.order == "mixed":
        return StepLog
    of_step = schedule.sources(steps).astype("uint16")
    return partial(StepLog, sources=names, source_of=lambda step: names[int(of_step[step])])


def make_sources(
    records: Sequence[str | Path],
    batch_size: int,
    frames: Sequence[int],
    weights: Sequence[float],
) -> list[Source]:
    """Sources with one number of frames and one weight for all folders, or one for each."""
    frames = _one_for_each("frames", frames, records)
    weights = _one_for_each("weights", weights, records)
    return [
        Source(path, batch_size, num_frames, weight)
        for path, num_frames, weight in zip(records, frames, weights, strict=True)
    ]


def _one_for_each(name: str, values: Sequence, records: Sequence) -> Sequence:
    if len(values) not in (1, len(records)):
        raise ValueError(
            f"{name} must be one value or one for each of the {len(records)} record folders; "
            f"received {len(values)}."
        )
    return values if len(values) == len(records) else list(values) * len(records)
