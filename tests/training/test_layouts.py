import math
import re

import keras
import pytest

from keras_videoprism.models import VideoClassifier, VideoPrism, VideoPrismLvT
from keras_videoprism.presets import PRESETS
from keras_videoprism.training.layouts import REPLICATED, SPLIT, device_mesh, layout_map


def rules_of(path: str) -> list[str]:
    return [pattern for pattern in (*SPLIT, *REPLICATED) if re.fullmatch(pattern, path)]


def assert_each_has_one_rule(model: keras.Model) -> None:
    for variable in model.variables:
        rules = rules_of(variable.path)
        assert len(rules) == 1, f"{variable.path}: {rules}"
        if rules[0] in SPLIT:
            assert len(SPLIT[rules[0]]) == len(variable.shape), variable.path
        else:
            assert math.prod(variable.shape) < 1_000_000, variable.path


@pytest.fixture(scope="module")
def giant():
    """One layer of each kind of the g model of two towers, named but never filled."""
    kinds = ("spatial", "temporal", "auxiliary", "text")
    with keras.StatelessScope():
        layers = {f"num_{kind}_layers": 1 for kind in kinds}
        return VideoPrismLvT(**{**PRESETS["videoprism_lvt_g"], **layers})


def test_each_variable_of_a_stage_has_one_rule(stages):
    for make in stages.values():
        assert_each_has_one_rule(make())
        assert_each_has_one_rule(make(attention="joint"))


def test_each_variable_of_a_classifier_has_one_rule():
    assert_each_has_one_rule(VideoClassifier(VideoPrism(**PRESETS["videoprism_tiny"]), 5))


def test_each_variable_of_the_giant_model_has_one_rule(giant):
    assert_each_has_one_rule(giant)
    assert any(rule in SPLIT for variable in giant.variables for rule in rules_of(variable.path))


def test_the_giant_model_can_be_split_in_16_by_16(giant):
    """16 heads; every axis that is split has a length that 16 divides."""
    split = 0
    for variable in giant.variables:
        axes = SPLIT.get(rules_of(variable.path)[0], ())
        assert all(n % 16 == 0 for n, axis in zip(variable.shape, axes, strict=False) if axis)
        split += math.prod(variable.shape) if "model" in axes else 0
    assert split > 0.98 * sum(math.prod(variable.shape) for variable in giant.variables)


def mesh_of(*axes: str) -> keras.distribution.DeviceMesh:
    return keras.distribution.DeviceMesh([1] * len(axes), axes, ["cpu:0"])


@pytest.mark.parametrize(
    ("axes", "shard_over_data", "kernel", "bias", "projection"),
    [
        (("data", "model"), False, (None, "model"), ("model",), (None, None)),
        (("data", "model"), True, ("data", "model"), ("model",), (None, "data")),
        (("data",), True, ("data", None), (None,), (None, "data")),
        (("data",), False, (None, None), (None,), (None, None)),
    ],
)
def test_layouts_use_the_axes_of_the_mesh(axes, shard_over_data, kernel, bias, projection):
    layouts = layout_map(mesh_of(*axes), shard_over_data=shard_over_data)
    block = "encoder/spatial_encoder/block_0"
    assert layouts[f"{block}/mlp_hidden/kernel"].axes == kernel
    assert layouts[f"{block}/mlp_output/kernel"].axes == kernel[::-1]
    assert layouts[f"{block}/attention/key/bias"].axes == bias
    assert layouts["encoder/patch_embedding/projection/kernel"].axes == projection
    assert layouts[f"{block}/mlp_output/bias"].axes == ()
    assert layouts["adafactor/kernel"] is None


def test_wrong_meshes():
    with pytest.raises(ValueError, match=r"'data' and perhaps 'model'; received \('batch',\)"):
        layout_map(mesh_of("batch"))
    count = len(keras.distribution.list_devices())
    message = f"data=2 and model={count} needs {2 * count} devices; there are {count}"
    with pytest.raises(ValueError, match=message):
        device_mesh(data=2, model=count)
    with pytest.raises(ValueError, match="model=0"):
        device_mesh(model=0)
    assert device_mesh().shape == (count, 1)
