"""What a training step takes on devices that are not here: memory, operations, traffic, time.

The step of `pretrain` is traced and compiled for simulated devices (JAX), split as
`training.layouts` says. Variables have shapes and layouts but no values, so that a giant model on
256 devices needs no more memory than its program.
"""

import inspect
import json
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras

from keras_videoprism.commands.accelerators import ACCELERATORS, estimate
from keras_videoprism.commands.collectives import collectives
from keras_videoprism.commands.traced_step import (
    TracedStep,
    bytes_per_device,
    simulate_devices,
    traced_step,
    without_values,
)
from keras_videoprism.data.atomic import atomic_path
from keras_videoprism.models import VideoPrism, VideoPrismLvT
from keras_videoprism.presets import KERAS_HUB_NAMES, PRESETS
from keras_videoprism.training import Stage1Model, Stage2Model
from keras_videoprism.training.flops import step_work
from keras_videoprism.training.layouts import DATA, MODEL, device_mesh, layout_map
from keras_videoprism.training.recipes import stage1_optimizer, stage2_optimizer
from keras_videoprism.training.stage import Stage

# Where the step must lower to, besides the CPU that it is compiled for.
PLATFORMS = ("tpu", "cuda")
# The program is read, not run: machine code may be slow. Operations are scheduled one by one, for
# the least memory, as on accelerators, and not for many threads.
COMPILER_OPTIONS = {
    "xla_backend_optimization_level": 0,
    "xla_cpu_enable_concurrency_optimized_scheduler": False,
}


def plan(
    stage: int,
    preset: str,
    batch: int,
    *,
    devices: int = 1,
    mesh: dict[str, int] | None = None,
    shard_over_data: bool = False,
    micro_batches: int = 1,
    remat: bool = False,
    dtype: str = "mixed_bfloat16",
    frames: int = 8,
    image_size: int | None = None,
    output: str | Path | None = None,
) -> dict[str, Any]:
    """Memory, operations, traffic and least time of a training step with the paper's recipe.

    Args:
        stage: 1 (contrast; the two towers of this size without auxiliary layers, as in the paper)
            or 2 (masked distillation from a teacher of the same size).
        preset: a size by name, such as "videoprism_g"; for both stages the names of both kinds of
            model will do.
        batch: clips in a step, on all devices together.
        devices: how many to simulate.
        mesh: such as {"data": 64, "model": 4}, see `device_mesh`; by default all devices share the
            clips.
        shard_over_data: see `layout_map`.
        micro_batches, remat: see `Stage`; both save memory.
        dtype: Keras' policy; "mixed_bfloat16" keeps variables in float32.
        frames: of a clip. image_size: pixels, by default those of the preset.
        output: JSON file to write.

    Returns:
        The content of the file: `settings`, and what `measure` returns.

    Raises:
        ValueError: sizes that do not fit each other, before anything is built.
    """
    given = {**locals(), "output": None if output is None else str(output)}
    config = checked_config(stage, preset)
    mesh = checked_mesh(devices, mesh)
    check_split(config, stage, mesh, shard_over_data)
    check_batch(stage, batch, mesh[DATA], micro_batches)
    if output is not None:
        Path(output).parent.mkdir(parents=True, exist_ok=True)
    simulate_devices(devices)
    layouts = layout_map(device_mesh(**mesh), shard_over_data)
    distribution = keras.distribution.ModelParallel(layout_map=layouts)
    make = {1: make_stage1, 2: make_stage2}[stage]
    saving: dict[str, Any] = {"num_micro_batches": micro_batches, "remat": remat}
    with distribution.scope():
        model = without_values(lambda: make(config, dtype, **saving))
        size = (image_size, image_size) if image_size else _image_size(config)
        step = traced_step(model, distribution, batch, frames, size)
        result = {"settings": {**given, "mesh": mesh}, **measure(step, devices)}
    if output is not None:
        with atomic_path(output) as temporary:
            temporary.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return result


