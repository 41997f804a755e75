"""The command line of `evaluate`; what the commands do is tested where it is done."""

import inspect

import pytest

from keras_videoprism.__main__ import main
from keras_videoprism.commands.evaluate import run
from keras_videoprism.commands.evaluate.cli import NEEDS
from keras_videoprism.commands.evaluate.tasks import TASKS

RESULT = {
    "title": "Kinetics-400",
    "method": "frozen",
    "preset": "videoprism_b",
    "metrics": {"top1": 0.829, "chance_top1": 0.0025},
    "headline": "top1",
    "paper": [
        {"method": "frozen", "model": "VideoPrism-B", "value": 84.2, "source": "Table 2"},
    ],
    "excluded": [],
}
MISSING = {"reason": "the video is missing", "count": 7, "examples": ["a.mp4", "b.mp4"]}


@pytest.fixture()
def calls(monkeypatch):
    """Arguments of the calls of `evaluate`; what it returns is `calls.result`."""

    class Calls(list):
        result = RESULT

    found = Calls()

    def evaluate(**arguments):
        found.append(arguments)
        return found.result

    evaluate.__signature__ = inspect.signature(run.evaluate)
    monkeypatch.setattr(run, "evaluate", evaluate)
    return found


def test_evaluate_passes_on_what_is_given_and_prints_both_numbers(calls, tmp_path, capsys):
    options = ["--data", "d", "--preset", "videoprism_b", "--output", str(tmp_path)]
    assert main(["evaluate", "k400", *options, "--views", "4", "3", "--learning-rates", "0.1"]) == 0
    (given,) = calls
    assert given.pop("output") == tmp_path
    expected = {"task": "k400", "data": "d", "preset": "videoprism_b", "views": (4, 3)}
    assert given == {**expected, "learning_rates": [0.1]}
    printed = capsys.readouterr().out
    assert "top1: 82.9 %" in printed and "VideoPrism-B, frozen: 84.2 % (Table 2)" in printed


def test_what_was_left_out_is_listed_and_fails(calls, tmp_path, capsys):
    calls.result = {**RESULT, "excluded": [MISSING]}
    options = ["--data", "d", "--preset", "p", "--output", str(tmp_path), "--through-encoder"]
    assert main(["evaluate", "k400", *options]) == 1
    assert calls[0]["through_encoder"] is True
    printed = capsys.readouterr().out
    assert "left out: 7, the video is missing, such as ['a.mp4', 'b.mp4']" in printed


def test_options_of_a_language_model(calls, tmp_path, capsys):
    metrics = {"cider": 0.403, "bleu4": 0.2}
    paper = [{"method": "zero_shot", "model": "M", "value": 40.3, "source": "Table 5"}]
    calls.result = {**RESULT, "metrics": metrics, "headline": "cider", "paper": paper}
    options = ["--data", "d", "--preset", "p", "--output", str(tmp_path)]
    options += ["--language-model", "l", "--resampler", "r.keras", "--beams", "3", "--shots", "0"]
    options += ["--vocabulary", "100", "250", "--prompt", "see", "--prompts", "video"]
    assert main(["evaluate", "msrvtt_captions", *options]) == 0
    expected = {"language_model": "l", "resampler": "r.keras", "num_beams": 3, "shots": 0}
    expected |= {"vocabulary": [100, 250], "prompt": "see", "prompts": "video"}
    assert calls[0].items() >= expected.items() and "max_tokens" not in calls[0]
    printed = capsys.readouterr().out
    assert "cider: 40.3\n" in printed and "bleu4: 20.0 %" in printed
    assert "cider of M, zero_shot: 40.3 (Table 5)" in printed


def test_list_tasks_names_all_of_them(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["list-tasks"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in TASKS) and "Diving48_vocab.json" in printed
    assert {task.kind for task in TASKS.values()} == NEEDS.keys()
    assert printed.count("language model") == 6
