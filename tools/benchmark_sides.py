"""What `benchmark.py` compares: one compiled model for each side, all on the same batch."""

from collections.abc import Callable
from typing import Any

import keras
import keras_hub
import numpy as np
from keras import ops

from keras_videoprism import Stage1Model, Stage2Model, VideoPrism, VideoPrismLvT
from keras_videoprism.models.video_prism_lvt import l2_normalize
from keras_videoprism.training.losses import contrastive_loss
from keras_videoprism.training.recipes import stage1_optimizer, stage2_optimizer

PATCH_SIZE = 18
HEAD_DIM = 64
VOCABULARY_SIZE = 1000
NUM_TEXT_TOKENS = 64  # Appendix C.1
NUM_AUXILIARY_LAYERS = 2  # as in the released LvT models
NUM_TEXT_LAYERS = 6
LOGIT_CAP = 50.0

Sizes = dict[str, int]


def batch_of(sizes: Sizes) -> dict[str, np.ndarray]:
    """Random clips and texts, the same for every side."""
    rng = np.random.default_rng(0)
    clips, frames, size = sizes["batch"], sizes["frames"], sizes["size"]
    text_shape = (clips, NUM_TEXT_TOKENS)
    return {
        "videos": rng.random((clips, frames, size, size, 3), np.float32),
        "token_ids": rng.integers(VOCABULARY_SIZE, size=text_shape, dtype=np.int32),
        "padding_mask": np.ones(text_shape, bool),
        "clip_id": np.arange(clips),
    }


def encoder_arguments(sizes: Sizes) -> dict[str, Any]:
    """Arguments of `VideoPrism` at its native size."""
    grid = sizes["size"] // PATCH_SIZE
    return {
        "patch_size": PATCH_SIZE,
        "position_shape": (sizes["frames"], grid, grid),
        "hidden_dim": sizes["width"],
        "num_spatial_layers": sizes["spatial_layers"],
        "num_temporal_layers": sizes["temporal_layers"],
        "num_heads": sizes["width"] // HEAD_DIM,
        "mlp_dim": 4 * sizes["width"],
        "logit_cap": LOGIT_CAP,
    }


def stage1(sizes: Sizes, dropping_ratio: float) -> keras.Model:
    """`Stage1Model` on the architecture of the released LvT models."""
    model = VideoPrismLvT(
        num_auxiliary_layers=NUM_AUXILIARY_LAYERS,
        num_text_layers=NUM_TEXT_LAYERS,
        vocabulary_size=VOCABULARY_SIZE,
        **encoder_arguments(sizes),
    )
    training = Stage1Model(model, dropping_ratio=dropping_ratio)
    training.compile(stage1_optimizer())
    return training


class KerasHubStage1(keras.Model):
    """KerasHub's model under the loss of stage 1 and Keras' own training step."""

    def __init__(self, backbone: keras.Model):
        super().__init__()
        self.backbone = backbone
        self.log_logit_scale = self.add_weight(
            name="log_logit_scale", shape=(), initializer=keras.initializers.Constant(2.66)
        )
        self.built = True  # as in `TrainStep`: no symbolic build that would trace twice

    def call(self, inputs: dict[str, Any]) -> dict[str, Any]:
        return self.backbone(
            {
                "pixel_values": inputs["videos"],
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


def keras_hub_stage1(sizes: Sizes) -> keras.Model:
    """KerasHub's `VideoPrismBackbone` of the size of `stage1`; it cannot drop tokens."""
    backbone = keras_hub.models.VideoPrismBackbone(
        num_frames=sizes["frames"],
        patch_size=PATCH_SIZE,
        hidden_dim=sizes["width"],
        intermediate_dim=4 * sizes["width"],
        num_heads=sizes["width"] // HEAD_DIM,
        num_spatial_layers=sizes["spatial_layers"],
        num_temporal_layers=sizes["temporal_layers"],
        num_auxiliary_layers=NUM_AUXILIARY_LAYERS,
        vocabulary_size=VOCABULARY_SIZE,
        num_text_layers=NUM_TEXT_LAYERS,
        attention_logit_soft_cap=LOGIT_CAP,
        image_shape=(sizes["size"], sizes["size"], 3),
    )
    training = KerasHubStage1(backbone)
    training.compile(stage1_optimizer())
    return training


def stage2(sizes: Sizes, **masking: Any) -> keras.Model:
    """`Stage2Model` with the paper's decoders and a teacher of the student's size."""
    arguments = encoder_arguments(sizes)
    teacher = VideoPrismLvT(num_auxiliary_layers=0, num_text_layers=1, **arguments)
    training = Stage2Model(VideoPrism(**arguments), teacher, **masking)
    training.compile(stage2_optimizer())
    return training


SIDES: dict[str, Callable[[Sizes], keras.Model]] = {
    "stage 1, half dropped": lambda sizes: stage1(sizes, dropping_ratio=0.5),
    "stage 1, all tokens": lambda sizes: stage1(sizes, dropping_ratio=0.0),
    "KerasHub, all tokens": keras_hub_stage1,
    "stage 2, BEVT, flat": stage2,
    "stage 2, BEVT, blocks": lambda sizes: stage2(sizes, num_masked_frames=sizes["frames"] - 1),
    # Tubes of all patches are a dense grid: the fastest student that sees everything.
    "stage 2, unmasked": lambda sizes: stage2(sizes, mask="tube", masking_ratio=0.0),
}
