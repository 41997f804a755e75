import csv
import json
import sys

import av
import numpy as np
import pytest

from keras_videoprism.data import demo_corpus
from keras_videoprism.data.demo_corpus import (
    describe,
    load_digit_images,
    render_demo_corpus,
    write_caption,
    write_mp4,
    write_png,
)
from keras_videoprism.data.demo_scenes import (
    COLOURS,
    DIRECTIONS,
    FRAME_SIZE,
    KINDS,
    NUM_FRAMES,
    Sprite,
    render_frames,
    shape_alpha,
)

pytest.importorskip("sklearn")
SIZES = {"num_clips": 13, "num_stills": 6, "num_test": 4}
NUM_FILES = sum(SIZES.values())


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    output_dir = tmp_path_factory.mktemp("demo") / "corpus"
    render_demo_corpus(output_dir, **SIZES)
    return output_dir


def sprite(kind="eight", colour="red", centre=(40, 40), direction=0, frames=1):
    rgb = np.array(COLOURS[colour], "float32")
    centres = np.repeat(np.array([centre], float), frames, axis=0)
    alpha = shape_alpha("square", 30)
    return Sprite(KINDS.index(kind), list(COLOURS).index(colour), direction, rgb, alpha, centres)


def decode(path):
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def read_captions(folder):
    with open(folder / "captions.csv", newline="") as file:
        return list(csv.DictReader(file))


