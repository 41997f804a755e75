import json

import numpy as np
import pytest

from keras_videoprism import presets
from keras_videoprism.commands.evaluate import run, segments
from keras_videoprism.commands.evaluate.encode import FrozenModel
from keras_videoprism.commands.evaluate.outcome import Outcome
from keras_videoprism.commands.evaluate.run import LANGUAGE, ZERO_SHOT, evaluate, paper_rows
from keras_videoprism.commands.evaluate.tasks import TASKS
from keras_videoprism.heads import PerceiverResampler, VideoCaptioner
from keras_videoprism.models import VideoPrismLvT

SMALL = {"epochs": 1, "batch_size": 4}
NUM_EXAMPLES = {
    "ava": 5,  # one is excluded by the data set
    "ava_kinetics": 12,  # one of them without a box
    "nextqa_atp_hard": 4,
    "fly_vs_fly": 4,
    "calms21": 4,
    "crim13_side": 4,
    "crim13_top": 4,
    "chimpact": 4,
}


class Guess:
    """Stands in for G-TAD, which compiles for long: every segment is as good as every other."""

    def __init__(self, feature_dim, temporal_scale, **options):
        self.scale = temporal_scale

    def compile(self, optimizer):
        pass

    def fit(self, batch, **options):
        assert batch["features"].shape[1] == self.scale

    def predict(self, features, **options):
        n, t = features.shape[:2]
        ones = np.ones((n, t), "float32")
        return {"map": np.ones((n, 2, t, t), "float32"), "start": ones, "end": ones}


@pytest.mark.parametrize("task", TASKS)
def test_every_task_from_files_to_number(
    task, copies, models, speech, wordnet, see_colours, tmp_path, monkeypatch
):
    monkeypatch.setattr(run, "write_result_page", lambda *arguments, **options: None)
    monkeypatch.setattr(segments, "TemporalDetector", Guess)
    definition = TASKS[task]
    preset, options = ("text", {}) if definition.kind in ZERO_SHOT else ("video", SMALL)
    if task == "nextqa_open":
        pytest.importorskip("nltk")
    if definition.kind in LANGUAGE:
        options = speech | ({"wordnet": wordnet} if task == "nextqa_open" else {})
    result = evaluate(task, copies(task), preset, tmp_path, **options)
    assert result == json.loads((tmp_path / "result.json").read_text())
    assert result["num_examples"] == NUM_EXAMPLES.get(task, 6) and result["excluded"] == []
    assert result["headline"] in result["metrics"]
    assert any(name.startswith("chance") for name in result["metrics"])
    assert all(0 <= value <= 1 for value in result["metrics"].values())
    assert (tmp_path / "answers.jsonl").exists() == (definition.kind in LANGUAGE)


def test_all_but_the_demo_have_a_number_of_the_paper():
    without = {task for task, row in TASKS.items() if not paper_rows(task, row.headline)}
    assert without == {task for task in TASKS if task.startswith("demo")}
    rows = paper_rows("k400", "top1")
    expected = {"method": "frozen", "model": "VideoPrism-B", "value": 84.2, "source": "Table 2"}
    assert expected in rows
    assert len({tuple(row.items()) for row in rows}) == len(rows)


def test_frozen_with_views_its_page_and_another_head(copies, models, tmp_path, monkeypatch):
    """The second head does not encode again."""
    work, options = tmp_path / "work", {**SMALL, "views": (2, 3)}
    result = evaluate("k400", copies("k400"), "video", tmp_path, work=work, **options)
    page = (tmp_path / "result.html").read_text()
    assert "Kinetics-400" in page and "Table 2" in page
    settings = result["settings"]
    assert settings["views"] == "(2, 3)" and settings["epochs"] == "1"
    assert settings["learning rates and weight decays"] == "[(0.0001, 1e-05)]"
    assert result["method"] == "frozen" and result["preset"] == "video"
    folders = sorted(path.name for path in (work / "k400" / "features-video").iterdir())
    assert folders == ["test-tokens-2x3", "train-tokens"]

    monkeypatch.setattr(FrozenModel, "predict_on_batch", None)
    options |= {"work": work, "variant": "released", "learning_rates": [1e-2]}
    result = evaluate("k400", copies("k400"), "video", tmp_path / "second", **options)
    assert result["settings"]["variant"] == "released"
    assert "0.01" in result["settings"]["learning rates and weight decays"]
    options |= {"variant": "paper", "method": "mlap"}
    with pytest.raises(TypeError):  # the features of the other method are not there
        evaluate("k400", copies("k400"), "video", tmp_path / "third", **options)


@pytest.mark.parametrize(("task", "method"), [("mit", "finetune"), ("ava", "adapter")])
def test_training_through_the_encoder(task, method, copies, new_models, tmp_path):
    """Of one class each, and with boxes."""
    options = {"method": method, "views": (1, 2), "num_frames": 2}
    result = evaluate(task, copies(task), "video", tmp_path, **SMALL, **options)
    assert result["num_examples"] == NUM_EXAMPLES.get(task, 6)
    assert 0 <= result["metrics"][TASKS[task].headline] <= 1
    assert not list((tmp_path / "work").rglob("features.json"))


def test_a_random_encoder_is_named(copies, new_models, tmp_path, monkeypatch):
    places = []

    def classify(encoder, task, found, place, training):
        places.append(place)
        return Outcome({"top1": 0.0}, 6, [])

    monkeypatch.setitem(run.ADAPTED, "classify", classify)
    for seed in (0, 1):  # each has features of its own, and the records in common
        options = {"random_encoder": True, "seed": seed}
        result = evaluate("mit", copies("mit"), "video", tmp_path, **options)
        assert result["preset"] == f"video (random weights, seed {seed})"
    assert places[0].features != places[1].features and places[0].records == places[1].records


