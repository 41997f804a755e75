"""Plans of tiny steps for 8 simulated devices; see plan_on_devices.py."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def planned(tmp_path_factory) -> tuple[dict[str, Any], dict[str, Any]]:
    """Contents of plan.json and steps.json."""
    folder = tmp_path_factory.mktemp("plan")
    script = Path(__file__).with_name("plan_on_devices.py")
    result = subprocess.run(
        [sys.executable, script, folder], capture_output=True, text=True, timeout=1200
    )
    assert result.returncode == 0, result.stderr
    return tuple(json.loads((folder / f"{name}.json").read_text()) for name in ("plan", "steps"))
