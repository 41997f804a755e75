"""One step of both stages on one device and on several simulated ones, for test_distribution.py.

    python steps_on_devices.py jax|tensorflow OUTPUT.npz

Backends fix their devices when they start, so this runs in a process of its own.
"""

import os
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

BACKEND, OUTPUT = sys.argv[1:]
os.environ["KERAS_BACKEND"] = BACKEND
# The tests compile much and compute little, so XLA should not optimise.
os.environ["XLA_FLAGS"] = (
    "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0"
)
sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parent)]

import keras  # noqa: E402
import numpy as np  # noqa: E402
from conftest import make_autoencoder, make_batch, make_stage1, make_stage2  # noqa: E402

from keras_videoprism.layers.masking import bevt_visible, tube_visible  # noqa: E402
from keras_videoprism.training.layouts import device_mesh, layout_map  # noqa: E402
from keras_videoprism.training.micro_batches import split  # noqa: E402

STAGES = {"stage1": make_stage1, "stage2": make_stage2, "autoencoder": make_autoencoder}


def path_in(model: keras.Model, variable: keras.Variable) -> str:
    return variable.path.removeprefix(f"{model.name}/")


def fit(model: keras.Model, batch: dict) -> dict[str, Any]:
    """Logs and weights after one step on the batch."""
    count = len(batch["videos"])
    history = model.fit(batch, batch_size=count, shuffle=False, verbose=0).history
    logs = {f"logs/{name}": values[-1] for name, values in history.items()}
    for weight in model.trainable_variables:
        logs[f"weights/{path_in(model, weight)}"] = keras.ops.convert_to_numpy(weight)
    return logs


def error_of(model: keras.Model, count: int) -> str:
    try:
        model.fit(make_batch(count), batch_size=count, verbose=0)
    except ValueError as error:
        return str(error)
    return ""


def masks(clip_id: Any) -> tuple:
    grid = (4, 4, 4)
    return tube_visible(0, 7, clip_id, grid, 0.5).patches, bevt_visible(0, 7, clip_id, grid, 0.65)


def on_jax() -> dict[str, Any]:
    """8 devices: all for data; 4 x 2 for data and model; the same with kernels split over both."""
    import jax

    mesh = device_mesh(data=4, model=2)
    parallel = keras.distribution.ModelParallel
    places = {
        "one": None,
        "data": keras.distribution.DataParallel(),
        "model": parallel(layout_map=layout_map(mesh)),
        "both": parallel(layout_map=layout_map(mesh, shard_over_data=True)),
    }
    results: dict[str, Any] = {}
    for stage, place, parts in (
        ("stage1", "one", 1),
        ("stage1", "data", 2),
        ("stage1", "model", 1),
        ("stage2", "one", 1),
        ("stage2", "data", 1),
        ("stage2", "both", 2),
        ("autoencoder", "one", 1),
        ("autoencoder", "data", 2),
    ):
        keras.distribution.set_distribution(places[place])
        model = STAGES[stage](num_micro_batches=parts)
        model.compile(keras.optimizers.SGD(1.0, momentum=0.5))
        for name, value in fit(model, make_batch(16)).items():
            results[f"{stage}/{place}/{name}"] = value
        if place != "one":
            results[f"{stage}/{place}/error"] = error_of(model, 12)
            pairs = zip(model.trainable_variables, model.optimizer.momentums, strict=True)
            for variable, momentum in pairs:
                shapes = [x.value.addressable_shards[0].data.shape for x in (variable, momentum)]
                results[f"{stage}/{place}/shards/{path_in(model, variable)}"] = shapes
    for name, place in places.items():
        clip_id = np.arange(16) * 1001
        if place is not None:
            layout = place.get_data_layout(clip_id.shape)
            clip_id = keras.distribution.distribute_tensor(clip_id, layout)
            parts = jax.jit(lambda x: split({"clip_id": x}, 2))(clip_id)["clip_id"]
            results[f"{name}/part"] = parts.addressable_shards[0].data.shape
        results[f"{name}/tube"], results[f"{name}/bevt"] = jax.jit(masks)(clip_id)
    return results


def on_tensorflow() -> dict[str, Any]:
    """2 logical CPUs."""
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    logical = tf.config.LogicalDeviceConfiguration()
    tf.config.set_logical_device_configuration(cpu, [logical, logical])
    # Two strategies in one process would mix up their collective operations.
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    results: dict[str, Any] = {}
    for stage, place, parts in (
        ("stage1", "one", 1),
        ("stage1", "whole", 1),
        ("stage1", "parts", 2),
        ("stage2", "one", 1),
        ("stage2", "parts", 2),
        ("autoencoder", "one", 1),
        ("autoencoder", "whole", 2),
    ):
        with nullcontext() if place == "one" else strategy.scope():
            model = STAGES[stage](num_micro_batches=parts)
            model.compile(keras.optimizers.SGD(1.0), jit_compile=False)
        for name, value in fit(model, make_batch(8)).items():
            results[f"{stage}/{place}/{name}"] = value
        if place != "parts":
            loss = model.evaluate(make_batch(8), batch_size=8, verbose=0, return_dict=True)["loss"]
            results[f"{stage}/{place}/logs/evaluation"] = loss
        else:
            results[f"{stage}/{place}/error"] = error_of(model, 6)
            model.check_batch = lambda batch: None
            broken = make_batch(8)
            broken["videos"][1] = np.nan  # on the first device only
            for name, value in fit(model, broken).items():
                results[f"{stage}/broken/{name}"] = value
            results[f"{stage}/broken/iterations"] = model.optimizer.iterations.numpy()
    return results


if __name__ == "__main__":
    np.savez(OUTPUT, **{"jax": on_jax, "tensorflow": on_tensorflow}[BACKEND]())
