import numpy as np
import pytest

from keras_videoprism.commands.evaluate import text as module
from keras_videoprism.commands.evaluate.encode import Clips, Place, Stored
from keras_videoprism.commands.evaluate.tasks import load_task
from keras_videoprism.commands.evaluate.text import (
    choose,
    classify_zero_shot,
    embed_rows,
    embed_texts,
    retrieve,
)

UNIT = np.eye(8, dtype="float32")


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path / "records", tmp_path / "features", Clips(4, (24, 24)))


@pytest.fixture
def known(monkeypatch):
    """known(video_vector, text_vector): functions of a row and of a text stand for the model."""

    def use(video_vector, text_vector, missing=()):
        def embed(model, rows, place):
            kept = [row for row in dict.fromkeys(rows) if row.name not in missing]
            return np.stack([video_vector(row) for row in kept]), Stored(kept, [])

        def texts(model, found, long_texts="truncate"):
            return np.stack([text_vector(text) for text in found]), 0

        monkeypatch.setattr(module, "embed_rows", embed)
        monkeypatch.setattr(module, "embed_texts", texts)
        monkeypatch.setattr(
            module, "class_vectors", lambda model, classes, templates: texts(model, classes)[0]
        )

    return use


def number(text):
    return int("".join(letter for letter in text if letter.isdigit())[-1])


def test_retrieval_with_several_captions(copies, known):
    """VATEX: each video has two captions with its number in them."""
    _, found = load_task("vatex", copies("vatex"))
    known(lambda row: UNIT[number(row.captions[0])], lambda text: UNIT[number(f"0{text}")])
    outcome = retrieve(None, found, None, "truncate")
    assert outcome.metrics["text_to_video_r1"] == outcome.metrics["video_to_text_r1"] == 1.0
    assert outcome.notes["texts"] == 12 and outcome.num_examples == 6
    assert outcome.metrics["chance_text_to_video_r5"] == pytest.approx(5 / 6)
    # One of the two captions of each video is another video's.
    known(
        lambda row: UNIT[number(row.captions[0])],
        lambda text: UNIT[(number(text) + ("moves" in text)) % 6],
    )
    outcome = retrieve(None, found, None, "truncate")
    assert outcome.metrics["text_to_video_r1"] == 0.5
    assert outcome.metrics["video_to_text_r1"] == 0.0  # the other video's caption is as near
    known(lambda row: UNIT[0] * np.nan, lambda text: UNIT[0])
    with pytest.raises(ValueError, match="finite"):
        retrieve(None, found, None, "truncate")


def test_zero_shot_classes(copies, known):
    _, found = load_task("k400_zero_shot", copies("k400_zero_shot"))
    vectors = dict(zip(found.classes, UNIT, strict=False))
    known(lambda row: UNIT[row.labels[0]], vectors.__getitem__)
    outcome = classify_zero_shot(None, found, None, "video", multi_label=False)
    assert outcome.metrics["top1"] == outcome.metrics["map"] == 1.0
    assert outcome.metrics["chance_top1"] == pytest.approx(1 / 3)
    assert outcome.labels.tolist() == [0, 0, 1, 1, 2, 2] and outcome.scores.shape == (6, 3)
    known(lambda row: UNIT[(row.labels[0] + 1) % 3], vectors.__getitem__)
    outcome = classify_zero_shot(None, found, None, "video", multi_label=False)
    assert outcome.metrics["top1"] == 0.0 and outcome.metrics["top5"] == 1.0
    only = found._replace(test=found.test[:4])
    outcome = classify_zero_shot(None, only, None, "video", multi_label=False)
    assert outcome.notes["classes without a clip"] == ["red"]


