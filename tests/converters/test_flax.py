"""The numbers of converted models are tested beside each model; here, what is read and refused."""

import numpy as np
import pytest

from keras_videoprism.converters import from_flax
from keras_videoprism.models import VideoClassifier, VideoPrism, VideoPrismLvT

TEXT = "params/text_encoder/unimodal_transformer/x_layers/"


def test_config_is_inferred_from_the_arrays(video_prism, video_prism_lvt):
    expected = {
        "patch_size": 6,
        "position_shape": (4, 4, 4),
        "hidden_dim": 32,
        "num_spatial_layers": 2,
        "num_temporal_layers": 2,
        "num_heads": 4,
        "logit_cap": 50.0,
    }
    text = {
        "num_auxiliary_layers": 1,
        "vocabulary_size": 50,
        "num_text_layers": 2,
        "text_norm_policy": "pre",
    }
    assert isinstance(video_prism, VideoPrism)
    assert {**expected, "mlp_dim": 64}.items() <= video_prism.get_config().items()
    assert isinstance(video_prism_lvt, VideoPrismLvT)
    assert {**expected, **text, "mlp_dim": 128}.items() <= video_prism_lvt.get_config().items()


def test_classifier_is_recognised(golden):
    model = from_flax(golden("classifier")[0])
    assert isinstance(model, VideoClassifier)
    assert model.num_classes == 5 and model.pooler.hidden_dim == 32


def test_file_and_other_cap(run, golden, tmp_path, video_prism, random_videos):
    np.savez(tmp_path / "weights.npz", **golden("encoder")[0])
    videos = random_videos(1, 2, 12, 12)
    expected = run(video_prism, videos)
    same = from_flax(tmp_path / "weights.npz")
    np.testing.assert_allclose(run(same, videos), expected, atol=1e-6)
    capped = from_flax(str(tmp_path / "weights.npz"), attention_logit_cap=0.5)
    assert capped.logit_cap == 0.5
    assert np.abs(run(capped, videos) - expected).max() > 1e-3


def test_primer_hybrid_text_tower(golden):
    """The giant model's norms, before and after each branch."""
    arrays = golden("video_text")[0]
    for folder in ("", "ff_layer/"):
        for name in ("scale", "bias"):
            array = arrays.pop(f"{TEXT}{folder}layer_norm/{name}")
            arrays[f"{TEXT}{folder}pre_layer_norm/{name}"] = array
            arrays[f"{TEXT}{folder}post_layer_norm/{name}"] = array + 1.0
    model = from_flax(arrays)
    assert model.text_norm_policy == "primer_hybrid"
    block = model.text_encoder.transformer.blocks[1]
    scale = arrays[f"{TEXT}ff_layer/post_layer_norm/scale"][1]
    np.testing.assert_allclose(block.post_norms[1].gamma, scale + 1.0, atol=1e-6)


def test_no_auxiliary_encoder(golden):
    arrays = golden("video_text")[0]
    arrays = {key: array for key, array in arrays.items() if "auxiliary" not in key}
    assert from_flax(arrays).auxiliary_encoder is None


@pytest.mark.parametrize(
    "key",
    [
        "params/temporal_ln/bias",
        "params/spatial_pos_emb/emb_var",
        "params/patch_projection/linear/kernel",
    ],
)
def test_missing_array(golden, key):
    arrays = golden("encoder")[0]
    del arrays[key]
    with pytest.raises(ValueError, match=key.removeprefix("params/")):
        from_flax(arrays)


def test_unknown_array(golden):
    arrays = golden("encoder")[0] | {"params/other/kernel": np.zeros(2)}
    with pytest.raises(ValueError, match="unused array other/kernel"):
        from_flax(arrays)


def test_wrong_shape(golden):
    arrays = golden("encoder")[0]
    arrays["params/temporal_ln/bias"] = np.zeros(31)
    with pytest.raises(ValueError, match=r"temporal_norm/beta has shape \(32,\)"):
        from_flax(arrays)


def test_pickled_arrays_are_refused(tmp_path):
    np.savez(tmp_path / "weights.npz", a=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        from_flax(tmp_path / "weights.npz")


def test_damaged_and_pickled_files(golden, tmp_path):
    np.savez(tmp_path / "whole.npz", **golden("encoder")[0])
    content = (tmp_path / "whole.npz").read_bytes()
    (tmp_path / "half.npz").write_bytes(content[: len(content) // 2])
    np.savez(tmp_path / "pickled.npz", **{"params/a": np.array([{}], dtype=object)})
    (tmp_path / "text.npz").write_text("text")
    for name in ("half", "pickled", "text"):
        with pytest.raises(ValueError, match=f"{name}.npz is no npz file of plain arrays"):
            from_flax(tmp_path / f"{name}.npz")


def test_nan_weights(golden):
    arrays = golden("encoder")[0]
    arrays["params/spatial_ln/bias"] = np.full_like(arrays["params/spatial_ln/bias"], np.nan)
    with pytest.raises(ValueError, match="spatial_ln/bias has values that are not finite"):
        from_flax(arrays)