def checked_config(stage: int, preset: str) -> dict[str, Any]:
    """Arguments of the two-tower model of a size, without auxiliary layers."""
    if stage not in (1, 2):
        raise ValueError(f"stage must be 1 or 2; received {stage}.")
    name = KERAS_HUB_NAMES.get(preset, preset)
    if name not in PRESETS:
        raise ValueError(f"preset must be one of {sorted(PRESETS)}; received {preset!r}.")
    size = name.rpartition("_")[2]
    return {**PRESETS[f"videoprism_lvt_{size}"], "num_auxiliary_layers": 0}


def parse_mesh(text: str) -> dict[str, int]:
    """`data=64,model=4` -> {"data": 64, "model": 4}."""
    pairs = [part.partition("=") for part in text.split(",")]
    if not all(size.strip().isdecimal() for _, _, size in pairs):
        raise ValueError(f"a mesh is written as data=64,model=4; received {text!r}.")
    return {axis.strip(): int(size) for axis, _, size in pairs}


def checked_mesh(devices: int, mesh: dict[str, int] | None) -> dict[str, int]:
    """Sizes of both axes."""
    if devices < 1:
        raise ValueError(f"devices must be at least 1; received {devices}.")
    mesh = {DATA: devices} if mesh is None else mesh
    if unknown := sorted(set(mesh) - {DATA, MODEL}):
        raise ValueError(f"the axes of a mesh are {DATA!r} and {MODEL!r}; received {unknown}.")
    sizes = {DATA: mesh.get(DATA, 1), MODEL: mesh.get(MODEL, 1)}
    if min(sizes.values()) < 1 or sizes[DATA] * sizes[MODEL] != devices:
        raise ValueError(
            f"the mesh {mesh} needs {sizes[DATA] * sizes[MODEL]} devices; received "
            f"devices={devices}. Choose axes whose product is {devices}."
        )
    return sizes


def check_split(
    config: dict[str, Any], stage: int, mesh: dict[str, int], shard_over_data: bool
) -> None:
    """ValueError where the devices of an axis cannot have equal parts."""
    sizes = _defaults(VideoPrismLvT) | config
    split = [(MODEL, "num_heads"), (MODEL, "mlp_dim"), (MODEL, "vocabulary_size")]
    split += [(DATA, "hidden_dim")] * shard_over_data
    if stage == 2:
        sizes |= _defaults(Stage2Model)
        split += [(MODEL, "decoder_heads"), (MODEL, "decoder_mlp_dim")]
        split += [(DATA, "decoder_dim")] * shard_over_data
    for axis, name in split:
        if sizes[name] % mesh[axis]:
            raise ValueError(
                f"{axis}={mesh[axis]} devices cannot share {name}={sizes[name]} equally; choose a "
                "divisor."
            )


def check_batch(stage: int, batch: int, data: int, micro_batches: int) -> None:
    """ValueError where the devices cannot have equal parts of each micro-batch."""
    if micro_batches < 1:
        raise ValueError(f"micro_batches must be at least 1; received {micro_batches}.")
    if batch < 1 or batch % (data * micro_batches):
        raise ValueError(
            f"a batch of {batch} cannot be split into {micro_batches} equal parts on each of "
            f"{data} data-parallel devices; choose a multiple of {data * micro_batches}."
        )
    if stage == 1 and batch < 2:
        raise ValueError(f"contrast needs a batch of at least 2 clips; received {batch}.")


def make_stage1(config: dict[str, Any], dtype: str, **stage_args: Any) -> Stage:
    """Both towers, with the optimizer of the paper."""
    stage = Stage1Model(VideoPrismLvT(**config, dtype=dtype), **stage_args)
    stage.compile(stage1_optimizer())
    return stage


