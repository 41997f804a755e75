"""`KILLS=20 pytest tests/commands/test_pretrain.py -k killed` kills twenty runs of each stage."""

import csv
import json
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import keras_hub
import numpy as np
import pytest

from keras_videoprism import presets
from keras_videoprism.commands.pretrain import pretrain
from keras_videoprism.commands.sources import Source, read_sources
from keras_videoprism.data import read_manifest, write_records
from keras_videoprism.models import VideoPrism, VideoPrismLvT

ROOT = Path(__file__).parents[2]
TINY = {
    "patch_size": 8,
    "position_shape": (4, 3, 3),
    "hidden_dim": 16,
    "num_spatial_layers": 1,
    "num_temporal_layers": 1,
    "num_heads": 2,
    "mlp_dim": 32,
}
TEXT = {"num_auxiliary_layers": 0, "vocabulary_size": 60, "num_text_layers": 1}
STEPS, SAVE_EVERY = 12, 3
# Kills itself when it begins a step or, where that is due, in the middle of saving it.
KILLED = """
import json, os, signal, sys
from keras_videoprism.commands.pretrain import pretrain
from keras_videoprism.training.checkpoints import Checkpoint

def kill(*_):
    os.kill(os.getpid(), signal.SIGKILL)

def begin(checkpoint, batch, logs=None):
    if checkpoint.step == step - 1:
        os.fsync = kill
    go_on(checkpoint, batch, logs)
    if checkpoint.step == step:
        kill()

arguments, step = json.loads(sys.argv[1])
go_on, Checkpoint.on_train_batch_begin = Checkpoint.on_train_batch_begin, begin
pretrain(**arguments)
"""


@pytest.fixture(scope="module")
def runs(video_folder, tmp_path_factory) -> dict[str, dict[str, Any]]:
    """Arguments of a run of each stage, which draws from two sources; each was run to its end."""
    folder = tmp_path_factory.mktemp("pretrain")
    write_records(read_manifest(video_folder), folder / "records", short_side=24)
    presets.save(VideoPrismLvT(**TINY, **TEXT), folder / "towers")
    presets.save(VideoPrism(**TINY), folder / "student")
    common = {
        "records": [str(folder / "records")] * 2,
        "frames": (4,),
        "batch_size": 2,
        "image_size": 24,
        "steps": STEPS,
        "learning_rate": 0.01,
        "save_every": SAVE_EVERY,
    }
    stage1 = {
        "stage": 1,
        "preset": str(folder / "towers"),
        "tokenizer": str(ROOT / "tests" / "golden" / "test_spm.model"),
        "output": str(folder / "stage1"),
    }
    stage2 = {
        "stage": 2,
        "preset": str(folder / "student"),
        "teacher": str(folder / "stage1"),
        "output": str(folder / "stage2"),
    }
    found = {"stage1": {**common, **stage1}, "stage2": {**common, **stage2}}
    for arguments in found.values():
        pretrain(**arguments)
    return found


