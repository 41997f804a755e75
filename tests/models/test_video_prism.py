import numpy as np
import pytest

from keras_videoprism.models import VideoPrism

SMALL = {
    "patch_size": 6,
    "position_shape": (4, 4, 4),
    "hidden_dim": 16,
    "num_spatial_layers": 1,
    "num_temporal_layers": 1,
    "num_heads": 2,
    "mlp_dim": 32,
}


@pytest.mark.backends
@pytest.mark.parametrize("case", [f"case{index}" for index in range(5)])
def test_golden_tokens(golden, run, video_prism, case):
    """Native shape, other frame counts and resolutions, one frame."""
    _, arrays = golden("encoder")
    features = run(lambda x: video_prism(x, return_features=True), arrays[f"{case}/videos"])
    np.testing.assert_allclose(features.tokens, arrays[f"{case}/tokens"], atol=2e-5)
    np.testing.assert_allclose(features.spatial, arrays[f"{case}/spatial_features"], atol=2e-5)


@pytest.mark.backends
def test_golden_tokens_of_padded_clips(golden, run, video_prism):
    _, arrays = golden("encoder")
    frame_mask = arrays["padded/frame_paddings"] == 0
    assert not frame_mask.all()
    tokens = run(video_prism, arrays["padded/videos"], frame_mask)
    np.testing.assert_allclose(tokens, arrays["padded/tokens"], atol=2e-5)


@pytest.mark.backends
def test_predict_equals_call(run, video_prism, random_videos):
    """Also with a last batch that is smaller."""
    videos = random_videos(3, 2, 12, 18)
    tokens = run(video_prism, videos)
    assert tokens.shape == (3, 2 * 2 * 3, 32)
    predicted = video_prism.predict(videos, batch_size=2, verbose=0)
    np.testing.assert_allclose(predicted, tokens, atol=1e-5)


@pytest.mark.parametrize("attention", ["factorized", "joint"])
def test_preset_folder_keeps_weights_and_any_size(run, tmp_path, random_videos, attention):
    encoder = VideoPrism(**SMALL, attention=attention)
    folder = str(tmp_path / "preset")
    encoder.save_to_preset(folder)
    loaded = VideoPrism.from_preset(folder)
    assert loaded.get_config() == {**encoder.get_config(), "name": loaded.name}
    for shape in ((1, 4, 24, 24), (2, 3, 12, 36)):
        videos = random_videos(*shape)
        expected = run(encoder, videos)
        np.testing.assert_allclose(run(loaded, videos), expected, atol=1e-6)
    random = VideoPrism.from_preset(folder, load_weights=False)
    assert np.abs(run(random, videos) - expected).max() > 0.1


def test_configs_without_attention_are_factorized():
    config = VideoPrism(**SMALL).get_config()
    del config["attention"]  # as presets were written before there was a choice
    assert VideoPrism.from_config(config).attention == "factorized"
    with pytest.raises(ValueError, match="one of .*'joint'.*; received 'full'"):
        VideoPrism(**SMALL, attention="full")


@pytest.mark.parametrize("name", ["patchsize", "num_frames", "input_shape"])
def test_unknown_arguments_are_errors(name):
    with pytest.raises(TypeError, match=name):
        VideoPrism(**SMALL, **{name: 3})


@pytest.mark.parametrize("dtype", ["bfloat16", "mixed_bfloat16"])
def test_bfloat16(run, dtype, random_videos):
    encoder = VideoPrism(**SMALL, dtype=dtype)
    exact = VideoPrism(**SMALL, dtype="float32")
    exact.set_weights(encoder.get_weights())
    videos = random_videos(1, 4, 24, 24)
    tokens = run(encoder, videos)
    assert tokens.dtype == "bfloat16"
    variable_dtype = "bfloat16" if dtype == "bfloat16" else "float32"
    assert {weight.dtype for weight in encoder.weights} == {variable_dtype}
    difference = tokens.astype("float32") - run(exact, videos)
    assert 0 < np.abs(difference).mean() < 0.05


def test_bad_videos(video_prism):
    with pytest.raises(ValueError, match="received 25. Resize to 24 or 30"):
        video_prism(np.zeros((1, 4, 25, 24, 3), "float32"))
    with pytest.raises(ValueError, match=r"an image is a clip of one frame"):
        video_prism(np.zeros((4, 24, 24, 3), "float32"))
    with pytest.raises(ValueError, match="received int32. Cast 0 to 255 to uint8"):
        video_prism(np.zeros((1, 4, 24, 24, 3), "int32"))


def test_native_image_size():
    model = VideoPrism(patch_size=4, position_shape=(2, 3, 5), hidden_dim=8, num_heads=2, mlp_dim=8)
    assert model.image_size == (12, 20)
