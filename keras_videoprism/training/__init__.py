"""Stage 1 and stage 2 of the pretraining."""

from keras_videoprism.training.stage1 import Stage1Model
from keras_videoprism.training.stage2 import Stage2Model

__all__ = ["Stage1Model", "Stage2Model"]