def make_stage2(config: dict[str, Any], dtype: str, **stage_args: Any) -> Stage:
    """A student and a teacher of the same size, with the optimizer of the paper."""
    encoder = {name: config[name] for name in _defaults(VideoPrism).keys() & config.keys()}
    student, teacher = VideoPrism(**encoder, dtype=dtype), VideoPrismLvT(**config, dtype=dtype)
    stage = Stage2Model(student, teacher, **stage_args)
    stage.compile(stage2_optimizer())
    return stage


def measure(step: TracedStep, devices: int) -> dict[str, Any]:
    """Trace and compile a step, and count.

    Returns:
        `parameters`: number of those that are trained. Of each device and step: `memory` in bytes,
        `flops`, `collectives` (see `Traffic`), and `estimates` of the time on each of
        `ACCELERATORS` (see `Estimate`). `lowered`: the platforms for which the step was lowered.
        `seconds`: what planning took.

        In `memory`, `total` is `arguments` and `outputs` less what is `reused`, and `temporary`:
        mostly activations, in the buffers that XLA lays out on a CPU. There bfloat16 is computed in
        float32, and no kernel fuses attention, so that accelerators need less. In `flops`, `model`
        is what the model needs (`training.flops`), `compiled` what XLA counts, where a loop counts
        once. `collectives` are what XLA's partitioner makes: a compiler for an accelerator may
        merge some, or turn a sum into a cheaper `reduce-scatter`.
    """
    seconds: dict[str, float] = {}
    work = step_work(step.stage, step.batch)
    with _clock(seconds, "trace"):
        traced = step.jitted().trace(*step.arguments)
    with _clock(seconds, "lower"):
        for platform in PLATFORMS:
            traced.lower(lowering_platforms=(platform,))
        lowered = traced.lower()
    with _clock(seconds, "compile"):
        compiled = lowered.compile(COMPILER_OPTIONS)
    memory = memory_per_device(step, compiled)
    traffic = collectives(compiled.as_text(), devices)
    flops = work.flops / devices
    sent = sum(kind.sent for kind in traffic.values())
    moved = memory["arguments"] + memory["outputs"]
    return {
        "parameters": sum(math.prod(v.shape) for v in step.stage.trainable_variables),
        "memory": memory,
        "flops": {"model": flops, "compiled": compiled.cost_analysis()["flops"]},
        "collectives": {kind: counts._asdict() for kind, counts in traffic.items()},
        "estimates": {
            name: estimate(chip, flops, moved, sent, memory["total"])._asdict()
            for name, chip in ACCELERATORS.items()
        },
        "lowered": ["cpu", *PLATFORMS],
        "seconds": seconds,
    }


def memory_per_device(step: TracedStep, compiled: Any) -> dict[str, int]:
    """Bytes; see `measure`."""
    trainable, others, optimizer, _ = step.state
    found = compiled.memory_analysis()
    arguments, outputs = found.argument_size_in_bytes, found.output_size_in_bytes
    reused, temporary = found.alias_size_in_bytes, found.temp_size_in_bytes
    return {
        "variables": bytes_per_device((trainable, others)),
        "optimizer": bytes_per_device(optimizer),
        "batch": bytes_per_device(step.batch),
        "arguments": arguments,
        "outputs": outputs,
        "reused": reused,
        "temporary": temporary,
        "total": arguments + outputs - reused + temporary,
    }


@contextmanager
def _clock(seconds: dict[str, float], name: str) -> Iterator[None]:
    start = time.monotonic()
    yield
    seconds[name] = round(time.monotonic() - start, 1)


def _defaults(cls: type) -> dict[str, Any]:
    parameters = inspect.signature(cls).parameters
    return {name: parameter.default for name, parameter in parameters.items()}


def _image_size(config: dict[str, Any]) -> tuple[int, int]:
    sizes = _defaults(VideoPrism) | config
    _, rows, columns = sizes["position_shape"]
    return rows * sizes["patch_size"], columns * sizes["patch_size"]
