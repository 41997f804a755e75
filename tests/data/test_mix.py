import numpy as np
import pytest
import tensorflow as tf

from keras_videoprism.data.mix import alternate, num_draws


def source(value: int, num_frames: int, **extra: int) -> tf.data.Dataset:
    """Endless batches [2, T, 4, 4, 3]; `step` counts the batches of this source."""

    def batch(step):
        videos = tf.fill([2, num_frames, 4, 4, 3], float(value))
        return {"videos": videos, "step": step, **{k: tf.constant(v) for k, v in extra.items()}}

    return tf.data.Dataset.counter().map(batch)


def schedule(dataset: tf.data.Dataset, count: int) -> list[int]:
    return [int(batch["videos"][0, 0, 0, 0, 0]) for batch in dataset.take(count)]


def test_every_batch_is_of_one_source():
    dataset = alternate([source(0, 1), source(1, 8)])
    assert list(dataset.element_spec["videos"].shape) == [2, None, 4, 4, 3]
    steps = {0: [], 1: []}
    for batch in dataset.take(40).as_numpy_iterator():
        (value,) = np.unique(batch["videos"])
        assert batch["videos"].shape[1] == (1, 8)[int(value)]
        steps[int(value)].append(int(batch["step"]))
    # No batch of a source is lost or repeated.
    assert all(numbers == list(range(len(numbers))) and numbers for numbers in steps.values())


def test_weights():
    drawn = schedule(alternate([source(0, 1), source(1, 1), source(2, 1)], [3, 0, 1]), 1000)
    assert drawn.count(1) == 0
    assert 690 < drawn.count(0) < 810


def test_schedule_depends_on_the_seed_alone():
    first, second, third = (
        schedule(alternate([source(0, 1), source(1, 2)], seed=seed), 50) for seed in (0, 0, 1)
    )
    assert first == second != third


def test_only_common_keys():
    dataset = alternate([source(0, 1, labels=1), source(1, 1, extra=2)])
    assert set(dataset.element_spec) == {"videos", "step"}


def test_bad_arguments():
    with pytest.raises(ValueError, match="at least one"):
        alternate([])
    with pytest.raises(ValueError, match=r"\[1\] are finite"):
        alternate([source(0, 1), source(1, 1).take(5)])
    for weights in ([1], [1, -1], [0, 0], [1, float("nan")]):
        with pytest.raises(ValueError, match="weights must be 2 numbers"):
            alternate([source(0, 1), source(1, 1)], weights)
    with pytest.raises(ValueError, match="no key in common"):
        alternate([source(0, 1).map(lambda b: {"a": b["step"]}), source(0, 1)])


def test_goes_on_where_it_stopped():
    """Each source begins with the batch that it had not given yet."""
    weights, steps = [1.0, 3.0], 17
    whole = alternate([source(0, 1), source(1, 8)], weights, seed=2)
    expected = [
        (int(b["videos"].max()), int(b["step"])) for b in whole.take(40).as_numpy_iterator()
    ]
    drawn = num_draws(2, steps, weights, seed=2)
    assert drawn == [sum(of == value for of, _ in expected[:steps]) for value in (0, 1)]
    sources = [source(0, 1).skip(drawn[0]), source(1, 8).skip(drawn[1])]
    rest = alternate(sources, weights, seed=2, start=steps)
    found = [(int(b["videos"].max()), int(b["step"])) for b in rest.take(23).as_numpy_iterator()]
    assert found == expected[steps:]
    assert num_draws(2, 0) == [0, 0]
