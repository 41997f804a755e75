"""What `benchmark.py` compares: a compiled model for each side, all trained on the same batch."""

import csv
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import keras
import keras_hub
import numpy as np
from keras import ops

from keras_videoprism import Stage1Model, Stage2Model, VideoPrism, VideoPrismLvT
from keras_videoprism.models.video_prism_lvt import l2_normalize
from keras_videoprism.training.callbacks import StepLog
from keras_videoprism.training.losses import contrastive_loss
from keras_videoprism.training.recipes import stage1_optimizer, stage2_optimizer

PATCH_SIZE = 18
HEAD_DIM = 64
VOCABULARY_SIZE = 1000
TEXT_TOKENS = 64  # Appendix C.1
LOGIT_CAP = 50.0
INITIAL_LOGIT_SCALE = 2.66  # logarithm of 1 / 0.07


def random_batch(sizes: Namespace, parts: int = 1) -> dict[str, np.ndarray]:
    """Clips and texts of noise, of each part; the numbers do not change the time of a step.

    Clips are bytes, as `read_records` gives them.
    """
    rng = np.random.default_rng(0)
    clips = parts * sizes.batch
    video_shape, text_shape = (clips, sizes.frames, sizes.size, sizes.size, 3), (clips, TEXT_TOKENS)
    return {
        "videos": rng.integers(256, size=video_shape, dtype=np.uint8),
        "token_ids": rng.integers(VOCABULARY_SIZE, size=text_shape, dtype=np.int32),
        "padding_mask": np.ones(text_shape, bool),
        "clip_id": np.arange(clips),
    }


def stage1(sizes: Namespace, dropping_ratio: float = 0.5, **memory: Any) -> keras.Model:
    """`Stage1Model` of an LvT model, with its auxiliary encoder as the released ones have it."""
    model = VideoPrismLvT(
        num_auxiliary_layers=sizes.auxiliary_layers,
        num_text_layers=sizes.text_layers,
        vocabulary_size=VOCABULARY_SIZE,
        **_encoder_arguments(sizes),
    )
    stage = Stage1Model(model, dropping_ratio=dropping_ratio, **memory)
    return _compiled(stage, stage1_optimizer())


class KerasHubStage1(keras.Model):
    """KerasHub's model under the loss of stage 1 and Keras' own training step."""

    def __init__(self, backbone: keras.Model):
        super().__init__()
        self.backbone = backbone
        self.log_logit_scale = self.add_weight(
            name="log_logit_scale",
            shape=(),
            initializer=keras.initializers.Constant(INITIAL_LOGIT_SCALE),
        )
        self.built = True  # spares a symbolic build, as `Stage` does: it would trace twice

    def call(self, inputs: dict[str, Any]) -> dict[str, Any]:
        return self.backbone(
            {
                "pixel_values": ops.cast(inputs["videos"], self.compute_dtype) / 255,
                "token_ids": inputs["token_ids"],
                "padding_mask": ops.cast(inputs["padding_mask"], "int32"),
            }
        )

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return contrastive_loss(
            l2_normalize(y_pred["vision_embeddings"]),
            l2_normalize(y_pred["text_embeddings"]),
            ops.exp(ops.convert_to_tensor(self.log_logit_scale)),
        )


def keras_hub_stage1(sizes: Namespace) -> keras.Model:
    """KerasHub's `VideoPrismBackbone` of the size of `stage1`; it cannot drop tokens."""
    backbone = keras_hub.models.VideoPrismBackbone(
        num_frames=sizes.frames,
        patch_size=PATCH_SIZE,
        hidden_dim=sizes.width,
        intermediate_dim=4 * sizes.width,
        num_heads=sizes.width // HEAD_DIM,
        num_spatial_layers=sizes.spatial_layers,
        num_temporal_layers=sizes.temporal_layers,
        num_auxiliary_layers=sizes.auxiliary_layers,
        vocabulary_size=VOCABULARY_SIZE,
        num_text_layers=sizes.text_layers,
        attention_logit_soft_cap=LOGIT_CAP,
        image_shape=(sizes.size, sizes.size, 3),
    )
    return _compiled(KerasHubStage1(backbone), stage1_optimizer())


def stage2(sizes: Namespace, **masking: Any) -> keras.Model:
    """`Stage2Model` with the paper's decoders and a teacher of the student's size."""
    arguments = _encoder_arguments(sizes)
    teacher = VideoPrismLvT(num_auxiliary_layers=0, num_text_layers=1, **arguments)
    model = Stage2Model(VideoPrism(**arguments), teacher, **masking)
    return _compiled(model, stage2_optimizer())


SIDES: dict[str, Callable[[Namespace], keras.Model]] = {
    "stage 1, half of the tokens": lambda sizes: stage1(sizes, dropping_ratio=0.5),
    "stage 1, all tokens": lambda sizes: stage1(sizes, dropping_ratio=0.0),
    "stage 1, half of the tokens, logged by fit": stage1,
    "KerasHub, all tokens": keras_hub_stage1,
    "stage 2, BEVT flat": stage2,
    "stage 2, BEVT blocks": lambda sizes: stage2(sizes, num_masked_frames=sizes.frames - 1),
    # Tubes of all patches are a dense grid: the fastest student that sees everything.
    "stage 2, all tokens": lambda sizes: stage2(sizes, mask="tube", masking_ratio=0.0),
    "stage 1, one batch": stage1,
    "stage 1, 8 batches in 8 parts": lambda sizes: stage1(sizes, num_micro_batches=8),
    "stage 1, remat": lambda sizes: stage1(sizes, remat=True),
    "stage 2, one batch": stage2,
    "stage 2, 8 batches in 8 parts": lambda sizes: stage2(sizes, num_micro_batches=8),
    "stage 2, remat": lambda sizes: stage2(sizes, remat=True),
}


def logged(model: keras.Model, batch: dict[str, np.ndarray], steps: int) -> dict[str, float]:
    """What the table of a run says of the speed of its steps after the first."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "steps.csv"
        model.fit(
            ((batch,) for _ in range(1 + steps)),
            steps_per_epoch=1 + steps,
            shuffle=False,
            verbose=0,
            callbacks=[StepLog(path, every=1 + steps)],
        )
        with path.open(newline="", encoding="utf-8") as file:
            (row,) = csv.DictReader(file)
    return {
        "step_seconds": float(row["seconds_per_step"]),
        "flops_per_second": float(row["flops_per_second"]),
    }


def _encoder_arguments(sizes: Namespace) -> dict[str, Any]:
    """Arguments of `VideoPrism`, native to the clips of the batch."""
    grid = sizes.size // PATCH_SIZE
    return {
        "patch_size": PATCH_SIZE,
        "position_shape": (sizes.frames, grid, grid),
        "hidden_dim": sizes.width,
        "num_spatial_layers": sizes.spatial_layers,
        "num_temporal_layers": sizes.temporal_layers,
        "num_heads": sizes.width // HEAD_DIM,
        "mlp_dim": 4 * sizes.width,
        "logit_cap": LOGIT_CAP,
    }


def _compiled(model: keras.Model, optimizer: keras.Optimizer) -> keras.Model:
    model.compile(optimizer)
    return model
