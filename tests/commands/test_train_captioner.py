import csv
import json
import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
from keras_hub import models
from safetensors.numpy import load_file

from keras_videoprism import presets
from keras_videoprism.commands.caption import ask, load_captioner
from keras_videoprism.commands.train_captioner import _EpochLog, _Texts, train_captioner
from keras_videoprism.data import read_manifest, write_records
from keras_videoprism.data.annotations import Question, question_rows
from keras_videoprism.heads.prompts import PromptTokenizer
from keras_videoprism.training.checkpoints import Checkpoint, Counting, checkpoints_in

STEPS = 4


def save_language_model(folder: Path, context: int) -> None:
    keras.utils.set_random_seed(0)
    pieces = ["<|endoftext|>", *"abcdefghijklmnopqrstuvwxyzĠ?:", "th"]
    tokenizer = models.GPT2Tokenizer({piece: i for i, piece in enumerate(pieces)}, ["t h"])
    backbone = models.GPT2Backbone(len(pieces), 1, 2, 8, 8, max_sequence_length=context)
    model = models.GPT2CausalLM(backbone, models.GPT2CausalLMPreprocessor(tokenizer))
    model.save_to_preset(folder)


@pytest.fixture(scope="module")
def parts(video_folder, text_tower, tmp_path_factory) -> Path:
    """Folder of a preset, a language model, clips with captions and "images" with questions."""
    folder = tmp_path_factory.mktemp("captioner")
    presets.save(text_tower, folder / "encoder")
    save_language_model(folder / "language_model", 64)
    rows = [row._replace(captions=("a square",), labels=()) for row in read_manifest(video_folder)]
    write_records(rows, folder / "clips", num_shards=1, short_side=24)
    questions = [Question(rows[i], "what is this?", (text,)) for i, text in enumerate("abcd")]
    write_records(question_rows(questions), folder / "images", num_shards=1, num_frames=1)
    return folder


def arguments(parts: Path, output: Path, **changes: Any) -> dict[str, Any]:
    return {
        "records": [parts / "clips", parts / "images"],
        "preset": str(parts / "encoder"),
        "language_model": str(parts / "language_model"),
        "output": output,
        "steps": STEPS,
        "batch_size": 2,
        "frames": (4, 1),
        "text_length": 40,
        "num_latents": 4,
        "learning_rate": 1e-2,
        **changes,
    }


def weights(output: Path) -> list[np.ndarray]:
    return keras.saving.load_model(output / "resampler.keras", compile=False).get_weights()


@pytest.fixture(scope="module")
def trained(parts, tmp_path_factory) -> tuple[Path, dict]:
    output = tmp_path_factory.mktemp("trained") / "out"
    return output, train_captioner(**arguments(parts, output))


