"""What a backend knows of its devices, of their memory and of the processes of a job."""

from typing import Any

import keras
from keras import ops

from keras_videoprism.layers.typing import Tensor


def num_shares(model: keras.Model) -> int:
    """Number of devices, or groups of devices, that share each batch which `fit` reads."""
    if keras.backend.backend() == "tensorflow":
        return model.distribute_strategy.num_replicas_in_sync
    distribution = keras.distribution.distribution()
    if distribution is None:
        return 1
    # Without automatic shards each process reads the batches of its own devices.
    readers = 1 if distribution.auto_shard_dataset else distribution.num_processes
    return max(distribution.num_model_replicas // readers, 1)


def num_replicas() -> int:
    """Number of replicas of tf.distribute; 1 elsewhere."""
    if keras.backend.backend() != "tensorflow":
        return 1
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    return 1 if context is None else context.num_replicas_in_sync


def gather(outputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Outputs of one replica -> those of all, in order, with gradients."""
    if num_replicas() == 1:
        return outputs
    import tensorflow as tf

    context = tf.distribute.get_replica_context()

    def gathered(x: Tensor) -> Tensor:
        return tf.ensure_shape(context.all_gather(x, axis=0), [None, *x.shape[1:]])

    return {name: gathered(outputs[name]) for name in sorted(outputs)}


# A job of several processes, on JAX: each sees only a part of what is split over devices.


def process_of() -> tuple[int, int]:
    """(i, n): this is process i of n, of which each reads its own clips."""
    if keras.backend.backend() != "jax":
        return 0, 1
    import jax

    return jax.process_index(), jax.process_count()


def is_first_process() -> bool:
    """Whether this process writes the files of the job."""
    return process_of()[0] == 0


def to_host(variable: keras.Variable) -> Any:
    """The value as a NumPy array; all processes must ask for it together."""
    if keras.backend.backend() == "jax" and not variable.value.is_fully_addressable:
        from jax.experimental import multihost_utils

        return multihost_utils.process_allgather(variable.value, tiled=True)
    # A variable of tf.distribute is a tensor only when it is read.
    return ops.convert_to_numpy(ops.convert_to_tensor(variable))


def replicate(model: keras.Model) -> None:
    """Give each process all values of a trained model, so that it can be saved."""
    for variable in model.variables:
        if keras.backend.backend() == "jax" and not variable.value.is_fully_addressable:
            variable._value = keras.ops.convert_to_tensor(to_host(variable))


def device_names() -> list[str]:
    """The devices that Keras knows; on torch, where it distributes nothing, those of torch."""
    if keras.backend.backend() != "torch":
        return [str(device) for device in keras.distribution.list_devices()]
    import torch

    cuda = range(torch.cuda.device_count())
    return [torch.cuda.get_device_name(number) for number in cuda] or ["cpu"]


def peak_device_bytes() -> int | None:
    """Most memory in use at once on this process' first device; None where nobody counts it."""
    if keras.backend.backend() != "jax":
        return None
    import jax

    return (jax.local_devices()[0].memory_stats() or {}).get("peak_bytes_in_use")
