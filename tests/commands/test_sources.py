import numpy as np
import pytest

from keras_videoprism.commands.sources import (
    Schedule,
    Source,
    make_sources,
    schedule_of,
    source_names,
    step_log,
)


def test_names_are_unique():
    paths = ["a/clips", "b/clips/", "gs://c/images", "clips-2", "clips"]
    assert source_names(paths) == ["clips", "clips-2", "images", "clips-2-2", "clips-3"]


def test_starts_count_what_the_steps_before_took():
    turns = Schedule("sequential", [1, 3], steps=8)
    assert turns.starts(1) == [1, 0] and turns.starts(5) == [2, 3] and turns.starts(9) == [2, 7]
    draws = Schedule("alternate", [1, 3], seed=4)
    assert draws.starts(20) == np.bincount(draws.sources(20), minlength=2).tolist()
    assert sum(Schedule("mixed", [1, 3], batch_size=6).starts(5)) == 30


def test_the_log_knows_the_source_of_each_step():
    log = step_log(Schedule("sequential", [1, 1], steps=4), ["a", "b"], 6).keywords
    assert [log["source_of"](step) for step in range(6)] == ["a", "a", "b", "b", "b", "b"]
    assert log["sources"] == ["a", "b"]


def test_what_cannot_be_ordered():
    clips, images = Source("a", 4, 8), Source("b", 4, 1)
    with pytest.raises(ValueError, match="order must be one of .* received 'random'"):
        schedule_of([clips, images], "random")
    with pytest.raises(ValueError, match=r"same num_frames; received \[8, 1\]"):
        schedule_of([clips, images], "mixed")
    with pytest.raises(ValueError, match=r"same batch_size; received \[4, 2\]"):
        schedule_of([clips, Source("b", 2, 8)], "mixed")
    with pytest.raises(ValueError, match="at least one source"):
        schedule_of([], "alternate")
    with pytest.raises(ValueError, match="'sequential' needs steps"):
        schedule_of([clips, images], "sequential").starts(3)


def test_one_value_for_all_folders_or_one_for_each():
    assert make_sources(["a", "b"], 4, (8,), (1.0, 2.0)) == [
        Source("a", 4, 8, 1.0),
        Source("b", 4, 8, 2.0),
    ]
    with pytest.raises(ValueError, match="weights must be one value or one for each of the 2"):
        make_sources(["a", "b"], 4, (8,), (1.0, 1.0, 1.0))