def test_zero_shot_with_several_classes(copies, known):
    """Charades: the first of the classes of each video is found, not the second."""
    from sklearn.metrics import average_precision_score

    task, found = load_task("charades_zero_shot", copies("charades_zero_shot"))
    vectors = dict(zip(found.classes, UNIT, strict=False))
    known(lambda row: UNIT[row.labels[0]], vectors.__getitem__)
    outcome = classify_zero_shot(None, found, None, "video", task.multi_label)
    hot = np.array([np.isin(range(3), row.labels) for row in found.test])
    scores = np.array([UNIT[row.labels[0], :3] for row in found.test])
    expected = average_precision_score(hot, scores, average="macro")
    assert outcome.metrics["map"] == pytest.approx(expected) and expected < 1
    assert outcome.metrics["chance_map"] == pytest.approx(hot.mean())
    assert "top1" not in outcome.metrics


def test_choices(copies, known):
    _, found = load_task("nextqa_atp_hard", copies("nextqa_atp_hard"))
    colours = ("blue", "green", "red", "black", "white")
    right = {"4000.mp4": 0, "4001.mp4": 1, "4002.mp4": 2}

    def vector(text):
        assert text.startswith(("which colour is it ", "what does it look like "))
        return UNIT[colours.index(text.split()[-1])]

    known(lambda row: UNIT[right[row.name]], vector)
    outcome = choose(None, found, None, "truncate")
    assert outcome.metrics == {"accuracy": 1.0, "chance_accuracy": 0.2}
    assert outcome.num_examples == 4 and outcome.notes["questions without their clip"] == 0
    known(lambda row: UNIT[0], vector, missing=["4002.mp4"])  # always the first choice
    outcome = choose(None, found, None, "truncate")
    assert outcome.metrics["accuracy"] == pytest.approx(2 / 3)
    assert outcome.num_examples == 3 and outcome.notes["questions without their clip"] == 1


def test_sentences_of_one_video_are_choices(copies, known):
    """Charades-STA: both moments of a video choose its first sentence."""
    _, found = load_task("charades_sta", copies("charades_sta"))
    known(lambda row: UNIT[0], lambda text: UNIT[0 if "square" in text else 1])
    outcome = choose(None, found, None, "truncate")
    assert outcome.metrics == {"accuracy": 0.5, "chance_accuracy": 0.5}


def test_videos_and_texts_of_a_model(copies, text_tower, place):
    _, found = load_task("msrvtt_1ka", copies("msrvtt_1ka"))
    vectors, stored = embed_rows(text_tower, found.test, place)
    assert len(stored.rows) == 6 and vectors.shape == (6, 16)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    texts = [row.captions[0] for row in stored.rows]
    found, num_long = embed_texts(text_tower, texts)
    expected = np.asarray(text_tower.encode_text(texts))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert num_long == sum(text_tower.tokenizer.lengths(texts) > 16)


def test_long_texts(text_tower):
    tokenizer = text_tower.tokenizer
    short = "a red square"
    long = " ".join(f"{word} moves" for word in ("one", "two", "three", "four", "five"))
    assert tokenizer.lengths([short])[0] <= 16 < tokenizer.lengths([long])[0]
    cut, number_cut = embed_texts(text_tower, [short, long])
    mean, number_mean = embed_texts(text_tower, [short, long], "mean")
    assert number_cut == number_mean == 1
    np.testing.assert_allclose(cut[0], mean[0], atol=1e-5)
    np.testing.assert_allclose(cut[1], np.asarray(text_tower.encode_text([long]))[0], atol=1e-5)
    assert np.abs(cut[1] - mean[1]).max() > 1e-3
    np.testing.assert_allclose(np.linalg.norm(mean, axis=1), 1.0, atol=1e-5)
    parts = module._parts(text_tower, long)
    assert " ".join(parts) == long and (tokenizer.lengths(parts) <= 16).all()


def test_wrong_texts(text_tower, monkeypatch):
    with pytest.raises(ValueError, match="long_texts must be one of"):
        embed_texts(text_tower, ["a"], "cut")
    with pytest.raises(ValueError, match="there is no text"):
        embed_texts(text_tower, [])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_tower, "tokenizer", None)
        with pytest.raises(ValueError, match="need a model with a tokenizer"):
            embed_texts(text_tower, ["a"])
