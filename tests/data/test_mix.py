import numpy as np
import pytest
import tensorflow as tf

from keras_videoprism.data.mix import (
    alternate,
    mixed,
    num_draws,
    sequential,
    source_draws,
    source_turns,
)


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


def test_draws_of_each_step():
    weights = [1.0, 3.0, 2.0]
    datasets = [source(number, 1) for number in range(3)]
    draws = source_draws(3, 60, weights, seed=5)
    assert draws.tolist() == schedule(alternate(datasets, weights, seed=5), 60)
    assert num_draws(3, 60, weights, seed=5) == np.bincount(draws).tolist()


def clips_of(value: int, num_frames: int = 1) -> tf.data.Dataset:
    """Endless batches of one clip; `number` counts the clips of this source."""

    def clip(number):
        return {"source": [value], "number": [number], "videos": tf.zeros([1, num_frames, 2, 2, 3])}

    return tf.data.Dataset.counter().map(clip)


def drawn(dataset: tf.data.Dataset, count: int) -> list[list[tuple[int, int]]]:
    """(source, number) of each clip of each batch."""
    batches = dataset.take(count).as_numpy_iterator()
    return [list(zip(b["source"].tolist(), b["number"].tolist(), strict=True)) for b in batches]


def test_mixed_draws_each_clip_and_goes_on_where_it_stopped():
    weights, steps = [1.0, 0.0, 3.0], 9
    datasets = [clips_of(number) for number in range(3)]
    whole = drawn(mixed(datasets, 8, weights, seed=2), 20)
    assert all(len(batch) == 8 for batch in whole)
    flat = [clip for batch in whole for clip in batch]
    of = [[number for value, number in flat if value == each] for each in range(3)]
    assert of[1] == [] and of[0] == list(range(len(of[0]))) and of[2] == list(range(len(of[2])))
    assert 25 < len(of[0]) < 55  # of 160, a quarter
    assert sum(len({value for value, _ in batch}) == 2 for batch in whole) > 14
    starts = num_draws(3, steps, weights, seed=2, batch_size=8)
    before = [value for batch in whole[:steps] for value, _ in batch]
    assert starts == np.bincount(before, minlength=3).tolist()
    rest = [dataset.skip(count) for dataset, count in zip(datasets, starts, strict=True)]
    assert drawn(mixed(rest, 8, weights, seed=2, start=steps), 11) == whole[steps:]
    assert drawn(mixed(datasets, 8, weights, seed=3), 20) != whole


def test_mixed_needs_one_shape():
    message = r"same shape; videos .* \[\[1, 2, 2, 3\], \[8, 2, 2, 3\]\]"
    with pytest.raises(ValueError, match=message):
        mixed([clips_of(0), clips_of(1, num_frames=8)], 4)


def test_sequential_takes_shares_in_turn():
    datasets, weights = [source(0, 1), source(1, 8), source(2, 1)], [1, 2, 1]
    assert source_turns(3, 12, [3, 5, 4]).tolist() == [0] * 3 + [1] * 5 + [2] * 4
    # Of 8 steps a quarter, a half, a quarter; then the last goes on.
    expected = [0, 0, *[1] * 4, 2, 2, 2, 2]
    assert schedule(sequential(datasets, 8, weights), 10) == expected
    assert source_turns(3, 8, weights, steps=10).tolist() == expected
    rest = [dataset.skip(count) for dataset, count in zip(datasets, (2, 1, 0), strict=True)]
    found = sequential(rest, 8, weights, start=3).take(5).as_numpy_iterator()
    steps = [(int(batch["videos"].max()), int(batch["step"])) for batch in found]
    assert steps == [(1, 1), (1, 2), (1, 3), (2, 0), (2, 1)]
    assert source_turns(1, 5).tolist() == [0] * 5