def test_what_a_run_leaves_behind(parts, trained, video_folder):
    """Parts that answer, the loss of each epoch, and a checkpoint of the resampler alone."""
    output, curves = trained
    assert curves["step"] == [STEPS]
    named = json.loads((output / "captioner.json").read_text())
    assert named["preset"] == str(parts / "encoder") and named["resampler"] == "resampler.keras"
    with (output.with_name("out.run") / "steps.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert float(row["loss"]) == curves["loss"][0] > 0 and float(row["step"]) == STEPS
    assert (output.with_name("out.run") / "run.json").exists()
    (checkpoint,) = checkpoints_in(output.with_name("out.checkpoints"))
    resampler = sum(array.nbytes for array in weights(output))
    assert checkpoint.stat().st_size < 4 * resampler  # with two moments of each weight
    captioner = load_captioner(
        named["preset"], named["language_model"], output / named["resampler"]
    )
    file = sorted(video_folder.glob("*.mp4"))[0]
    assert ask(captioner, file, "what is this?", candidates=["a", "b"]) in ("a", "b")


def test_a_stopped_run_goes_on_to_the_same_weights(parts, trained, tmp_path, monkeypatch):
    options = arguments(parts, tmp_path / "out")
    begin = Checkpoint.on_train_batch_begin

    def stopped(self: Checkpoint, batch: int, logs: dict | None = None) -> None:
        if batch == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        begin(self, batch, logs)

    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(Checkpoint, "on_train_batch_begin", stopped)
        train_captioner(**options)
    (checkpoint,) = checkpoints_in(tmp_path / "out.checkpoints")
    assert checkpoint.stem == "step-00000002"
    curves = train_captioner(**options)
    output, expected = trained
    assert curves == expected
    early, late = load_file(checkpoint), weights(output)
    assert np.abs(early["resampler/latents#1"] - late[0]).max() > 1e-3
    for ours, theirs in zip(weights(tmp_path / "out"), weights(output), strict=True):
        np.testing.assert_array_equal(ours, theirs)


class Letters:
    """A vocabulary of letters; 0 ends a text."""

    end_token_id = 0

    def __call__(self, text: str) -> list[int]:
        return [ord(letter) for letter in text]


def test_cut_answers_are_counted(caplog):
    tokenizer = SimpleNamespace(tokenizer=Letters(), add_start_token=False)
    texts = _Texts(PromptTokenizer(SimpleNamespace(preprocessor=tokenizer)), 5)
    batch = texts(["", "q?", ""], ["abcd", "ab", "abcde"])
    ends = [[97, 98, 99, 100, 0], [113, 63, 32, 97, 98], [97, 98, 99, 100, 101]]
    assert batch["token_ids"].tolist() == ends
    assert batch["answer_mask"].sum(axis=1).tolist() == [5, 3, 5]
    texts.report()
    assert "2 of the 3 texts that were read had more than 5 tokens" in caplog.text
    with pytest.raises(ValueError, match="a text has 6 tokens, more than length=5"):
        texts(["long?"], ["a"])


def test_the_log_is_that_of_the_whole_run(tmp_path):
    counting = Counting(8, {"step": [4, 8], "loss": [2.0, 1.5]})
    _EpochLog(tmp_path / "steps.csv", counting).on_epoch_end(1)
    assert (tmp_path / "steps.csv").read_text().split() == ["step,loss", "4,2.0", "8,1.5"]
    counting.curves["loss"][-1] = float("nan")
    with pytest.raises(FloatingPointError, match="the loss was not finite before step 8"):
        _EpochLog(tmp_path / "steps.csv", counting).on_epoch_end(1)


def test_errors_before_any_work(parts, video_folder, tmp_path):
    """None of them leaves a run behind."""

    def refused(message: str, **changes: Any) -> None:
        with pytest.raises(ValueError, match=message):
            train_captioner(**arguments(parts, tmp_path / "out", **changes))

    refused("warmup_steps=9, total_steps=4", warmup_steps=9)
    refused("4 tokens of the video and 61 of prompt and answer", text_length=61)
    refused("a text has .* tokens, more than length=9", text_length=9)
    refused("num_latents must be at least 1", num_latents=0)
    refused("frames must be one value or one for each of the 2", frames=(4, 1, 1))
    refused("6 clips do not fill one batch of 9", batch_size=9)
    rows = [row._replace(captions=()) for row in read_manifest(video_folder)]
    write_records(rows[:2], tmp_path / "mute", num_shards=1, num_frames=1)
    refused("2 of 2 clips have no caption", records=[tmp_path / "mute"], frames=None)
    backbone = models.OPTBackbone(20, 1, 2, 8, 8, max_sequence_length=64)
    models.OPTCausalLM(backbone, None).save_to_preset(tmp_path / "opt")
    refused("CausalLM on one of GPT2Backbone.*OPTBackbone", language_model=str(tmp_path / "opt"))
    assert not (tmp_path / "out.run").exists()
    (tmp_path / "out").mkdir()
    refused("out exists")
