"""A stage-2 encoder and stage-1 towers -> two towers around the locked encoder (section 3.2).

Locked-image tuning (LiT, Zhai et al., 2022): pooler, auxiliary encoder and text tower learn, the
video encoder does not. What it gives for a clip can therefore be computed once for all steps.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import keras

from keras_videoprism.commands.features import cache_features
from keras_videoprism.commands.run_record import write_run
from keras_videoprism.commands.train import (
    FREE,
    Batches,
    checkpoints_of,
    paper_optimizer,
    refuse_existing,
    run_callbacks,
    train_stage1,
)
from keras_videoprism.data import read_records
from keras_videoprism.models import VideoPrism, VideoPrismLvT
from keras_videoprism.training.checkpoints import Curves


def lock_encoder(model: VideoPrismLvT, encoder: VideoPrism) -> None:
    """Give the weights of `encoder` to the video encoder of `model`, and freeze it.

    Raises:
        ValueError: lists the sizes in which the two differ.
    """
    check_fit(model, encoder)
    model.video_encoder.set_weights(encoder.get_weights())
    model.video_encoder.trainable = False


def check_fit(model: VideoPrismLvT, encoder: VideoPrism) -> None:
    """ValueError that lists the sizes in which `encoder` and that of `model` differ."""
    ours, theirs = _sizes(model.video_encoder), _sizes(encoder)
    differing = [
        f"  {name}: {ours[name]} in the towers, {theirs[name]} in the encoder"
        for name in ours
        if ours[name] != theirs[name]
    ]
    if differing:
        raise ValueError("the encoder does not fit the towers:\n" + "\n".join(differing))


def _sizes(encoder: VideoPrism) -> dict[str, Any]:
    config = encoder.get_config()
    return {name: config[name] for name in config if name not in ("name", "trainable", "dtype")}


def train_lit(
    model: VideoPrismLvT,
    encoder: VideoPrism,
    batches: Batches,
    optimizer: keras.Optimizer,
    steps: int,
    **arguments: Any,
) -> Curves:
    """Train text tower and pooler of `model` for a locked encoder; no token is dropped.

    Args:
        model: the stage-1 towers, with a tokenizer; changed in place and saved as a preset, in
            which `encoder` is the video encoder.
        encoder: of stage 2.
        batches: as in `train_stage1`; videos, or video_tokens that `encoder` gave for them.
        optimizer, steps, **arguments: see `train_stage1`.

    Raises:
        ValueError: `encoder` differs in size from the encoder of `model`.
    """
    lock_encoder(model, encoder)
    return train_stage1(model, batches, optimizer, steps, dropping_ratio=0.0, **arguments)


def lit(
    records: Sequence[str | Path],
    encoder: str | Path,
    towers: str | Path,
    output: str | Path,
    steps: int,
    *,
    batch_size: int = 64,
    frames: int = 8,
    image_size: int | None = None,
    sampling: str = "uniform",
    learning_rate: float = 5e-4,
    warmup_steps: int | None = None,
    micro_batches: int = 1,
    cache: str | Path | None = None,
    cache_dtype: str = "float32",
    seed: int = 0,
    max_bad_records: int = 100,
    save_every: int = 1000,
    keep: int = 3,
    force: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Curves:
    """Train two towers around a locked encoder, from record folders to a preset folder.

    Run records and checkpoints stand beside the output as those of `pretrain`. To train a last
    epoch on one data set, call it again with its records and with the first output as `towers`.

    Args:
        records: record folders with captions, read as one data set.
        encoder: preset of stage 2.
        towers: preset of stage 1, or an earlier output.
        output: preset folder to write.
        steps, batch_size, learning_rate, warmup_steps (a tenth of the steps): see `recipes`.
        frames: frames of a clip.
        image_size: pixels; default the native size of the encoder.
        sampling: "uniform" or "random_segment"; with a cache "uniform".
        micro_batches: parts of each batch, to save memory.
        cache: folder for the encoder's tokens of all clips (see `cache_features`): made, or taken
            if an earlier run made it; the steps then run no encoder and decode no frames.
        cache_dtype: "float32", or "float16" for half of the disk.
        seed: seed of the order and of the captions.
        max_bad_records: so many damaged records are logged and replaced.
        save_every, keep, force: see `Checkpoint`.
        progress: called with (clips encoded, clips in all) while the cache is made.
    """
    given = dict(locals())
    keras.utils.set_random_seed(seed)
    _check(output, sampling, cache)
    model = VideoPrismLvT.from_preset(str(towers))
    if model.tokenizer is None:
        raise ValueError(f"{towers} has no tokenizer; take the output of stage 1.")
    locked = VideoPrism.from_preset(str(encoder))
    check_fit(model, locked)
    size = (image_size, image_size) if image_size else locked.image_size
    read = partial(
        read_records,
        records,
        batch_size=batch_size,
        num_frames=frames,
        image_size=size,
        tokenizer=model.tokenizer,
        sampling=sampling,
        shuffle=True,
        repeat=True,
        seed=seed,
        max_bad_records=max_bad_records,
    )
    read()  # tells now what is wrong with records and arguments
    if cache is not None:
        read = _encode_once(read, locked, cache, cache_dtype, progress)
    write_run(f"{output}.run", {**given, "progress": None})
    optimizer = paper_optimizer(1, learning_rate, steps, warmup_steps)
    checkpoints = checkpoints_of(given, (*FREE, "progress"))
    arguments: dict[str, Any] = {"output": output, "seed": seed, "num_micro_batches": micro_batches}
    arguments["callbacks"] = run_callbacks(f"{output}.run", read, steps, model.video_encoder)
    return train_lit(model, locked, read, optimizer, steps, checkpoints=checkpoints, **arguments)


def _check(output: str | Path, sampling: str, cache: str | Path | None) -> None:
    refuse_existing(output)
    if cache is not None and sampling != "uniform":
        raise ValueError(f"a cache holds uniform frames; received sampling={sampling!r}.")


def _encode_once(
    read: partial,
    encoder: VideoPrism,
    cache: str | Path,
    dtype: str,
    progress: Callable[[int, int], None] | None,
) -> partial:
    """The same reading, with tokens in place of videos."""
    names = ("num_frames", "image_size", "max_bad_records")
    clips = {name: read.keywords[name] for name in names}
    cache_features(encoder, read.args[0], cache, dtype=dtype, progress=progress, **clips)
    return partial(read, features=cache)
