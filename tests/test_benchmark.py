"""Structure of the benchmark at toy size; times are never asserted."""

import json
import sys
from argparse import Namespace
from pathlib import Path
from types import ModuleType

import numpy as np
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
    dtype="float32",
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
            "peak_bytes": 10**9 * number,
            "parameters": 5,
            "clips_per_second": float(number),
            "flops_per_second": 1e9 / number,
            "steps_per_second": float(number),
        }
        for number, side in enumerate(benchmark.SIDES[stage], start=1)
    }


def test_every_side_and_ratio_is_defined(benchmark, sides):
    named = [side for stage in ("stage1", "stage2", "memory") for side in benchmark.SIDES[stage]]
    assert sorted(named) == sorted(sides.SIDES)
    for stage, compared in benchmark.RATIOS.items():
        named = {r.numerator for r in compared} | {r.denominator for r in compared}
        assert named | {benchmark.TRAINING} == {*benchmark.SIDES[stage], benchmark.TRAINING}


def test_ratios_divide_numerator_by_denominator(benchmark):
    values = [
        row["value"] for row in benchmark.ratios("stage1", fake_measures(benchmark, "stage1"))
    ]
    assert values == [3.0, 4.0, 4 / 3, 1 / 4, 3 / 4, 0.5]


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
    logged = benchmark.measure(benchmark.LOGGED, TOY)
    for row in (measured, logged):
        flops = row["flops_per_second"] * row["step_seconds"]
        assert flops == pytest.approx(measured["flops_per_second"] * measured["step_seconds"])


STAGES = ("stage1", "stage2", "memory", "forward", "reader", "writer", "lit", "probe")


@pytest.mark.parametrize("stage", STAGES)
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


@pytest.mark.parametrize("preset", ["videoprism_tiny", "videoprism_lvt_tiny"])
def test_forward_sides_give_one_answer(benchmark, preset):
    """All sides that run on this backend, and Transformers, see the same weights and clip."""
    import keras
    import numpy as np

    forward = benchmark.benchmark_forward
    sizes = Namespace(preset=preset, frames=8, size=40, steps=1)
    model = forward._our_model(sizes)
    expected = keras.tree.map_structure(np.asarray, forward.SIDES["ours, JAX"](model, sizes)())
    theirs = forward.SIDES["KerasHub, JAX"](model, sizes)()
    if preset == "videoprism_tiny":
        np.testing.assert_allclose(np.reshape(theirs, expected.shape), expected, atol=2e-5)
        pytest.importorskip("transformers")
        torch = forward.SIDES["Transformers, torch"](model, sizes)().last_hidden_state
        np.testing.assert_allclose(torch.numpy(), expected, atol=2e-5)
    else:
        video = theirs["vision_embeddings"]
        video = video / np.linalg.norm(video, axis=-1, keepdims=True)
        np.testing.assert_allclose(video, expected["video_embeddings"], atol=2e-5)


def test_forward_operations_of_the_base_model(benchmark, no_weights):
    """973 billion for 16 frames of 288 pixels: counted by XLA for the released model."""
    from keras_videoprism import VideoPrism

    with no_weights():
        model = VideoPrism()
    flops = benchmark.benchmark_forward.forward_flops(model, Namespace(frames=16, size=288))
    assert flops == pytest.approx(973e9, rel=2e-3)


DATA = Namespace(clips=3, frames=2, size=36, batch=2, steps=1)


@pytest.mark.parametrize("stage", ["reader", "writer"])
def test_sides_of_the_data(benchmark, stage, tmp_path, monkeypatch):
    data = benchmark.benchmark_data
    monkeypatch.setattr(data, "VIDEO_SECONDS", 1)
    monkeypatch.setattr(data, "VIDEO_SIZE", (36, 64))
    sizes = Namespace(**vars(DATA), folder=tmp_path)
    data.prepare(stage, sizes)
    for side in benchmark.SIDES[stage]:
        if side == data.TRAINING:
            continue  # compiles a model
        measured = data.measure(side, sizes)
        assert measured["clips_per_second"] > 0 and measured["peak_bytes"] > 10**7
    (video, *_) = sorted((tmp_path / "videos").iterdir())
    assert data.decode_all(video) == {"reader": 2, "writer": 30}[stage]


def test_share_of_a_training_step_that_waits(benchmark, tmp_path):
    measured = benchmark.benchmark_data.train(
        Namespace(folder=tmp_path), clips=4, batch_size=2, steps=1
    )
    assert 0 <= measured["waiting_share"] < 1 and measured["step_seconds"] > 0


def test_sides_with_cached_tokens(benchmark, tmp_path):
    data = benchmark.benchmark_data
    data.prepare_lit(tmp_path, clips=4)
    for cached in (False, True):
        measured = data.train_lit(Namespace(folder=tmp_path), cached, batch_size=2, steps=1)
        assert measured["steps_per_second"] == 1 / measured["step_seconds"]
    for cached in (False, True):
        measured = data.train_probe(Namespace(folder=tmp_path), cached, batch_size=2, epochs=1)
        assert measured["steps_per_second"] == 1 / measured["step_seconds"]


def test_sides_that_generate_give_as_many_tokens(benchmark):
    generate = benchmark.benchmark_generate
    small = {"vocabulary_size": 64, "num_layers": 2, "hidden_dim": 16, "intermediate_dim": 32}
    model = generate.language_model({**generate.GEMMA3_1B, **small, "head_dim": 8})
    said = generate.speak(model)()
    assert said.shape == (1, generate.ANSWER_TOKENS) and said.min() >= 0
    whole = generate.continue_text(model)()
    known = generate.NUM_LATENTS + generate.PROMPT_TOKENS
    assert whole.shape == (1, known + generate.ANSWER_TOKENS)
    np.testing.assert_array_equal(whole[0, :known], np.arange(1, known + 1))
