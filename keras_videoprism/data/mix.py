"""Alternating gradient descent: every step trains on one data set (paper, App. C.1, Table 22).

Batches of one source may differ from those of another in shape: images are clips with T = 1.
"""

from collections.abc import Sequence
from typing import Any

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
    if not datasets:
        raise ValueError("alternate needs at least one data set")
    finite = [i for i, dataset in enumerate(datasets) if dataset.cardinality() >= 0]
    if finite:
        raise ValueError(f"data sets {finite} are finite; read them with repeat=True")
    keys = set.intersection(*(set(dataset.element_spec) for dataset in datasets))
    if not keys:
        raise ValueError("the data sets have no key in common")
    datasets = [dataset.map(lambda batch: {k: batch[k] for k in keys}) for dataset in datasets]
    cumulative = _cumulative_weights(len(datasets), weights)
    choices = tf.data.Dataset.counter(start).map(lambda step: choose_source(cumulative, seed, step))
    return tf.data.Dataset.choose_from_datasets(datasets, choices)


def num_draws(
    num_datasets: int, steps: int, weights: Sequence[float] | None = None, seed: int = 0
) -> list[int]:
    """How often `alternate` draws each data set in its first `steps` steps."""
    cumulative = _cumulative_weights(num_datasets, weights)

    @tf.function  # a hundred times as fast: a long run would begin minutes late
    def choices() -> Tensor:
        return tf.map_fn(
            lambda step: choose_source(cumulative, seed, step), tf.range(steps, dtype=tf.int64)
        )

    return tf.math.bincount(choices(), minlength=num_datasets, dtype=tf.int64).numpy().tolist()


def choose_source(cumulative_weights: Tensor, seed: int, step: Tensor) -> Tensor:
    """Index of the data set of a step.

    Args:
        cumulative_weights: float32 [n], ascending, the last 1.
        seed: seed of the schedule.
        step: int64 scalar.

    Returns:
        int64 scalar in [0, n).
    """
    draw = tf.random.stateless_uniform([], tf.stack([tf.constant(seed, tf.int64), step]))
    return tf.reduce_sum(tf.cast(draw >= cumulative_weights, tf.int64))


def _cumulative_weights(num_datasets: int, weights: Sequence[float] | None) -> Tensor:
    weights = [1.0] * num_datasets if weights is None else list(weights)
    if len(weights) != num_datasets or min(weights) < 0 or not 0 < sum(weights) < float("inf"):
        raise ValueError(
            f"weights must be {num_datasets} numbers >= 0 with a positive sum, received {weights}"
        )
    return tf.cumsum(tf.constant(weights, tf.float32)) / sum(weights)
