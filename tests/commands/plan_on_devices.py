"""Steps of both stages, planned for 8 simulated devices, for test_plan.py and test_traced_step.py.

    python plan_on_devices.py FOLDER

JAX fixes its devices when it starts, so this runs in a process of its own. It writes plan.json and
steps.json into the folder.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

FOLDER = Path(sys.argv[1])
os.environ["KERAS_BACKEND"] = "jax"
sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1] / "training")]

import jax  # noqa: E402
import keras  # noqa: E402
import numpy as np  # noqa: E402
from conftest import SIZE, TEXT, make_stage1, make_stage2  # noqa: E402

from keras_videoprism.commands import plan  # noqa: E402
from keras_videoprism.commands.traced_step import (  # noqa: E402
    TracedStep,
    bytes_per_device,
    traced_step,
    without_values,
)
from keras_videoprism.training.flops import step_work  # noqa: E402
from keras_videoprism.training.layouts import device_mesh, layout_map  # noqa: E402
from keras_videoprism.training.recipes import stage1_optimizer  # noqa: E402


def step_of(make: Any, mesh: dict[str, int], shard_over_data: bool, **arguments: Any) -> TracedStep:
    layouts = layout_map(device_mesh(**mesh), shard_over_data)
    distribution = keras.distribution.ModelParallel(layout_map=layouts)

    def make_compiled() -> keras.Model:
        stage = make(**arguments)
        stage.compile(stage1_optimizer())
        return stage

    with distribution.scope():
        return traced_step(without_values(make_compiled), distribution, 16, 4, (24, 24))


def sizes_of(step: TracedStep) -> dict[str, int]:
    """Bytes of a device."""
    trainable, others, optimizer, _ = step.state
    return {
        "variables": bytes_per_device((trainable, others)),
        "optimizer": bytes_per_device(optimizer),
        "videos": bytes_per_device(step.batch["videos"]),
    }


def main() -> None:
    plan.PRESETS["videoprism_lvt_tiny"] = {**SIZE, **TEXT}
    plan.plan(1, "videoprism_tiny", 16, devices=8, frames=4, output=FOLDER / "plan.json")
    mesh = {"data": 4, "model": 2}
    steps = {
        "stage1": step_of(make_stage1, mesh, False),
        "both": step_of(make_stage1, mesh, True),
        "stage2": step_of(make_stage2, mesh, True, num_micro_batches=2),
    }
    results: dict[str, Any] = {name: {"sizes": sizes_of(step)} for name, step in steps.items()}
    results["live_bytes"] = sum(array.nbytes for array in jax.live_arrays())
    batch = {"videos": np.zeros((16, 4, 24, 24, 3)), "token_ids": np.zeros((16, 64))}
    for name in ("stage1", "stage2"):
        step = steps[name]
        results[name]["flops"] = step_work(step.stage, batch).flops
        exported = jax.export.export(step.jitted(), platforms=["tpu", "cuda"])(*step.arguments)
        results[name]["exported"] = exported.platforms
    results["stage2"]["plan"] = plan.measure(steps["stage2"], 8)
    (FOLDER / "steps.json").write_text(json.dumps(results))


if __name__ == "__main__":
    main()
