"""What a run of either stage starts from: presets, with or without their weights."""

import logging
from pathlib import Path
from typing import Any

from keras import ops

from keras_videoprism import converters
from keras_videoprism.data import Tokenizer
from keras_videoprism.models import VideoPrism, VideoPrismLvT

_LOGGER = logging.getLogger(__name__)


def start_models(
    stage: int,
    preset: str,
    *,
    init: bool = False,
    tokenizer: str | Path | None = None,
    teacher: str | Path | None = None,
    attention: str | None = None,
    init_from: str | Path | None = None,
    freeze_spatial: bool = False,
    dtype: str | None = None,
) -> tuple[VideoPrismLvT, VideoPrism | None]:
    """The two-tower model of a stage and the student: (towers, None) or (teacher, student).

    Args:
        stage: 1 (contrast) or 2 (masked distillation).
        preset: what to train, e.g. "videoprism_lvt_b" in stage 1, "videoprism_b" in stage 2.
        init: start from the weights of the preset.
        tokenizer: stage 1: SentencePiece model, unless the preset has one.
        teacher: stage 2: preset folder of stage 1.
        attention: "factorized" or "joint" (see `VideoPrism`); default that of the preset.
        init_from: stage 1: KerasHub's CLIP, SigLIP or ViT; what `initialize` leaves out is logged.
        freeze_spatial: stage 1: do not train patch embedding and spatial encoder.
        dtype: such as "mixed_bfloat16": products in bfloat16; variables, softmax, norms and losses
            in float32. The frozen teacher is then stored in bfloat16 too.

    Raises:
        ValueError: arguments that do not go together, or a model without a tokenizer.
    """
    check_start(stage, teacher, init, init_from, freeze_spatial)
    if stage == 2:
        student = _encoder(preset, init, attention, dtype)
        return _teacher(str(teacher), student, dtype), student
    towers = _stage1_towers(preset, init, tokenizer, attention, dtype)
    if init_from is not None:
        for line in converters.initialize(towers, init_from).lines():
            _LOGGER.warning("%s: %s", init_from, line)
    if freeze_spatial:
        converters.freeze_spatial(towers.video_encoder)
    return towers, None


def check_start(
    stage: int,
    teacher: str | Path | None = None,
    init: bool = False,
    init_from: str | Path | None = None,
    freeze_spatial: bool = False,
) -> None:
    """ValueError for arguments that do not go together."""
    if stage == 2 and teacher is None:
        raise ValueError("stage 2 needs a teacher: the preset folder that stage 1 wrote.")
    if stage == 2 and (init_from or freeze_spatial):
        raise ValueError("init_from and freeze_spatial are for stage 1; stage 2 starts from it.")
    if freeze_spatial and not (init or init_from):
        raise ValueError(
            "freeze_spatial would keep a random spatial encoder: name a source by init_from, or "
            "start from the preset's weights by init."
        )


def _encoder(preset: str, init: bool, attention: str | None, dtype: str | None) -> VideoPrism:
    replaced = _replaced(init, attention, dtype)
    model = VideoPrism.from_preset(preset, load_weights=init, **replaced)
    _check_attention(preset, model, attention)
    return model


def copy_weights(student: VideoPrism, teacher: VideoPrismLvT) -> None:
    """Start a student of the teacher's shape from the teacher (Appendix C.2).

    A teacher of another dtype is left alone: its weights may be rounded. Values are copied: a step
    on JAX gives away the memory of each variable, so that no two may share it.
    """
    both = student.weights, teacher.video_encoder.weights
    ours, theirs = ([(weight.shape, weight.dtype) for weight in weights] for weights in both)
    if ours == theirs:
        for weight, value in zip(*both, strict=True):
            weight.assign(ops.copy(value))


def _teacher(folder: str, student: VideoPrism, dtype: str | None) -> VideoPrismLvT:
    """A frozen model needs no float32 variables where its products are rounded anyway."""
    teacher = VideoPrismLvT.from_preset(folder, **_replaced(True, None, dtype))
    copy_weights(student, teacher)
    if dtype is None:
        return teacher
    config = {**teacher.get_config(), "dtype": dtype.removeprefix("mixed_")}
    rounded = VideoPrismLvT.from_config(config)
    for ours, theirs in zip(rounded.weights, teacher.weights, strict=True):
        ours.assign(ops.copy(theirs))
    return rounded


def _stage1_towers(
    preset: str,
    init: bool,
    tokenizer: str | Path | None,
    attention: str | None,
    dtype: str | None,
) -> VideoPrismLvT:
    loaded = None if tokenizer is None else Tokenizer(tokenizer)
    replaced = _replaced(init, attention, dtype)
    if loaded is not None:
        # The stage-1 model of the paper pools the encoder's tokens directly (section 2.3.1).
        replaced |= {"vocabulary_size": loaded.vocabulary_size, "num_auxiliary_layers": 0}
    model = VideoPrismLvT.from_preset(preset, load_weights=init, **replaced)
    _check_attention(preset, model.video_encoder, attention)
    if loaded is not None:
        model.tokenizer = loaded
    if model.tokenizer is None:
        raise ValueError(f"{preset} has no tokenizer; name a SentencePiece model.")
    return model


def _replaced(init: bool, attention: str | None, dtype: str | None) -> dict[str, Any]:
    """Arguments of a preset that change; its weights fit its own attention alone."""
    replaced = {} if init or attention is None else {"attention": attention}
    return replaced if dtype is None else {**replaced, "dtype": dtype}


def _check_attention(preset: str, encoder: VideoPrism, attention: str | None) -> None:
    if attention not in (None, encoder.attention):
        raise ValueError(
            f"the weights of {preset} are of {encoder.attention} attention; received "
            f"attention={attention!r}. Leave it out, or start without the weights (init=False)."
        )