def contents(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize(
    "split, size, shape",
    [
        ("curated", 7, (NUM_FRAMES, FRAME_SIZE, FRAME_SIZE, 3)),
        ("web", 6, (NUM_FRAMES, FRAME_SIZE, FRAME_SIZE, 3)),
        ("stills", 6, (1, FRAME_SIZE, FRAME_SIZE, 3)),
        ("test", 4, (NUM_FRAMES, FRAME_SIZE, FRAME_SIZE, 3)),
    ],
)
def test_each_folder_holds_its_files_captions_labels_and_boxes(corpus, split, size, shape):
    rows = read_captions(corpus / split)
    objects = [json.loads(line) for line in open(corpus / split / "objects.jsonl")]
    classes = json.loads((corpus / "classes.json").read_text())
    names = classes["kinds"] + classes["colours"] + classes["directions"]
    assert len(rows) == len(objects) == size and len(names) == 30
    for row, line in zip(rows, objects, strict=True):
        assert row["file"] == line["file"]
        assert decode(corpus / split / row["file"]).shape == shape
        expected = {o[key] for o in line["objects"] for key in ("kind", "colour", "direction")}
        assert {names[int(i)] for i in row["label"].split()} == expected - {None}
        boxes = np.array([o["boxes"] for o in line["objects"]])
        assert boxes.shape == (len(line["objects"]), shape[0], 4)
        assert (boxes >= 0).all() and (boxes <= 1).all() and (boxes[..., 2:] > boxes[..., :2]).all()


def test_clips_are_h264_at_eight_frames_per_second(corpus):
    with av.open(str(corpus / "test" / "test_00000.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264" and stream.average_rate == 8


def test_same_arguments_give_the_same_bytes(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(demo_corpus.os, "cpu_count", lambda: 1)
    render_demo_corpus(tmp_path / "again", **SIZES)
    assert contents(tmp_path / "again") == contents(corpus)


def test_an_example_depends_on_seed_and_index_only(corpus, tmp_path):
    sizes = {"num_clips": 2, "num_stills": 1, "num_test": 1}
    for seed in (0, 1):
        render_demo_corpus(tmp_path / str(seed), **sizes, seed=seed)
    clip = "curated/curated_00000.mp4"
    assert (tmp_path / "0" / clip).read_bytes() == (corpus / clip).read_bytes()
    assert (tmp_path / "1" / clip).read_bytes() != (corpus / clip).read_bytes()


def test_a_complete_corpus_is_kept_and_another_refused(corpus):
    before = contents(corpus)
    render_demo_corpus(corpus, **SIZES, progress=lambda done, total: pytest.fail("rendered again"))
    with pytest.raises(ValueError, match="'seed': 5"):
        render_demo_corpus(corpus, **SIZES, seed=5)
    assert contents(corpus) == before


def test_a_foreign_folder_or_file_is_refused_and_an_empty_folder_filled(tmp_path):
    file = tmp_path / "notes.txt"
    file.write_text("mine")
    for output_dir in (tmp_path, file):
        with pytest.raises(ValueError, match="choose another folder"):
            render_demo_corpus(output_dir, **SIZES)
    (tmp_path / "empty").mkdir()
    calls = []
    render_demo_corpus(tmp_path / "empty", **SIZES, progress=lambda *call: calls.append(call))
    assert calls == [(done, NUM_FILES) for done in range(1, NUM_FILES + 1)]
    assert (tmp_path / "empty" / "corpus.json").is_file()


@pytest.mark.parametrize(
    "name, value", [("num_clips", 0), ("num_clips", 1), ("num_stills", -3), ("seed", -1)]
)
def test_numbers_too_small_are_refused(tmp_path, name, value):
    with pytest.raises(ValueError, match=f"{name} must be at least .* got {value}"):
        render_demo_corpus(tmp_path / "corpus", **{name: value})
    assert not list(tmp_path.iterdir())


def test_an_interrupted_run_leaves_nothing(tmp_path):
    def interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        render_demo_corpus(tmp_path / "corpus", **SIZES, progress=interrupt)
    assert not list(tmp_path.iterdir())


def test_missing_scikit_learn_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ImportError, match=r"keras-videoprism\[demo\]"):
        render_demo_corpus(tmp_path / "corpus", **SIZES)
    assert not list(tmp_path.iterdir())


def test_train_and_test_share_no_digit_image():
    images = load_digit_images()
    train, test = ({im.tobytes() for d in images[key] for im in d} for key in ("train", "test"))
    assert not train & test
    num_train, num_test = (sum(map(len, images[key])) for key in ("train", "test"))
    assert num_train + num_test == 1797 and 0.19 < num_test / 1797 < 0.21


@pytest.mark.parametrize(
    "options, words",
    [
        ({}, "a red eight in the middle"),
        ({"numeral": True}, "a red 8 in the middle"),
        ({"omit": "colour"}, "an eight in the middle"),
        ({"omit": "colour", "numeral": True}, "an 8 in the middle"),
        ({"omit": "place", "motion": "moving up"}, "a red eight moving up"),
    ],
)
def test_describe(options, words):
    assert describe(sprite(), **options) == words


@pytest.mark.parametrize(
    "centre, place",
    [((5, 5), "at the top left"), ((40, 75), "on the right"), ((79.9, 40), "at the bottom")],
)
def test_places_are_thirds_of_the_frame(centre, place):
    assert describe(sprite(centre=centre)).endswith(place)


def test_test_captions_are_canonical():
    scene = [sprite("seven", "blue", (5, 75)), sprite("ring", "red"), sprite("two", "pink")]
    assert {write_caption(np.random.default_rng(i), "test", scene) for i in range(50)} == {
        "a blue seven at the top right, a red ring in the middle and a pink two in the middle"
    }


def test_motion_is_named_rarely_and_not_always_rightly():
    scene = [sprite(direction=list(DIRECTIONS).index("up"))]
    captions = [write_caption(np.random.default_rng([3, i]), "web", scene) for i in range(4000)]
    named = [c for c in captions if any(verb in c for verb in demo_corpus.MOTION_VERBS)]
    wrong = [c for c in named if not any(f"{verb} up" in c for verb in demo_corpus.MOTION_VERBS)]
    assert 0.08 < len(named) / len(captions) < 0.12
    assert 0.1 < len(wrong) / len(named) < 0.3


def test_only_web_captions_leave_words_out():
    scene = [sprite("seven", "blue"), sprite("ring", "red")]
    rate = {}
    for split in ("curated", "web", "stills"):
        captions = [write_caption(np.random.default_rng([5, i]), split, scene) for i in range(500)]
        whole = [c.count("in the middle") == 2 and "blue" in c and "red" in c for c in captions]
        rate[split] = np.mean(whole)
    assert rate["curated"] == rate["stills"] == 1
    assert 0.6 < rate["web"] < 0.8


def test_files_show_the_rendered_frames(tmp_path):
    frames = render_frames(
        [sprite(colour="yellow", frames=NUM_FRAMES)], np.full((80, 80, 3), 0.2, "float32")
    )
    write_png(tmp_path / "still.png", frames[0])
    write_mp4(tmp_path / "clip.mp4", frames)
    assert (decode(tmp_path / "still.png")[0] == frames[0]).all()
    assert abs(decode(tmp_path / "clip.mp4").astype(int) - frames).mean() < 4
