"""Record folders -> the resampler between a frozen encoder and a frozen language model (App. G)."""

import csv
import json
import logging
import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_videoprism.commands.caption import load_frozen
from keras_videoprism.commands.run_record import write_run
from keras_videoprism.commands.sources import Source, make_sources, read_sources
from keras_videoprism.commands.train import (
    checkpoints_of,
    fit_epochs,
    refuse_existing,
    whole_epochs,
)
from keras_videoprism.data.atomic import atomic_folder, atomic_path
from keras_videoprism.heads.captioner import VideoCaptioner
from keras_videoprism.heads.perceiver_resampler import PerceiverResampler
from keras_videoprism.heads.prefix_language_model import PrefixLanguageModel
from keras_videoprism.heads.prompts import PromptTokenizer
from keras_videoprism.training.checkpoints import Counting, Curves
from keras_videoprism.training.devices import process_of
from keras_videoprism.training.recipes import captioner_optimizer

_LOGGER = logging.getLogger(__name__)

RESAMPLER = "resampler.keras"
_KEYS = ("videos", "token_ids", "answer_mask")  # of a batch


def train_captioner(
    records: Sequence[str | Path],
    preset: str,
    language_model: str,
    output: str | Path,
    steps: int,
    *,
    batch_size: int = 256,
    frames: Sequence[int] | None = None,
    weights: Sequence[float] | None = None,
    image_size: int | None = None,
    text_length: int = 64,
    num_latents: int = 256,
    num_layers: int = 1,
    learning_rate: float = 5e-4,
    warmup_steps: int | None = None,
    seed: int = 0,
    max_bad_records: int = 100,
    save_every: int = 1000,
    keep: int = 3,
    force: bool = False,
) -> Curves:
    """Train a resampler with the recipe of Appendix G.

    Beside the output, `<output>.run` holds run.json and steps.csv, `<output>.checkpoints` the
    resampler and its optimizer. A run that was killed goes on from the newest, to the same weights,
    when it is called again.

    Args:
        records: record folders whose clips all have captions, perhaps with prompts, such as
            questions; each step takes its batch from one of them. Images have one frame.
        preset: of the video encoder; of a `VideoPrismLvT` its video encoder is taken.
        language_model: a KerasHub preset, or the folder of one.
        output: folder to make: resampler.keras, and captioner.json with the names of all parts.
        steps, batch_size, learning_rate, warmup_steps (a twentieth of the steps): see
            `recipes.captioner_optimizer`.
        frames: frames of a clip, one number for all folders or one for each; 1 for images.
            Default: the native number of the encoder.
        weights: how often each folder is drawn; default equally often.
        image_size: pixels; default the native size of the encoder.
        text_length: tokens of a prompt with its answer; longer answers are cut and counted.
        num_latents, num_layers: of the resampler, see `PerceiverResampler`.
        seed: seed of the data and of the first weights.
        max_bad_records: so many damaged records of each folder are logged and replaced.
        save_every, keep, force: see `Checkpoint`.

    Returns:
        The loss of each epoch, and the step of its end.

    Raises:
        ValueError: a language model of another family or without a tokenizer, too short for the
            video and the text, clips without captions, or what `read_records` finds.
        FloatingPointError: the loss is not finite.
    """
    given = dict(locals())
    _check(output)
    warmup_steps = steps // 20 if warmup_steps is None else warmup_steps
    optimizer = captioner_optimizer(learning_rate, steps, warmup_steps)
    keras.utils.set_random_seed(seed)
    captioner = _new_captioner(preset, language_model, num_latents, num_layers)
    captioner.check_length(text_length)
    encoder = captioner.encoder
    frames = frames or encoder.position_shape[:1]
    sources = make_sources(records, batch_size, frames, weights or (1.0,))
    texts = _Texts(captioner.prompts, text_length)
    batches = partial(_batches, sources=sources, image_size=image_size or encoder.image_size)
    batches = partial(batches, answers=texts, seed=seed, max_bad_records=max_bad_records)
    batches(start=0)  # tells now what is wrong with records and texts
    write_run(f"{output}.run", given)
    captioner.compile(optimizer)
    frozen = (encoder, captioner.language_model)
    counting = checkpoints_of(given, frozen=frozen)(captioner)
    log = _EpochLog(Path(f"{output}.run") / "steps.csv", counting)
    fit_epochs(captioner, batches, *whole_epochs(steps), counting, [log])
    texts.report()
    _save(captioner, output, {"preset": preset, "language_model": language_model})
    return counting.curves


def _check(output: str | Path) -> None:
    refuse_existing(output)
    count = process_of()[1]
    if count > 1:
        raise ValueError(f"a captioner is trained on one host; this job has {count}.")


def _new_captioner(
    preset: str, language_model: str, num_latents: int, num_layers: int
) -> VideoCaptioner:
    encoder, causal_lm = load_frozen(preset, language_model)
    width = PrefixLanguageModel(causal_lm).hidden_dim
    # Its own number would differ in the run that goes on.
    resampler = PerceiverResampler(width, num_latents, num_layers, name="resampler")
    return VideoCaptioner(encoder, causal_lm, resampler)


def _batches(start: int, sources: Sequence[Source], **options: Any) -> tf.data.Dataset:
    """Endless batches from step `start` on, each of one source."""
    dataset = read_sources(sources, augment="shifted", start=start, **options)
    return dataset.map(lambda batch: {key: batch[key] for key in _KEYS})


class _Texts:
    """Prompts and answers -> their tokens, of one length; counts the answers that it cuts."""

    def __init__(self, prompts: PromptTokenizer, length: int) -> None:
        self.prompts, self.length = prompts, length
        self.count, self.num_cut = 0, 0

    def __call__(self, prompts: list[str], answers: list[str]) -> dict[str, np.ndarray]:
        batch = self.prompts.batch(prompts, answers, self.length, cut=True)
        last = np.where(
            batch["padding_mask"][:, -1], batch["token_ids"][:, -1], self.prompts.end_id
        )
        self.count += len(last)
        self.num_cut += int((last != self.prompts.end_id).sum())
        return batch

    def report(self) -> None:
        """Warn where answers were cut."""
        if self.num_cut:
            _LOGGER.warning(
                "%d of the %d texts that were read had more than %d tokens; their ends were cut.",
                *(self.num_cut, self.count, self.length),
            )


class _EpochLog(keras.callbacks.Callback):
    """Writes the curves as a CSV file, a row an epoch; those of a run that goes on are all there.

    Raises:
        FloatingPointError: in `fit`, so that nobody takes the resampler for a trained one.
    """

    def __init__(self, path: Path, counting: Counting) -> None:
        super().__init__()
        self.path, self.counting = path, counting

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        curves = self.counting.curves
        with atomic_path(self.path) as temporary, temporary.open("w", newline="") as file:
            csv.writer(file).writerows([curves, *zip(*curves.values(), strict=True)])
        if not math.isfinite(curves["loss"][-1]):
            raise FloatingPointError(
                f"the loss was not finite before step {self.counting.step}; use a lower learning "
                "rate, and remove the newest checkpoints."
            )


def _save(captioner: VideoCaptioner, output: str | Path, parts: dict[str, str]) -> None:
    with atomic_folder(output) as folder:
        captioner.save(folder / RESAMPLER)
        content = json.dumps({**parts, "resampler": RESAMPLER}, indent=1)
        (folder / "captioner.json").write_text(content + "\n", encoding="utf-8")
