import json

import av
import numpy as np
import pytest

from keras_videoprism.data import demo_localisation
from keras_videoprism.data.annotations.boxes import ava
from keras_videoprism.data.annotations.classes import activitynet_actions
from keras_videoprism.data.demo_localisation import (
    ACTIONS,
    MIN_REST_FRAMES,
    MOVE_FRAMES,
    MOVES_FRAMES,
    move_and_rest,
    render_demo_localisation,
    sample_moves,
)
from keras_videoprism.data.demo_scenes import DIRECTIONS, FRAME_SIZE, KINDS, Sprite

pytest.importorskip("sklearn")
SIZES = {"num_train": 3, "num_test": 2}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    output_dir = tmp_path_factory.mktemp("demo") / "corpus"
    render_demo_localisation(output_dir, **SIZES)
    return output_dir


def decode(path):
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def contents(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def sprite(centres, direction=2):
    alpha = np.ones((30, 30), "float32")
    return Sprite(8, 0, direction, np.ones(3, "float32"), alpha, np.array(centres, float))


@pytest.mark.parametrize("name, count", [("train", 3), ("val", 2)])
def test_boxes_are_read_as_ava(corpus, name, count):
    folder = corpus / "boxes"
    frames = ava(folder / f"ava_{name}_v2.2.csv", folder / "videos", duration=2.0)
    assert len(frames) == count
    for frame in frames:
        assert (frame.time, frame.row.start, frame.row.end) == (1.0, 0.0, 2.0)
        assert decode(frame.row.path).shape == (16, FRAME_SIZE, FRAME_SIZE, 3)
        assert 1 <= len(frame.boxes) <= 3
        for box in frame.boxes:
            direction, kind = box.labels
            assert 0 <= direction < 8 <= kind < 24


def test_a_box_holds_its_sprite(corpus):
    """Sprites are lighter than the background: the pixels of a box, than those outside of all."""
    folder = corpus / "boxes"
    for frame in ava(folder / "ava_train_v2.2.csv", folder / "videos", duration=2.0):
        image = decode(frame.row.path)[8].max(axis=-1)
        outside = np.ones(image.shape, bool)
        means = []
        for box in frame.boxes:
            left, top, right, bottom = (round(FRAME_SIZE * value) for value in box.corners)
            means.append(image[top:bottom, left:right].mean())
            outside[top:bottom, left:right] = False
        assert min(means) > 1.2 * image[outside].mean()


def test_actions_are_named_in_the_order_of_their_ids(corpus):
    lines = (corpus / "boxes" / "ava_action_list_v2.2.pbtxt").read_text().splitlines()
    assert lines[0] == 'item { name: "move up" id: 1 }'
    assert lines[8] == 'item { name: "show zero" id: 9 }'
    assert len(lines) == len(ACTIONS) == len(DIRECTIONS) + len(KINDS) == 24


def test_moves_are_read_as_activitynet(corpus):
    folder = corpus / "moves"
    file = folder / "activity_net.v1-3.min.json"
    database = json.loads(file.read_text())["database"]
    assert len(database) == 5
    for subset, count in (("training", 3), ("validation", 2)):
        rows = activitynet_actions(file, folder / "videos", subset)
        assert len({row.path for row in rows}) == count
        assert all(row.path.is_file() and row.end <= 8 for row in rows)
    assert {v["duration"] for v in database.values()} == {8.0}
    assert all(len({a["label"] for a in v["annotations"]}) == 1 for v in database.values())


def test_pictures_change_during_moves_only(corpus):
    folder = corpus / "moves"
    database = json.loads((folder / "activity_net.v1-3.min.json").read_text())["database"]
    for video_id, video in database.items():
        frames = decode(folder / "videos" / f"v_{video_id}.mp4").astype(float)
        changes = abs(np.diff(frames, axis=0)).mean(axis=(1, 2, 3))  # [63]
        moving = np.zeros(MOVES_FRAMES - 1, bool)
        for annotation in video["annotations"]:
            start, end = (round(8 * time) for time in annotation["segment"])
            moving[start:end] = True
        assert changes[moving].min() > changes[~moving].max()


def test_moves_have_rests_around_them():
    for seed in range(200):
        moves = sample_moves(np.random.default_rng(seed))
        bounds = np.array([(0, 0), *moves, (MOVES_FRAMES - 1, MOVES_FRAMES - 1)])
        assert (bounds[1:, 0] - bounds[:-1, 1] >= MIN_REST_FRAMES).all()
        lengths = np.diff(bounds[1:-1], axis=1)
        assert ((lengths >= MOVE_FRAMES[0]) & (lengths <= MOVE_FRAMES[1])).all()
    counts = [len(sample_moves(np.random.default_rng(seed))) for seed in range(200)]
    assert set(counts) == {1, 2, 3}


def test_a_sprite_moves_with_its_speed_between_the_frames_of_a_move():
    centres = move_and_rest(sprite([(40, 79), (40, 2)]), [(4, 6), (10, 11)]).centres
    steps = np.diff(centres[:, 1]) % FRAME_SIZE
    assert np.flatnonzero(steps).tolist() == [4, 5, 10]
    np.testing.assert_allclose(steps[[4, 5, 10]], 3)
    assert (centres[:, 0] == 40).all()
    assert (move_and_rest(sprite([(40, 79), (40, 2)]), []).centres == (40, 79)).all()


def test_same_arguments_give_the_same_bytes_and_another_seed_does_not(
    corpus, tmp_path, monkeypatch
):
    monkeypatch.setattr(demo_localisation.os, "cpu_count", lambda: 1)
    render_demo_localisation(tmp_path / "again", **SIZES)
    assert contents(tmp_path / "again") == contents(corpus)
    render_demo_localisation(tmp_path / "other", num_train=1, num_test=1, seed=1)
    for clip in ("boxes/videos/test_00000.mp4", "moves/videos/v_train_00000.mp4"):
        assert (tmp_path / "other" / clip).read_bytes() != (corpus / clip).read_bytes()


def test_a_complete_corpus_is_kept_and_another_refused(corpus):
    before = contents(corpus)
    render_demo_localisation(
        corpus, **SIZES, progress=lambda done, total: pytest.fail("rendered again")
    )
    with pytest.raises(ValueError, match="'seed': 5.*choose another folder"):
        render_demo_localisation(corpus, **SIZES, seed=5)
    assert contents(corpus) == before


def test_progress_counts_all_files(tmp_path):
    calls = []
    render_demo_localisation(
        tmp_path / "corpus", num_train=1, num_test=1, progress=lambda *call: calls.append(call)
    )
    assert calls == [(1, 4), (2, 4), (3, 4), (4, 4)]


@pytest.mark.parametrize("name, value", [("num_train", 0), ("num_test", -1), ("seed", -1)])
def test_numbers_too_small_are_refused(tmp_path, name, value):
    with pytest.raises(ValueError, match=f"{name} must be at least .* got {value}"):
        render_demo_localisation(tmp_path / "corpus", **{name: value})
    assert not list(tmp_path.iterdir())


def test_an_interrupted_run_leaves_nothing(tmp_path):
    def interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        render_demo_localisation(tmp_path / "corpus", **SIZES, progress=interrupt)
    assert not list(tmp_path.iterdir())
