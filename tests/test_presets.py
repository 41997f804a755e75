from pathlib import Path

import keras
import numpy as np
import pytest

from keras_videoprism import presets
from keras_videoprism.data.tokenize import Tokenizer
from keras_videoprism.models import VideoPrism, VideoPrismLvT

PARAMETERS = {
    "videoprism_b": 114_365_184,
    "videoprism_l": 353_965_056,
    "videoprism_g": 1_112_755_072,
    "videoprism_lvt_b": 247_623_424,
    "videoprism_lvt_l": 579_877_120,
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameter_counts(name):
    """Those of the official models; no weight is allocated."""
    cls = VideoPrismLvT if "lvt" in name else VideoPrism
    with keras.StatelessScope(initialize_variables=False):
        model = cls(**presets.PRESETS[name])
    assert model.count_params() == PARAMETERS[name]


def test_giant_text_tower():
    """16 layers with norms before and after each branch; its weights were never published."""
    with keras.StatelessScope(initialize_variables=False):
        model = VideoPrismLvT(**presets.PRESETS["videoprism_lvt_g"])
    blocks = model.text_encoder.transformer.blocks
    assert len(blocks) == 16 and all(len(block.post_norms) == 2 for block in blocks)
    encoder = model.video_encoder
    assert encoder.count_params() == PARAMETERS["videoprism_g"]


@pytest.mark.parametrize("name", sorted(presets.PRESETS))
def test_every_encoder_has_its_two_tower_model(name):
    encoder = presets.PRESETS[name.replace("lvt_", "")]
    assert encoder.items() <= presets.PRESETS[name].items()


def test_random_weights_of_a_preset():
    model = VideoPrism.from_preset("videoprism_tiny", load_weights=False, hidden_dim=12)
    assert model.hidden_dim == 12
    assert model.patch_size == presets.PRESETS["videoprism_tiny"]["patch_size"]


@pytest.mark.parametrize("name", ["videoprism_tiny", "videoprism_lvt_tiny"])
def test_shipped_presets(name):
    """Their files in the package hold the sizes that `PRESETS` tells."""
    model = presets.from_preset(name)
    assert isinstance(model, VideoPrismLvT if "lvt" in name else VideoPrism)
    config = model.get_config()
    for key, value in presets.PRESETS[name].items():
        if key != "vocabulary_size":  # the shipped tokenizer's
            assert config[key] == value, key
    if "lvt" in name:
        assert model.vocabulary_size == model.tokenizer.vocabulary_size
    assert all(np.isfinite(weight).all() for weight in model.get_weights())


def test_preset_without_weights():
    with pytest.raises(ValueError, match="videoprism_g has no weights .*load_weights=False"):
        VideoPrism.from_preset("videoprism_g")


def test_unknown_preset(tmp_path):
    with pytest.raises(ValueError, match="no preset 'videoprism_xl'.*'videoprism_b'"):
        VideoPrism.from_preset("videoprism_xl")
    with pytest.raises(ValueError, match="no preset"):
        VideoPrism.from_preset(str(tmp_path / "missing"))


def test_the_tokenizer_travels_with_the_model(tmp_path, video_prism_lvt):
    tokenizer = Tokenizer(Path(__file__).parent / "golden" / "test_spm.model")
    video_prism_lvt.tokenizer = tokenizer
    try:
        presets.save(video_prism_lvt, tmp_path / "preset")
    finally:
        video_prism_lvt.tokenizer = None
    loaded = presets.from_preset(tmp_path / "preset")
    assert isinstance(loaded, VideoPrismLvT)
    for name, array in tokenizer(["A dog!"]).items():
        np.testing.assert_array_equal(loaded.tokenizer(["A dog!"])[name], array)