@pytest.mark.parametrize(
    ("task", "preset", "options", "message"),
    [
        ("mit", "video", {"method": "linear"}, "method must be one of .*received 'linear'"),
        ("mit", "video", {"epoch": 1}, r"a recipe has no \['epoch'\]"),
        ("mit", "video", {"epochs": 0}, "needs positive epochs"),
        ("mit", "video", {"variant": "new"}, "variant must be one of"),
        ("mit", "video", {"method": "finetune", "learning_rates": [1, 2]}, "trains on videos here"),
        ("mit", "video", {"through_encoder": True, "weight_decays": [1, 2]}, "trains on videos"),
        ("msrvtt", "video", {}, "needs a model with a text tower.*video is a VideoPrism"),
        ("msrvtt", "text", {"method": "mlap"}, "nothing is trained; leave out"),
        ("msrvtt", "text", {"long_texts": "cut"}, "long_texts must be one of"),
        ("k400_zero_shot", "text", {"prompts": "none"}, "templates must be a list or one of"),
        ("activitynet", "video", {"method": "adapter"}, "method must be one of .*'adapter'"),
        ("activitynet", "video", {"through_encoder": True}, "on cached features"),
        ("activitynet", "video", {"learning_rates": [1, 2]}, "give one learning rate"),
        ("msvd_qa", "video", {}, r"\['language_model', 'resampler'\] are missing"),
        ("mit", "video", {"max_tokens": 3}, "has no use for"),
    ],
)
def test_wrong_calls_compute_nothing(task, preset, options, message, copies, models, tmp_path):
    with pytest.raises(ValueError, match=message):
        evaluate(task, copies(task), preset, tmp_path, **options)
    assert not list(tmp_path.rglob("*.npy"))


@pytest.mark.parametrize(
    ("task", "options", "message"),
    [
        ("msvd_qa", {"method": "mlap"}, "nothing is trained; leave out"),
        ("msvd_qa", {"max_tokens": 200}, "220 of the model's context"),
        ("msrvtt_captions", {"prompt": 230 * "a"}, "220 of the model's context"),
        ("msvd_qa", {"vocabulary": [4]}, "of 4 answers .* there are 3"),
        ("k400", {}, "Kinetics-400 has no use for"),
    ],
)
def test_wrong_calls_of_a_language_model(task, options, message, copies, models, speech, tmp_path):
    with pytest.raises(ValueError, match=message):
        evaluate(task, copies(task), "video", tmp_path, **{**speech, **options})
    assert not list(tmp_path.rglob("*.npy"))


def test_a_resampler_of_another_encoder(copies, models, speech, captioner, tmp_path):
    resampler = PerceiverResampler(8, num_latents=3, num_heads=2, head_dim=4)
    other = VideoCaptioner(None, captioner.prompts.language_model, resampler)
    other.build_resampler(10)
    other.save(tmp_path / "other.keras")
    options = {**speech, "resampler": tmp_path / "other.keras"}
    with pytest.raises(ValueError, match="width 10; received 16"):
        evaluate("msvd_qa", copies("msvd_qa"), "video", tmp_path, **options)


def test_another_vocabulary_costs_no_encoder(copies, models, speech, tmp_path, monkeypatch):
    """From files to the page; the rows of Table 21 with a closed vocabulary."""
    found = {}
    for options in ({"vocabulary": [1, 3]}, {"vocabulary": [3], "shots": 0}):
        result = evaluate("msvd_qa", copies("msvd_qa"), "video", tmp_path, **speech, **options)
        found[result["method"]] = result
        monkeypatch.setattr(FrozenModel, "predict_on_batch", None)
    assert [*found] == ["2_shot_closed", "0_shot_closed"]
    assert "{1: " in found["2_shot_closed"]["settings"]["validation accuracy (%) of each size"]
    paper = {(row["method"], row["value"]) for row in result["paper"]}
    assert paper >= {("2_shot_open", 36.7), ("0_shot_closed", 43.2), ("2_shot_closed", 47.1)}
    page = (tmp_path / "result.html").read_text()
    assert "Best answers" in page and "Asked: which colour has square 0? Right: blue." in page
    lines = (tmp_path / "answers.jsonl").read_text().splitlines()
    assert len(lines) == 6 and json.loads(lines[0])["references"] == ["blue"]


def test_a_tower_without_tokenizer_is_refused(copies, text_tower, tmp_path, monkeypatch):
    config = text_tower.get_config()
    bare = VideoPrismLvT.from_config(config)
    monkeypatch.setattr(presets, "from_preset", lambda preset, load_weights: bare)
    bare.tokenizer = None
    with pytest.raises(ValueError, match="needs a tokenizer, which text lacks"):
        evaluate("msrvtt", copies("msrvtt"), "text", tmp_path)


def test_thumbnails_of_files_that_have_gone_are_black(
    copy, models, see_colours, tmp_path, monkeypatch
):
    folder = copy("diving48")

    thumbnails = []

    def page(path, result, *, frames_of, **options):
        thumbnails.extend(frames_of([0]))
        for video in (folder / "videos").iterdir():
            video.unlink()
        thumbnails.extend(frames_of([0, 2]))

    monkeypatch.setattr(run, "write_result_page", page)
    evaluate("diving48", folder, "video", tmp_path / "out", **SMALL)
    assert [frames.shape[1:] for frames in thumbnails] == [(96, 96, 3)] * 3
    assert [bool(frames.any()) for frames in thumbnails] == [True, False, False]
