"""Steps on several devices equal the step on one: see steps_on_devices.py."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).with_name("steps_on_devices.py")


def run_on_devices(backend: str, folder: Path) -> dict[str, np.ndarray]:
    output = folder / f"{backend}.npz"
    command = [sys.executable, SCRIPT, backend, output]
    result = subprocess.run(command, capture_output=True, text=True, timeout=1200)
    assert result.returncode == 0, result.stderr
    with np.load(output, allow_pickle=False) as file:
        return dict(file)


@pytest.fixture(scope="module")
def jax_steps(tmp_path_factory):
    return run_on_devices("jax", tmp_path_factory.mktemp("steps"))


@pytest.fixture(scope="module")
def tensorflow_steps(tmp_path_factory):
    return run_on_devices("tensorflow", tmp_path_factory.mktemp("steps"))


def values_of(steps: dict, prefix: str) -> dict[str, np.ndarray]:
    return {key.removeprefix(prefix): v for key, v in steps.items() if key.startswith(prefix)}


def assert_same_step(steps: dict, run: str, reference: str) -> None:
    """Logs agree within 1e-5 of themselves, and gradients, of norms from 3 to 14, within 1e-5.

    Of stage 2, the spread of embeddings is that of a part, where only the means of parts are known.
    """
    logs, expected = values_of(steps, f"{run}/logs/"), values_of(steps, f"{reference}/logs/")
    assert {"loss", "gradient_norm"} <= logs.keys() <= expected.keys()
    for name in logs.keys() - ({"embedding_std"} if "stage2" in run else set()):
        assert logs[name] == pytest.approx(expected[name], rel=1e-5, abs=1e-6), name
    weights = values_of(steps, f"{run}/weights/")
    expected_weights = values_of(steps, f"{reference}/weights/")
    assert weights.keys() == expected_weights.keys() and len(weights) > 40
    assert expected["gradient_norm"] > 3.0
    for path, value in weights.items():
        np.testing.assert_allclose(value, expected_weights[path], atol=1e-5, rtol=0, err_msg=path)


@pytest.mark.parametrize(
    "run", ["stage1/data", "stage1/model", "stage2/data", "stage2/both", "autoencoder/data"]
)
def test_a_step_on_8_devices_is_that_of_one(jax_steps, run):
    """All but stage1/model and stage2/data run in two micro-batches too."""
    assert_same_step(jax_steps, run, f"{run.partition('/')[0]}/one")


@pytest.mark.parametrize(
    ("run", "kernel", "hidden", "query_bias", "embeddings"),
    [
        ("stage1/data", (16, 16), (32, 16), (16,), (20, 16)),
        ("stage1/model", (16, 8), (16, 16), (8,), (10, 16)),
        ("stage2/both", (4, 8), (16, 4), (8,), None),
    ],
)
def test_each_device_holds_its_share(jax_steps, run, kernel, hidden, query_bias, embeddings):
    """Of the variables, and of what the optimizer keeps for them."""
    shards = values_of(jax_steps, f"{run}/shards/")
    block = "encoder/spatial_encoder/block_0"
    expected = {
        f"{block}/attention/query/kernel": kernel,
        f"{block}/mlp_output/kernel": hidden,
        f"{block}/attention/query/bias": query_bias,
        f"{block}/attention_norm/gamma": (16,),
    }
    if embeddings:
        expected["text_encoder/token_embedding/embeddings"] = embeddings
    for path, shape in expected.items():
        assert shards[path].tolist() == [list(shape)] * 2, path


def test_masks_do_not_depend_on_the_devices(jax_steps):
    for place in ("data", "model", "both"):
        for mask in ("tube", "bevt"):
            np.testing.assert_array_equal(jax_steps[f"{place}/{mask}"], jax_steps[f"one/{mask}"])
    assert jax_steps["one/tube"].shape == (16, 8)
    assert len(np.unique(jax_steps["one/tube"], axis=0)) > 8


@pytest.mark.parametrize(("place", "clips"), [("data", 1), ("model", 2), ("both", 2)])
def test_micro_batches_stay_where_their_clips_are(jax_steps, place, clips):
    """16 clips on 8 or 4 devices: each has 1 or 2 clips of each of the two parts."""
    assert tuple(jax_steps[f"{place}/part"]) == (2, clips)


@pytest.mark.parametrize(
    "run", ["stage1/whole", "stage1/parts", "stage2/parts", "autoencoder/whole"]
)
def test_a_step_on_2_replicas_is_that_of_one(tensorflow_steps, run):
    assert_same_step(tensorflow_steps, run, f"{run.partition('/')[0]}/one")


@pytest.mark.parametrize("stage", ["stage1", "stage2"])
def test_broken_gradients_of_one_replica_are_skipped_on_all(tensorflow_steps, stage):
    logs = values_of(tensorflow_steps, f"{stage}/broken/logs/")
    assert not np.isfinite(logs["gradient_norm"]) and logs["skipped_steps"] == 1
    assert tensorflow_steps[f"{stage}/broken/iterations"] == 1
    before = values_of(tensorflow_steps, f"{stage}/parts/weights/")
    for path, value in values_of(tensorflow_steps, f"{stage}/broken/weights/").items():
        np.testing.assert_array_equal(value, before[path])


def test_batches_that_do_not_fit_the_devices(jax_steps, tensorflow_steps):
    for steps, run, message in (
        (jax_steps, "stage1/data", "12 .*num_micro_batches=2 .*on each of 8 .*multiple of 16"),
        (jax_steps, "stage2/data", "12 .*num_micro_batches=1 .*on each of 8 .*multiple of 8"),
        (jax_steps, "stage2/both", "12 .*num_micro_batches=2 .*on each of 4 .*multiple of 8"),
        (tensorflow_steps, "stage1/parts", "6 .*num_micro_batches=2 .*each of 2 .*multiple of 4"),
    ):
        with pytest.raises(ValueError, match=message):
            raise ValueError(str(steps[f"{run}/error"]))
