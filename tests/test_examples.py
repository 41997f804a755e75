"""The fine-tuning examples run as they stand, from a folder of their own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from keras_videoprism import presets
from keras_videoprism.models import VideoClassifier, VideoPrismLvT

ROOT = Path(__file__).parents[1]
# `make demo` runs the demo's files: it trains for minutes.
EXAMPLES = {p.stem for p in (ROOT / "examples").glob("*.py") if not p.stem.startswith("demo")}
CALLS = [
    ("finetune_classification", "frozen", VideoClassifier),
    ("finetune_classification", "lora", VideoClassifier),
    ("finetune_retrieval", "full", VideoPrismLvT),
]


def test_every_example_is_called():
    assert {name for name, *_ in CALLS} == EXAMPLES


@pytest.mark.parametrize(("example", "tune", "cls"), CALLS)
def test_example(example: str, tune: str, cls: type, tmp_path: Path):
    result = subprocess.run(
        [sys.executable, str(ROOT / "examples" / f"{example}.py"), "--tune", tune],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    model = presets.from_preset(tmp_path / "finetuned")
    assert isinstance(model, cls)
    encoder = model.encoder if cls is VideoClassifier else model.video_encoder
    shipped = presets.from_preset(
        "videoprism_tiny" if cls is VideoClassifier else "videoprism_lvt_tiny"
    )
    before = getattr(shipped, "video_encoder", shipped).get_weights()
    changed = [(a != b).any() for a, b in zip(encoder.get_weights(), before, strict=True)]
    assert any(changed) == (tune != "frozen")
    if tune == "full":
        assert all(changed)