def run_killed(arguments: dict[str, Any], step: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", KILLED, json.dumps([arguments, step])],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )


@pytest.mark.parametrize("number", range(int(os.environ.get("KILLS", "1"))))
@pytest.mark.parametrize("stage", ["stage1", "stage2"])
def test_a_run_that_is_killed_goes_on_to_the_same_weights(runs, stage, number, tmp_path, caplog):
    rng = np.random.default_rng([number, int(stage[-1])])
    step = int(rng.integers(SAVE_EVERY + 1, STEPS))
    arguments = {**runs[stage], "output": str(tmp_path / "out")}
    killed = run_killed(arguments, step)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not (tmp_path / "out").exists()
    curves = pretrain(**arguments)
    assert f"goes on after step {(step - 1) // SAVE_EVERY * SAVE_EVERY}." in caplog.text
    whole = Path(runs[stage]["output"])
    assert curves == json.loads((whole / "curves.json").read_text())
    expected = presets.from_preset(whole).get_weights()
    for found, weight in zip(
        presets.from_preset(tmp_path / "out").get_weights(), expected, strict=True
    ):
        np.testing.assert_array_equal(found, weight)


@pytest.mark.parametrize(
    ("order", "frames"), [("alternate", (4, 1)), ("mixed", (4, 4)), ("sequential", (1, 4))]
)
def test_reading_begins_at_any_step(runs, order, frames):
    """The batches of all sources are those that a reader from step 0 gives."""
    folder = runs["stage1"]["records"][0]
    sources = [
        Source(folder, 2, count, weight) for count, weight in zip(frames, (4, 1), strict=True)
    ]
    read = partial(read_sources, sources, 24, seed=3, order=order, steps=12)
    whole = list(read().take(12).as_numpy_iterator())
    assert {batch["videos"].shape[1] for batch in whole} == set(frames)
    assert {len(batch["videos"]) for batch in whole} == {2}
    for batch, expected in zip(read(start=7), whole[7:], strict=False):
        assert batch.keys() == expected.keys()
        for key, value in expected.items():
            np.testing.assert_array_equal(batch[key], value)


def test_bad_arguments_are_told_before_any_work(tmp_path):
    settings = {"preset": "videoprism_tiny", "output": tmp_path / "out", "steps": 2}
    with pytest.raises(ValueError, match="frames must be one value or one for each of the 2"):
        pretrain(1, ["a", "b"], frames=(8, 8, 1), **settings)
    with pytest.raises(ValueError, match="teacher"):
        pretrain(2, ["a"], **settings)
    with pytest.raises(ValueError, match=r"stage 1 has no \['loss_on'\]; see .* of Stage1Model"):
        pretrain(1, ["a"], loss_on="all", **settings)
    with pytest.raises(ValueError, match=r"stage 1 has no \['encoder'\]"):
        pretrain(1, ["a"], encoder="b", **settings)
    with pytest.raises(ValueError, match="same num_frames"):
        pretrain(1, ["a", "b"], order="mixed", frames=(8, 1), **settings)
    with pytest.raises(ValueError, match="init_from and freeze_spatial are for stage 1"):
        pretrain(2, ["a"], teacher="b", init_from="c", **settings)
    with pytest.raises(ValueError, match="would keep a random spatial encoder"):
        pretrain(1, ["a"], freeze_spatial=True, **settings)
    (tmp_path / "out").mkdir()
    with pytest.raises(ValueError, match="exists"):
        pretrain(1, ["a"], **settings)


def test_tuning_without_masks_starts_from_the_written_preset(runs, tmp_path):
    """Its weights, its tokenizer, and all tokens of each clip."""
    written = runs["stage1"]["output"]
    changes = {"preset": written, "tokenizer": None, "output": str(tmp_path / "tuned"), "steps": 2}
    changes |= {"init": True, "masking_ratio": 0.0, "learning_rate": 0.0}
    pretrain(**{**runs["stage1"], **changes})
    before, tuned = presets.from_preset(written), presets.from_preset(tmp_path / "tuned")
    for weight, expected in zip(tuned.get_weights(), before.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, expected)
    assert tuned.tokenizer.vocabulary_size == before.tokenizer.vocabulary_size
    with (tmp_path / "tuned.run" / "steps.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    tokens = float(row["visible_tokens_per_second"]) * float(row["seconds_per_step"])
    assert tokens == pytest.approx(2 * 4 * 9)


def test_the_other_ways_of_stage_1(runs, tmp_path):
    """Joint attention, mixed sources, the sigmoid loss and autoencoding, in one run."""
    decoder = {"decoder_dim": 16, "decoder_layers": 1, "decoder_heads": 2, "decoder_mlp_dim": 32}
    others = {"attention": "joint", "order": "mixed", "contrast": "sigmoid"}
    others |= {"autoencoding_weight": 0.5, "steps": 1, "output": str(tmp_path / "out"), **decoder}
    curves = pretrain(**{**runs["stage1"], **others})
    assert curves["reconstruction_loss"][0] > 0 and "logit_bias" in curves
    assert presets.from_preset(tmp_path / "out").video_encoder.attention == "joint"
    run = json.loads((tmp_path / "out.run" / "run.json").read_text())
    assert run["arguments"]["contrast"] == "sigmoid" and "stage_args" not in run["arguments"]
    again = {"preset": str(tmp_path / "out"), "init": True, "attention": "factorized"}
    with pytest.raises(ValueError, match="are of joint attention; received .*'factorized'"):
        pretrain(**{**runs["stage1"], **again, "output": str(tmp_path / "new")})


def test_starts_from_an_image_model(runs, tmp_path, caplog):
    """The spatial encoder stays what the source gives, the rest learns; this is logged."""
    source = keras_hub.models.ViTBackbone((24, 24, 3), 8, 1, 2, 16, 32)
    source.save_to_preset(str(tmp_path / "vit"))
    output = tmp_path / "out"
    start = {"init_from": tmp_path / "vit", "freeze_spatial": True}
    pretrain(**{**runs["stage1"], **start, "output": str(output), "steps": 2})
    kernel = source.get_layer("vit_encoder").encoder_layers[0].mlp.dense_1.kernel
    towers = VideoPrismLvT.from_preset(output)
    block = towers.video_encoder.encoder.spatial_encoder.blocks[0]
    np.testing.assert_array_equal(block.mlp_hidden.kernel, kernel)
    assert towers.video_encoder.encoder.spatial_encoder.trainable  # as loaded
    assert "not initialised: encoder/temporal_position, encoder/temporal_encoder" in caplog.text
