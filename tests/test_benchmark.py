"""Structure of the benchmark at toy size; times are never asserted."""

import json
import sys
from argparse import Namespace
from pathlib import Path
from types import ModuleType

import pytest

TOOLS = Path(__file__).parents[1] / "tools"
WIDTH = 64
TOY = Namespace(
    width=WIDTH,
    spatial_layers=1,
    temporal_layers=1,
    auxiliary_layers=0,
    text_layers=1,
    frames=4,
    size=36,
    batch=2,
    steps=1,
)


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(TOOLS)
    import benchmark

    return benchmark


@pytest.fixture
def sides(benchmark: ModuleType) -> ModuleType:
    import benchmark_sides

    return benchmark_sides


def fake_measures(benchmark: ModuleType, stage: str) -> dict[str, dict]:
    """The first side takes one second a step and ten to compile, the second two and twenty, ..."""
    return {
        side: {
            "step_seconds": float(number),
            "compile_seconds": 10.0 * number,
            "peak_bytes": None,
            "parameters": 5,
        }
        for number, side in enumerate(benchmark.SIDES[stage], start=1)
    }


def test_every_side_and_ratio_is_defined(benchmark, sides):
    named = [side for stage in benchmark.SIDES.values() for side in stage]
    assert sorted(named) == sorted(sides.SIDES)
    for stage, compared in benchmark.RATIOS.items():
        assert {r.numerator for r in compared} | {r.denominator for r in compared} == set(
            benchmark.SIDES[stage]
        )


def test_ratios_divide_numerator_by_denominator(benchmark):
    values = [
        row["value"] for row in benchmark.ratios("stage1", fake_measures(benchmark, "stage1"))
    ]
    assert values == [2.0, 3.0, 1.5, 1 / 3, 2 / 3]


def test_sides_of_a_stage_have_the_same_size(benchmark, sides):
    parameters = {name: side(TOY).count_params() for name, side in sides.SIDES.items()}
    assert parameters[benchmark.HALF] == parameters[benchmark.DENSE]
    assert parameters[benchmark.FLAT] == parameters[benchmark.BLOCKS]
    assert parameters[benchmark.FLAT] == parameters[benchmark.UNMASKED]
    # KerasHub normalises the text twice; our model counts its steps and the skipped ones.
    assert parameters[benchmark.KERAS_HUB] + 2 == parameters[benchmark.HALF] + 2 * WIDTH


def test_measure_trains_a_side(benchmark, sides):
    measured = benchmark.measure(benchmark.HALF, TOY)
    first, second = measured["all_step_seconds"]
    assert measured["step_seconds"] == second
    assert measured["compile_seconds"] == first - second
    assert measured["parameters"] == sides.SIDES[benchmark.HALF](TOY).count_params()


@pytest.mark.parametrize("stage", ["stage1", "stage2"])
def test_main_prints_tables_and_writes_json(benchmark, stage, tmp_path, monkeypatch, capsys):
    fake = fake_measures(benchmark, stage)
    monkeypatch.setattr(benchmark, "measure_all", lambda *_: fake)
    output = tmp_path / "numbers.json"
    monkeypatch.setattr(sys, "argv", ["benchmark.py", stage, "--output", str(output)])
    benchmark.main()
    printed = capsys.readouterr().out
    report = json.loads(output.read_text(encoding="utf-8"))
    assert report["sides"] == fake
    assert report["ratios"] == benchmark.ratios(stage, fake)
    assert report["sizes"]["width"] == 384
    assert all(f"{row['value']:.2f}" in printed for row in report["ratios"])
