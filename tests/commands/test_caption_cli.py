import argparse
import functools
import inspect
from collections.abc import Callable
from pathlib import Path

import pytest

from keras_videoprism.commands import caption, train_captioner
from keras_videoprism.commands.caption_cli import add_commands
from keras_videoprism.data.video import VideoError

TRAIN = train_captioner.train_captioner
PARTS = ["--preset", "p", "--language-model", "l", "--resampler", "r.keras"]


@pytest.fixture
def call(monkeypatch) -> Callable[..., int]:
    """call(*arguments): exit status. The functions are replaced by those that show what they got.

    The file "bad" cannot be read.
    """

    def caption_files(parts, files, *options):
        assert [str(part) for part in parts] == ["p", "l", "r.keras"]
        found = [(file, str(options[:3])) for file in files if file != "bad"]
        return found, [(file, "no video") for file in files if file == "bad"]

    def ask(parts, file, question, **options):
        if file == "bad":
            raise VideoError("bad: no video")
        return f"{question} {options}"

    monkeypatch.setattr(caption, "load_captioner", lambda *parts: parts)
    monkeypatch.setattr(caption, "caption_files", caption_files)
    monkeypatch.setattr(caption, "ask", ask)
    parser = argparse.ArgumentParser()
    add_commands(parser.add_subparsers())

    def run(*arguments: str) -> int:
        options = parser.parse_args([*arguments, *PARTS])
        return options.run(options)

    return run


def test_caption(call, capsys):
    assert call("caption", "a.mp4", "b.mp4", "--prompt", "see", "--beams", "3") == 0
    assert capsys.readouterr().out == "a.mp4\t('see', 3, 32)\nb.mp4\t('see', 3, 32)\n"


def test_files_that_fail(call, capsys):
    assert call("caption", "a.mp4", "bad", "--max-tokens", "5") == 1
    output = capsys.readouterr()
    assert output.out == "a.mp4\t('', 1, 5)\n" and "  bad: no video" in output.err
    assert call("ask", "bad", "who?") == 1
    assert "  bad: no video" in capsys.readouterr().err


def test_ask(call, capsys):
    assert call("ask", "a.mp4", "who?", "--candidates", "cat", "dog") == 0
    assert capsys.readouterr().out == "who? {'candidates': ['cat', 'dog'], 'max_tokens': 32}\n"


def test_train_captioner(monkeypatch):
    """Every argument of the function is an option, with the same default."""
    found = []
    monkeypatch.setattr(train_captioner, "train_captioner", with_signature(found))
    parser = argparse.ArgumentParser()
    add_commands(parser.add_subparsers())
    call = "train-captioner a b --preset p --language-model l --output o --steps 3 --frames 8 1"
    options = parser.parse_args([*call.split(), "--layers", "2"])
    assert options.run(options) == 0
    given = {"records": ["a", "b"], "preset": "p", "language_model": "l", "output": Path("o")}
    defaults = inspect.signature(with_signature([])).parameters.values()
    expected = {p.name: p.default for p in defaults if p.default is not p.empty}
    assert found == [{**expected, **given, "steps": 3, "frames": [8, 1], "num_layers": 2}]


def with_signature(found: list) -> Callable[..., None]:
    """A function with the arguments of `train_captioner` that notes them."""

    @functools.wraps(TRAIN)
    def note(**arguments):
        found.append(arguments)

    return note
