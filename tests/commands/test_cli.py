"""What all commands share; the commands themselves are called in tests/test_main.py."""

import argparse

import pytest

from keras_videoprism.commands.cli import DONE, SOME_FAILED, add_command, list_failed


def test_failures_are_listed_with_reasons(capsys):
    assert list_failed([]) == DONE
    assert capsys.readouterr().err == ""
    assert list_failed([("a.mp4", "no video"), ("b.mp4", "empty")]) == SOME_FAILED
    assert capsys.readouterr().err == "2 failed:\n  a.mp4: no video\n  b.mp4: empty\n"


def test_a_command_runs_its_function():
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    command = add_command(commands, "double", lambda options: 2 * options.number, "Double it.")
    command.add_argument("number", type=int)
    options = parser.parse_args(["double", "4"])
    assert options.run(options) == 8
    with pytest.raises(SystemExit):
        parser.parse_args(["half", "4"])
