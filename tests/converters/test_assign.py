import keras
import numpy as np
import pytest

from keras_videoprism.converters import to_keras_hub, to_transformers
from keras_videoprism.converters.assign import assign, check_factorized
from keras_videoprism.models import VideoPrism


def keep(array: np.ndarray) -> np.ndarray:
    return array


RULES = {"layer/kernel": ("w", np.transpose), "layer/bias": ("b", keep)}
ARRAYS = {"w": np.arange(6.0).reshape(2, 3), "b": np.array([7.0, 8.0])}


@pytest.fixture
def variables() -> dict[str, keras.Variable]:
    return {
        "layer/kernel": keras.Variable(np.zeros((3, 2))),
        "layer/bias": keras.Variable(np.zeros(2)),
    }


@pytest.mark.backends
def test_every_variable_is_set(variables):
    assign(variables, ARRAYS, RULES)
    kernel = keras.ops.convert_to_numpy(variables["layer/kernel"])
    np.testing.assert_array_equal(kernel, ARRAYS["w"].T)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(variables["layer/bias"]), ARRAYS["b"])


def test_all_problems_in_one_message_and_nothing_assigned(variables):
    variables["extra/bias"] = keras.Variable(np.zeros(1))
    arrays = {"w": np.ones((3, 2)), "b": np.ones(2), "unknown": np.ones(1)}
    rules = {**RULES, "gone/bias": ("missing", keep), "nowhere/bias": ("b", keep)}
    with pytest.raises(ValueError) as error:
        assign(variables, arrays, rules)
    for problem in (
        "no rule for variable extra/bias",
        "unused array unknown",
        "missing array missing for gone/bias",
        "no variable nowhere/bias for array b",
        r"layer/kernel has shape (3, 2), but w gives (2, 3)",
    ):
        assert problem in str(error.value)
    assert not np.any(keras.ops.convert_to_numpy(variables["layer/bias"]))


def test_other_libraries_have_factorized_attention_only(tmp_path):
    size = {"patch_size": 6, "position_shape": (4, 4, 4), "hidden_dim": 16, "mlp_dim": 32}
    layers = {"num_spatial_layers": 1, "num_temporal_layers": 1, "num_heads": 2}
    joint = VideoPrism(**size, **layers, attention="joint")
    check_factorized(VideoPrism(**size, **layers), "KerasHub")
    with pytest.raises(ValueError, match="Transformers has only factorized .* received .* joint"):
        to_transformers(joint, tmp_path / "out")
    with pytest.raises(ValueError, match="KerasHub has only factorized"):
        to_keras_hub(joint)
    assert not (tmp_path / "out").exists()
