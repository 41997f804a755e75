"""Tensors to tensors: the building blocks of VideoPrism, on keras alone."""

from keras_videoprism.layers.attention import Attention
from keras_videoprism.layers.factorized_encoder import FactorizedEncoder
from keras_videoprism.layers.global_decoder import GlobalDecoder
from keras_videoprism.layers.joint_encoder import JointEncoder
from keras_videoprism.layers.map_pooler import MAPPooler
from keras_videoprism.layers.text_encoder import TextEncoder
from keras_videoprism.layers.token_shuffle_decoder import TokenShuffleDecoder

__all__ = [
    "Attention",
    "FactorizedEncoder",
    "JointEncoder",
    "GlobalDecoder",
    "MAPPooler",
    "TextEncoder",
    "TokenShuffleDecoder",
]
