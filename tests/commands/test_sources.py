import numpy as np
import pytest

from keras_videoprism.commands.sources import (
    Schedule,
    Source,
    make_sources,
    read_sources,
    schedule_of,
    source_names,
    step_log,
)
from keras_videoprism.data import read_manifest, write_records


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


def test_captions_and_questions_alternate(video_folder, tmp_path):
    """Clips with captions and images with prompts; each batch is of one, from any step on."""
    rows = [row._replace(captions=("a",), labels=()) for row in read_manifest(video_folder)[:2]]
    write_records(rows, tmp_path / "clips", num_shards=1, num_frames=2)
    asked = [row._replace(prompts=("q",)) for row in rows]
    write_records(asked, tmp_path / "images", num_shards=1, num_frames=1)
    sources = [Source(tmp_path / "clips", 2, 2), Source(tmp_path / "images", 2, 1)]

    def lengths(prompts, captions):
        return {"lengths": np.array([[len(prompt)] for prompt in prompts], "int32")}

    def read(start, count):
        dataset = read_sources(sources, 8, answers=lengths, augment="shifted", start=start)
        return list(dataset.take(count).as_numpy_iterator())

    whole = read(0, 8)
    kinds = [(batch["videos"].shape[1], *batch["lengths"].ravel()) for batch in whole]
    assert set(kinds) == {(2, 0, 0), (1, 1, 1)}
    for one, other in zip(whole[5:], read(5, 3), strict=True):
        np.testing.assert_array_equal(one["videos"], other["videos"])
