"""A training step for many devices, of which shapes and layouts are known but no values (JAX)."""

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import keras

from keras_videoprism.training.stage import Stage

TEXT_LENGTH = 64  # of `Tokenizer`


class TracedStep(NamedTuple):
    """A step; arrays are `jax.ShapeDtypeStruct` with a sharding.

    stage: the model, whose variables have no values. state: its variables as `fit` passes them,
    of the model (trainable, others), of the optimizer and of the metrics. batch: one batch.
    """

    stage: Stage
    state: tuple[list, list, list, list]
    batch: dict[str, Any]

    def jitted(self) -> Any:
        """The function that `fit` compiles; its arguments are `arguments`."""
        import jax

        layouts = jax.tree.map(lambda array: array.sharding, self.state)
        return jax.jit(self.stage.train_step, donate_argnums=0, out_shardings=(None, layouts))

    @property
    def arguments(self) -> tuple:
        return self.state, (self.batch,)


def simulate_devices(count: int) -> None:
    """Let JAX have this many devices on the CPU. It cannot change once JAX has started.

    Raises:
        ValueError: another backend, or JAX has started with other devices.
    """
    if keras.config.backend() != "jax":
        raise ValueError(
            f"only JAX can trace a step for devices that are not here; received the backend "
            f"{keras.config.backend()!r}. Set KERAS_BACKEND=jax."
        )
    import jax

    try:
        jax.config.update("jax_num_cpu_devices", count)
        jax.config.update("jax_platforms", "cpu")
    except RuntimeError:
        pass  # JAX has started; perhaps with as many
    if jax.device_count() != count:
        raise ValueError(
            f"JAX has started with {jax.device_count()} devices, not {count}: call this first in a "
            "new process, and take --xla_force_host_platform_device_count out of XLA_FLAGS."
        )


def without_values(make: Callable[[], Stage]) -> Stage:
    """A compiled stage whose variables, and those of its optimizer, have shapes and no values.

    Args:
        make: makes the stage and compiles it.
    """
    import jax

    made = []

    def trace() -> None:
        stage = make()
        stage.optimizer.build(stage.trainable_variables)
        made.append(stage)

    jax.eval_shape(trace)
    return made[0]


def traced_step(
    stage: Stage,
    distribution: keras.distribution.ModelParallel,
    batch: int,
    frames: int,
    image_size: tuple[int, int],
) -> TracedStep:
    """A step of `stage` on a batch of so many clips, split as `distribution` does.

    Args:
        stage: made within the scope of `distribution`.
        image_size: (height, width) in pixels.
    """
    import jax

    def variables(group: Iterable[keras.Variable]) -> list:
        layouts = [distribution.get_variable_layout(variable) for variable in group]
        return [
            jax.ShapeDtypeStruct(v.shape, v.dtype, sharding=layout.backend_layout)
            for v, layout in zip(group, layouts, strict=True)
        ]

    def array(shape: tuple, dtype: str) -> Any:
        layout = distribution.get_data_layout(shape).backend_layout
        return jax.ShapeDtypeStruct(shape, dtype, sharding=layout)

    state = (
        variables(stage.trainable_variables),
        variables(stage.non_trainable_variables),
        variables(stage.optimizer.variables),
        variables(stage.metrics_variables),
    )
    keys = {
        "videos": array((batch, frames, *image_size, 3), "uint8"),
        "clip_id": array((batch,), "int32"),
        "token_ids": array((batch, TEXT_LENGTH), "int32"),
        "padding_mask": array((batch, TEXT_LENGTH), "bool"),
    }
    batch_of = {key: keys[key] for key in ("videos", *stage.required_keys)}
    return TracedStep(stage, state, batch_of)


def bytes_per_device(arrays: Any) -> int:
    """Of a tree of arrays with shardings."""
    import jax

    return sum(
        math.prod(array.sharding.shard_shape(array.shape)) * array.dtype.itemsize
        for array in jax.tree.leaves(arrays)
    )
