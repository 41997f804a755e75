import json
import shutil
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import keras
import pytest

from keras_videoprism.commands import run_record
from keras_videoprism.commands.run_record import git_state, versions, write_run

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="no git here")


@pytest.mark.backends
def test_a_run_says_what_it_is(tmp_path):
    path = write_run(tmp_path / "a" / "b", {"steps": 3, "output": Path("out")})
    assert path == tmp_path / "a" / "b" / "run.json"
    run = json.loads(path.read_text())
    assert run["arguments"] == {"steps": 3, "output": "out"}
    assert run["versions"]["keras"] == keras.__version__
    assert run["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert run["backend"] == keras.backend.backend() and run["devices"]
    assert datetime.now().astimezone() - datetime.fromisoformat(run["time"]) < timedelta(minutes=1)
    assert list(path.parent.iterdir()) == [path]


def test_versions_of_what_is_installed(monkeypatch):
    monkeypatch.setattr(run_record, "PACKAGES", ("numpy", "no-such-package"))
    assert versions().keys() == {"python", "numpy"}


@needs_git
def test_git_state(tmp_path):
    def git(*arguments: str) -> str:
        command = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", *arguments]
        done = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    assert git_state(tmp_path) is None
    git("init", "-q")
    assert git_state(tmp_path) is None  # without a commit
    (tmp_path / "file").write_text("1")
    git("add", "file")
    git("commit", "-q", "-m", "one")
    commit = git("rev-parse", "HEAD")
    assert git_state(tmp_path) == {"commit": commit, "dirty": False}
    (tmp_path / "file").write_text("2")
    assert git_state(tmp_path) == {"commit": commit, "dirty": True}
    (tmp_path / "folder").mkdir()
    assert git_state(tmp_path / "folder") is None  # a folder that somebody else's repository holds


@needs_git
@pytest.mark.parametrize("broken", ["missing", "slow"])
def test_git_that_does_not_answer(tmp_path, monkeypatch, broken):
    (tmp_path / ".git").mkdir()
    if broken == "missing":
        monkeypatch.setattr(shutil, "which", lambda name: None)
    else:
        git = tmp_path / "git"
        git.write_text("#!/bin/sh\nexec sleep 60\n")
        git.chmod(0o755)
        monkeypatch.setattr(shutil, "which", lambda name: str(git))
        monkeypatch.setattr(run_record, "GIT_SECONDS", 0.2)
    assert git_state(tmp_path) is None
