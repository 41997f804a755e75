"""What a run is, written down before it starts: run.json."""

import importlib.metadata
import json
import platform
import shutil
import subprocess
from datetime import datetime
from pathlib import Path
from typing import Any

import keras

from keras_videoprism.data.atomic import atomic_path
from keras_videoprism.training.devices import device_names

SOURCE = Path(__file__).parents[2]
PACKAGES = ("keras-videoprism", "keras", "jax", "tensorflow", "torch", "numpy")
GIT_SECONDS = 10


def write_run(folder: str | Path, arguments: dict[str, Any]) -> Path:
    """Write run.json into a folder, which is made.

    Args:
        folder: where the run keeps its files.
        arguments: of the run; what JSON cannot hold becomes its text.

    Returns:
        The file. It holds `arguments`, `versions` of Python and the packages that are installed,
        `backend`, `devices`, `git` (see `git_state`) and the `time`.
    """
    run = {
        "arguments": arguments,
        "versions": versions(),
        "backend": keras.config.backend(),
        "devices": device_names(),
        "git": git_state(SOURCE),
        "time": datetime.now().astimezone().isoformat(timespec="seconds"),
    }
    path = Path(folder) / "run.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(run, indent=1, default=str) + "\n", encoding="utf-8")
    return path


def versions() -> dict[str, str]:
    """Of Python and of the installed ones among `PACKAGES`."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def git_state(folder: Path) -> dict[str, Any] | None:
    """Commit of a repository's top folder, and whether files differ from it.

    None where the folder is not one (an installed package), or git is missing or does not answer.
    """
    if not (folder / ".git").exists():
        return None
    commit, changes = _git(folder, "rev-parse", "HEAD"), _git(folder, "status", "--porcelain")
    if commit is None or changes is None:
        return None
    return {"commit": commit, "dirty": bool(changes)}


def _git(folder: Path, *arguments: str) -> str | None:
    git = shutil.which("git")
    if git is None:
        return None
    try:
        done = subprocess.run(  # noqa: S603
            [git, *arguments],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=GIT_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
