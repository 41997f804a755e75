"""The model side runs where TensorFlow is missing; only `keras_videoprism.data` needs it."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

# Stands before the import under test: every import of TensorFlow fails as if not installed.
BLOCK_TENSORFLOW = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("tensorflow", "tensorflow_text"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocker())
"""


def run_without_tensorflow(code: str) -> subprocess.CompletedProcess[str]:
    """Runs `code` in a new interpreter on the JAX backend, TensorFlow out of reach."""
    return subprocess.run(
        [sys.executable, "-c", BLOCK_TENSORFLOW + code],
        cwd=ROOT,
        env=os.environ | {"KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_the_blocker_blocks():
    assert "No module named 'tensorflow'" in run_without_tensorflow("import tensorflow").stderr


def test_models_training_and_evaluation_import():
    names = "kvp.VideoPrism, kvp.VideoPrismLvT, kvp.Stage1Model, kvp.Stage2Model"
    modules = "keras_videoprism.layers, keras_videoprism.evaluation"
    code = f"import {modules}; import keras_videoprism as kvp; {names}"
    result = run_without_tensorflow(code)
    assert result.returncode == 0, result.stderr
