"""Time training steps, the forward pass, and the data's way in and out against other ways.

    python tools/benchmark.py stage1
    python tools/benchmark.py stage2 --width 64 --spatial-layers 2 --temporal-layers 1 --steps 2
    python tools/benchmark.py memory --steps 1
    python tools/benchmark.py forward --preset videoprism_lvt_b --frames 16 --size 288 --steps 3
    python tools/benchmark.py reader --frames 16 --size 288
    python tools/benchmark.py writer --frames 16 --size 288
    python tools/benchmark.py lit
    python tools/benchmark.py probe
    python tools/benchmark.py generate --steps 2

Each side runs in a process of its own, one after the other, and compiles without a cache.
KERAS_BACKEND chooses the backend of the training steps (jax by default); the forward pass runs on
JAX, TensorFlow and torch.
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import benchmark_data
import benchmark_forward
import benchmark_generate
import numpy as np
from benchmark_data import (
    AUGMENTED,
    BARE_READER,
    BARE_WRITER,
    LIT_TOKENS,
    LIT_VIDEOS,
    MANY,
    PROBE_TOKENS,
    PROBE_VIDEOS,
    READER,
    TRAINING,
    WRITER,
)
from benchmark_forward import HUB_JAX, HUB_TENSORFLOW, OURS_JAX, OURS_TENSORFLOW, TRANSFORMERS
from rich.console import Console
from rich.table import Table

from keras_videoprism.data.atomic import atomic_path


class Ratio(NamedTuple):
    """One quantity of two sides: numerator / denominator, and what it must reach."""

    quantity: str
    numerator: str
    denominator: str
    reach: str = ""


HALF, DENSE, KERAS_HUB = (
    "stage 1, half of the tokens",
    "stage 1, all tokens",
    "KerasHub, all tokens",
)
LOGGED = "stage 1, half of the tokens, logged by fit"
ONE_BATCH, IN_PARTS, REMAT = "one batch", "8 batches in 8 parts", "remat"
FLAT, BLOCKS, UNMASKED = "stage 2, BEVT flat", "stage 2, BEVT blocks", "stage 2, all tokens"

SIDES = {
    "stage1": (HALF, LOGGED, DENSE, KERAS_HUB),
    "stage2": (FLAT, BLOCKS, UNMASKED),
    "memory": tuple(f"stage {n}, {side}" for n in (1, 2) for side in (ONE_BATCH, IN_PARTS, REMAT)),
    "forward": tuple(benchmark_forward.SIDES),
    "reader": (READER, AUGMENTED, BARE_READER, TRAINING),
    "writer": (WRITER, BARE_WRITER, MANY),
    "lit": (LIT_VIDEOS, LIT_TOKENS),
    "probe": (PROBE_VIDEOS, PROBE_TOKENS),
    "generate": benchmark_generate.SIDES,
}
RATIOS = {
    "stage1": (
        Ratio("step_seconds", DENSE, HALF, ">= 1.7 (ideal 2.0)"),
        Ratio("step_seconds", KERAS_HUB, HALF, ">= 2.0"),
        Ratio("step_seconds", KERAS_HUB, DENSE),  # the same work
        Ratio("compile_seconds", HALF, KERAS_HUB, "<= 0.5"),
        Ratio("compile_seconds", DENSE, KERAS_HUB),
        Ratio("flops_per_second", LOGGED, HALF, "0.95 to 1.05"),  # as of MFU, of one peak
    ),
    "stage2": (
        Ratio("step_seconds", UNMASKED, FLAT, ">= 1.5"),
        Ratio("step_seconds", UNMASKED, BLOCKS, ">= 1.5"),
    ),
    "memory": tuple(
        Ratio(quantity, f"stage {n}, {side}", f"stage {n}, {ONE_BATCH}", reach)
        for n in (1, 2)
        for quantity, side, reach in (
            ("peak_bytes", IN_PARTS, "<= 1.25"),
            ("peak_bytes", REMAT, ""),
            ("step_seconds", REMAT, ""),
        )
    ),
    "forward": (
        Ratio("step_seconds", OURS_JAX, HUB_JAX, "<= 0.95; LvT 0.70"),
        Ratio("step_seconds", OURS_TENSORFLOW, HUB_TENSORFLOW, "<= 0.60"),
        Ratio("step_seconds", OURS_JAX, TRANSFORMERS),
        Ratio("peak_bytes", OURS_JAX, HUB_JAX, "LvT <= 0.45"),
        Ratio("peak_bytes", OURS_TENSORFLOW, HUB_TENSORFLOW),
        Ratio("peak_bytes", OURS_JAX, TRANSFORMERS),
    ),
    "reader": (
        Ratio("clips_per_second", READER, BARE_READER, ">= 0.85"),
        Ratio("clips_per_second", AUGMENTED, BARE_READER),
    ),
    "writer": (
        Ratio("clips_per_second", MANY, BARE_WRITER, ">= 0.8"),
        Ratio("peak_bytes", MANY, WRITER, "<= 1.1"),
    ),
    "lit": (Ratio("steps_per_second", LIT_TOKENS, LIT_VIDEOS, ">= 3.0"),),
    "probe": (Ratio("steps_per_second", PROBE_TOKENS, PROBE_VIDEOS, ">= 20"),),
    "generate": tuple(
        Ratio(quantity, benchmark_generate.OURS, benchmark_generate.KERAS_HUB, reach)
        for quantity, reach in (("peak_bytes", "<= 1.1"), ("step_seconds", ""))
    ),
}


def measure(side: str, sizes: argparse.Namespace) -> dict[str, Any]:
    """Builds and trains one side in this process; seconds of its steps and bytes at its peak."""
    import benchmark_sides
    import keras

    keras.config.set_dtype_policy(sizes.dtype)
    model = benchmark_sides.SIDES[side](sizes)
    batch = benchmark_sides.random_batch(sizes, getattr(model, "num_micro_batches", 1))
    if side == LOGGED:
        return {**benchmark_sides.logged(model, batch, sizes.steps), "peak_bytes": peak_bytes()}

    first = next(weight for weight in model.trainable_variables if len(weight.shape) > 1)

    def step() -> np.ndarray:
        model.train_on_batch(batch)
        return keras.ops.convert_to_numpy(first)  # waits for a gradient, not for the loss alone

    measured = time_steps(step, sizes.steps)
    measured["parameters"] = model.count_params()
    if side != KERAS_HUB:
        from keras_videoprism.training.flops import step_work

        flops = step_work(model, batch).flops
        measured["flops_per_second"] = flops / measured["step_seconds"]
    return measured


def time_steps(run: Callable[[], Any], steps: int) -> dict[str, Any]:
    """Call `run` once, which compiles it, and then `steps` times."""
    seconds = []
    for _ in range(1 + steps):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    step = statistics.median(seconds[1:])
    return {
        "step_seconds": step,
        "compile_seconds": seconds[0] - step,
        "all_step_seconds": seconds,
        "peak_bytes": peak_bytes(),
    }


def peak_bytes(children: bool = False) -> int | None:
    """Most memory that this process ever held, or None where the system does not tell.

    With `children`, and the one that held most of those that have ended.
    """
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if children:
        peak += resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def measure_all(stage: str, sizes: argparse.Namespace, console: Console) -> dict[str, dict]:
    """`measure` of every side of a stage, each in a fresh process.

    Reading and writing take turns, and the median turn counts: they last too shortly for a machine
    that does other things too.
    """
    os.environ.setdefault("KERAS_BACKEND", "jax")
    os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"
    measured: dict[str, dict] = {}
    turns: dict[str, list[dict]] = {}
    run = {
        "forward": benchmark_forward.measure,
        "reader": benchmark_data.measure,
        "writer": benchmark_data.measure,
        "lit": benchmark_data.measure,
        "probe": benchmark_data.measure,
        "generate": benchmark_generate.measure,
    }.get(stage, measure)
    sides = (benchmark_forward.PEAK, *SIDES[stage]) if stage == "forward" else SIDES[stage]
    with (
        TemporaryDirectory() as sizes.folder,
        ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool,
    ):
        if run is benchmark_data.measure:
            with console.status("making the files"):
                pool.submit(benchmark_data.prepare, stage, sizes).result()
        for side in sides * (benchmark_data.TURNS if run is benchmark_data.measure else 1):
            if side in measured and side in benchmark_data.ONCE:
                continue
            with console.status(f"measuring: {side}"):
                turns.setdefault(side, []).append(pool.submit(run, side, sizes).result())
            rows = sorted(turns[side], key=lambda row: row.get("step_seconds", 0.0))
            measured[side] = rows[len(rows) // 2]
    if stage == "forward":
        peak = measured.pop(benchmark_forward.PEAK)["flops_per_second"]
        for row in measured.values():
            row["share_of_peak"] = row["flops"] / row["step_seconds"] / peak
            row["clips_per_second"] = 1 / row["step_seconds"]
    return measured


def ratios(stage: str, measured: dict[str, dict]) -> list[dict[str, Any]]:
    """The comparisons of a stage with their values."""
    return [
        {
            **ratio._asdict(),
            "value": measured[ratio.numerator][ratio.quantity]
            / measured[ratio.denominator][ratio.quantity],
        }
        for ratio in RATIOS[stage]
    ]


# Header, key of a measurement, format; a column is left out where no side has it.
COLUMNS = (
    ("s / step", "step_seconds", "{:.3f}"),
    ("s to compile", "compile_seconds", "{:.1f}"),
    ("peak bytes", "peak_bytes", "{:.2e}"),
    ("parameters", "parameters", "{:,}"),
    ("FLOP / s", "flops_per_second", "{:.3g}"),
    ("clips / s", "clips_per_second", "{:.3f}"),
    ("steps / s", "steps_per_second", "{:.2f}"),
    ("of the matrix-product peak", "share_of_peak", "{:.0%}"),
    ("waiting for data", "waiting_share", "{:.1%}"),
)


def tables(measured: dict[str, dict], compared: list[dict[str, Any]]) -> tuple[Table, Table]:
    """One row for each side, one for each ratio."""
    columns = [column for column in COLUMNS if any(column[1] in row for row in measured.values())]
    sides = Table("side", *(header for header, _, _ in columns))
    for side, row in measured.items():
        values = ((row.get(key), form) for _, key, form in columns)
        sides.add_row(side, *("-" if v is None else form.format(v) for v, form in values))
    quotients = Table("quantity", "of", "relative to", "ratio", "reach")
    for row in compared:
        quotients.add_row(
            row["quantity"].replace("_", " "),
            row["numerator"],
            row["denominator"],
            f"{row['value']:.2f}",
            row["reach"],
        )
    return sides, quotients


def parse_arguments() -> argparse.Namespace:
    """Sizes default to those of the comparison in the README."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stage", choices=SIDES)
    parser.add_argument("--preset", default="videoprism_b", help="forward only: name of the model")
    parser.add_argument("--width", type=int, default=384, help="width D, a multiple of 64")
    parser.add_argument("--spatial-layers", type=int, default=12)
    parser.add_argument("--temporal-layers", type=int, default=4)
    parser.add_argument("--auxiliary-layers", type=int, default=2, help="stage 1 only")
    parser.add_argument("--text-layers", type=int, default=6, help="stage 1 only")
    parser.add_argument("--dtype", default="float32", help="policy of training steps")
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--size", type=int, default=144, help="pixels, a multiple of 18")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=5, help="timed steps after the first")
    parser.add_argument("--clips", type=int, default=100, help="reader and writer only")
    parser.add_argument("--output", type=Path, help="JSON file for all numbers")
    return parser.parse_args()


def main() -> None:
    arguments, console = parse_arguments(), Console(width=110)
    sizes = {key: value for key, value in vars(arguments).items() if key != "output"}
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    measured = measure_all(arguments.stage, arguments, console)
    compared = ratios(arguments.stage, measured)
    console.print(*tables(measured, compared), sep="\n")
    console.print(f"{os.cpu_count()} cores, load average {load} before the run")
    if arguments.output:
        report = {
            "sizes": sizes,
            "cores": os.cpu_count(),
            "load_average": load,
            "sides": measured,
            "ratios": compared,
        }
        with atomic_path(arguments.output) as path:
            path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
