"""How the variables of all models are split over devices, for `keras.distribution` (JAX).

>>> mesh = device_mesh(model=2)
>>> layouts = layout_map(mesh, shard_over_data=True)
>>> keras.distribution.set_distribution(keras.distribution.ModelParallel(layout_map=layouts))

Models that are made after this line are split; masks, losses and gradients stay what they are on
one device. `keras.distribution.DataParallel()` alone gives each device all variables.
"""

import keras

DATA, MODEL = "data", "model"

# Pattern of a variable's path -> the mesh axis that splits each of its own. As in Megatron-LM
# (Shoeybi et al., 2019), a device has some of the heads and of the hidden units: the first kernel
# of a pair is split by outputs, the second by inputs, and only the second product is summed over
# devices. DATA stands where a kernel may be split further, as FSDP does (Zhao et al., 2023).
SPLIT: dict[str, tuple[str | None, ...]] = {
    r".*/attention/(query|key|value)/kernel": (DATA, MODEL),  # [D, N*H]
    r".*/attention/(query|key|value)/bias": (MODEL,),
    r".*/attention/output/kernel": (MODEL, DATA),  # [N*H, D]
    r".*/mlp_hidden/kernel": (DATA, MODEL),
    r".*/mlp_hidden/bias": (MODEL,),
    r".*/mlp_output/kernel": (MODEL, DATA),
    r".*/token_embedding/embeddings": (MODEL, DATA),  # [vocabulary, D]
    r".*/(projection|input_projection|output_projection)/kernel": (None, DATA),
}
# What every device has whole: it is small, or all heads need it.
REPLICATED = (
    r".*/(attention/output|mlp_output|projection|input_projection|output_projection)/bias",
    r".*norm/(gamma|beta)",
    r".*/attention/per_dim_scale",
    r".*pooler/query",
    r".*/(spatial|temporal)_position/table",
    r".*/(class_token|mask_token)",
    r".*/classifier/(kernel|bias)",
    r".*/(log_logit_scale|logit_bias|step|skipped_steps)",
)


def device_mesh(data: int | None = None, model: int = 1) -> keras.distribution.DeviceMesh:
    """All devices as a mesh of `data` rows, which share the clips of a batch, and `model` columns,
    which share the variables.

    Args:
        data: None takes as many as there are devices for.
        model: best the number of devices with a fast link, and a divisor of the number of heads.

    Raises:
        ValueError: `data * model` is not the number of devices.
    """
    count = len(keras.distribution.list_devices())
    data = count // max(model, 1) if data is None else data
    if min(data, model) < 1 or data * model != count:
        raise ValueError(
            f"a mesh of data={data} and model={model} needs {data * model} devices; there are "
            f"{count}. Choose two numbers whose product is {count}."
        )
    return keras.distribution.DeviceMesh((data, model), (DATA, MODEL))


def layout_map(
    device_mesh: keras.distribution.DeviceMesh, shard_over_data: bool = False
) -> keras.distribution.LayoutMap:
    """Layouts of all variables, for `keras.distribution.ModelParallel`.

    The variables of the optimizer follow those that they belong to.

    Args:
        device_mesh: has an axis "data" and perhaps an axis "model".
        shard_over_data: also split kernels, and what the optimizer keeps for them, over "data".
            It saves memory and costs traffic: each step gathers the kernels.

    Raises:
        ValueError: the mesh has other axes.
    """
    axes = device_mesh.axis_names
    if not {DATA} <= set(axes) <= {DATA, MODEL}:
        raise ValueError(
            f"the axes of the mesh must be 'data' and perhaps 'model'; received {axes}."
        )
    used = set(axes) if shard_over_data else set(axes) - {DATA}
    layouts = keras.distribution.LayoutMap(device_mesh)
    for pattern, split in SPLIT.items():
        layouts[pattern] = tuple(axis if axis in used else None for axis in split)
    for pattern in REPLICATED:
        layouts[pattern] = ()
    return layouts
