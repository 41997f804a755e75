"""Which source a step trains on, and the two other orders of Table 22 (Appendices C.1 and I.1).

Alternating gradient descent draws a source for each step: batches of one source may differ from
those of another in shape, since images are clips with T = 1. A mixed batch draws a source for each
of its clips. In sequence, each source has its share of the steps. All three are pure functions of
their arguments and the step, so that a run can go on anywhere.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

Tensor = Any


def alternate(
    datasets: Sequence[tf.data.Dataset],
    weights: Sequence[float] | None = None,
    seed: int = 0,
    start: int = 0,
) -> tf.data.Dataset:
    """Draws each batch from one of several data sets.

    Which one is a pure function of (seed, step). Keys that not all data sets have are left out.

    Args:
        datasets: endless datasets of batches (dicts), such as `read_records(..., repeat=True)`.
        weights: how often each is drawn, in any unit; equal by default.
        seed: seed of the schedule.
        start: step to begin with, to go on after an interruption. The data sets must then begin
            where they were: `read_records(..., start=n)` with the n of `num_draws`.

    Returns:
        Endless dataset of batches; a dimension in which the sources differ is None in its
        element_spec.

    Raises:
        ValueError: no data set, a finite one, no common key, or weights that do not fit.
    """
    datasets = _with_common_keys(datasets)
    cumulative = _cumulative_weights(len(datasets), weights)
    choices = tf.data.Dataset.counter(start).map(lambda step: choose_source(cumulative, seed, step))
    return tf.data.Dataset.choose_from_datasets(datasets, choices)


def mixed(
    datasets: Sequence[tf.data.Dataset],
    batch_size: int,
    weights: Sequence[float] | None = None,
    seed: int = 0,
    start: int = 0,
) -> tf.data.Dataset:
    """Draws each clip of a batch from one of several data sets, by (seed, step, place in it).

    Args:
        datasets: endless datasets of batches of one clip, all of the same shape.
        batch_size: B, clips in a batch.
        weights, seed, start: see `alternate`; for the n of each data set, in clips, give
            `num_draws` the batch size too.

    Returns:
        Endless dataset of batches.

    Raises:
        ValueError: as `alternate`; or data sets whose clips differ in shape.
    """
    datasets = _with_common_keys(datasets)
    for key in datasets[0].element_spec:
        shapes = [dataset.element_spec[key].shape[1:].as_list() for dataset in datasets]
        if any(shape != shapes[0] for shape in shapes):
            raise ValueError(
                f"clips of one batch must have the same shape; {key} of the sources have {shapes}. "
                "Give all sources the same number of frames, or alternate between them."
            )
    cumulative = _cumulative_weights(len(datasets), weights)
    choices = tf.data.Dataset.counter(start).map(
        lambda step: choose_source(cumulative, seed, step, batch_size)
    )
    clips = tf.data.Dataset.choose_from_datasets(
        [dataset.unbatch() for dataset in datasets], choices.unbatch()
    )
    return clips.batch(batch_size, drop_remainder=True).prefetch(2)


def sequential(
    datasets: Sequence[tf.data.Dataset],
    steps: int,
    weights: Sequence[float] | None = None,
    start: int = 0,
) -> tf.data.Dataset:
    """Takes one data set after the other, each for its share of `steps` steps; the last stays.

    Args:
        datasets: see `alternate`.
        steps: number of steps of all data sets.
        weights: share of each; equal by default.
        start: see `alternate`; the n are counts in `source_turns(...)[:start]`.

    Raises:
        ValueError: as `alternate`.
    """
    datasets = _with_common_keys(datasets)
    ends = tf.constant(_ends(len(datasets), steps, weights))
    choices = tf.data.Dataset.counter(start).map(
        lambda step: tf.reduce_sum(tf.cast(step >= ends, tf.int64))
    )
    return tf.data.Dataset.choose_from_datasets(datasets, choices)


def source_draws(
    num_datasets: int, steps: int, weights: Sequence[float] | None = None, seed: int = 0
) -> np.ndarray:
    """Index of the data set of each of the first steps of `alternate`, int64 [steps]."""
    cumulative = _cumulative_weights(num_datasets, weights)
    return _of_each_step(lambda step: choose_source(cumulative, seed, step), steps)


def source_turns(
    num_datasets: int, total: int, weights: Sequence[float] | None = None, steps: int | None = None
) -> np.ndarray:
    """Index of the data set of each of the first steps of `sequential`, int64 [steps].

    `total` is its number of steps, and the default of `steps`.
    """
    ends = _ends(num_datasets, total, weights)
    return np.searchsorted(ends, np.arange(total if steps is None else steps), side="right")


def num_draws(
    num_datasets: int,
    steps: int,
    weights: Sequence[float] | None = None,
    seed: int = 0,
    batch_size: int | None = None,
) -> list[int]:
    """How often `alternate` draws each data set in its first `steps` steps.

    With a batch size: how many clips of each `mixed` draws.
    """
    cumulative = _cumulative_weights(num_datasets, weights)

    def count(step: Tensor) -> Tensor:
        chosen = tf.reshape(choose_source(cumulative, seed, step, batch_size), [-1])
        return tf.math.bincount(chosen, minlength=num_datasets, dtype=tf.int64)

    return _of_each_step(count, steps).reshape(steps, num_datasets).sum(axis=0).tolist()


def choose_source(
    cumulative_weights: Tensor, seed: int, step: Tensor, batch_size: int | None = None
) -> Tensor:
    """Index of the data set of a step, or of each clip of its batch.

    Args:
        cumulative_weights: float32 [n], ascending, the last 1.
        seed: seed of the schedule.
        step: int64 scalar.
        batch_size: B, to draw for each clip.

    Returns:
        int64 in [0, n): a scalar, or [B].
    """
    shape = [] if batch_size is None else [batch_size]
    draw = tf.random.stateless_uniform(shape, tf.stack([tf.constant(seed, tf.int64), step]))
    passed = tf.expand_dims(draw, -1) >= cumulative_weights
    return tf.reduce_sum(tf.cast(passed, tf.int64), axis=-1)


def _of_each_step(function: Any, steps: int) -> np.ndarray:
    """A function of a step, int64, of the steps from 0 on."""
    if steps == 0:
        return np.zeros(0, "int64")  # TensorFlow could not tell its shape

    @tf.function  # a hundred times as fast: a long run would begin minutes late
    def values() -> Tensor:
        return tf.map_fn(function, tf.range(steps, dtype=tf.int64))

    return values().numpy()


def _with_common_keys(datasets: Sequence[tf.data.Dataset]) -> list[tf.data.Dataset]:
    """The data sets, checked, with the keys that all of them have."""
    if not datasets:
        raise ValueError("give at least one data set")
    finite = [i for i, dataset in enumerate(datasets) if dataset.cardinality() >= 0]
    if finite:
        raise ValueError(f"data sets {finite} are finite; read them with repeat=True")
    keys = set.intersection(*(set(dataset.element_spec) for dataset in datasets))
    if not keys:
        raise ValueError("the data sets have no key in common")
    return [dataset.map(lambda batch: {k: batch[k] for k in keys}) for dataset in datasets]


def _ends(num_datasets: int, steps: int, weights: Sequence[float] | None) -> np.ndarray:
    """The step at which the next data set follows, int64 [n - 1]."""
    weights = _checked_weights(num_datasets, weights)
    return np.rint(np.cumsum(weights[:-1]) / sum(weights) * steps).astype("int64")


def _cumulative_weights(num_datasets: int, weights: Sequence[float] | None) -> Tensor:
    weights = _checked_weights(num_datasets, weights)
    return tf.cumsum(tf.constant(weights, tf.float32)) / sum(weights)


def _checked_weights(num_datasets: int, weights: Sequence[float] | None) -> list[float]:
    weights = [1.0] * num_datasets if weights is None else list(weights)
    if len(weights) != num_datasets or min(weights) < 0 or not 0 < sum(weights) < float("inf"):
        raise ValueError(
            f"weights must be {num_datasets} numbers >= 0 with a positive sum, received {weights}"
        )
    return weights
