"""A small version of what tools/measure_duplicates.py measures; times are never asserted."""

from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("sklearn")


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "tools")
    import measure_duplicates

    return measure_duplicates


def test_planted_copies_are_found_and_distinct_clips_stay(tool, tmp_path, capsys):
    result = tool.measure(60, 20, "videoprism_tiny", [30, 60], 0, tmp_path)
    for name in ("hashes alone", "hashes and videoprism_tiny"):
        found = result[name]
        assert found["found in all"] >= 19
        assert found["distinct removed"] == 0 and found["copies taken for others"] == 0
    tool.print_table(result)
    assert "cropped" in capsys.readouterr().out
    assert len(result["time of the search"]["ratios"]) == 1
