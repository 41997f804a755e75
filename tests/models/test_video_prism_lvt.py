import numpy as np
import pytest
from keras import ops

from keras_videoprism.models import VideoPrismLvT
from keras_videoprism.models.video_prism_lvt import l2_normalize

CASES = pytest.mark.parametrize("case", ["case0", "case1"])
IDS = np.array([[3, 1, 4, 1, 5]], "int32")
SMALL = {
    "patch_size": 6,
    "position_shape": (4, 4, 4),
    "hidden_dim": 16,
    "num_spatial_layers": 1,
    "num_temporal_layers": 1,
    "num_heads": 2,
    "mlp_dim": 32,
    "num_auxiliary_layers": 1,
    "vocabulary_size": 50,
    "num_text_layers": 1,
}


@pytest.mark.backends
@CASES
def test_golden_embeddings(golden, run, video_prism_lvt, case):
    _, arrays = golden("video_text")
    inputs = {
        "videos": arrays[f"{case}/videos"],
        "token_ids": arrays[f"{case}/token_ids"],
        "padding_mask": arrays[f"{case}/text_paddings"] == 0,
    }
    outputs = run(video_prism_lvt, inputs)
    for name in ("video_embeddings", "text_embeddings"):
        np.testing.assert_allclose(outputs[name], arrays[f"{case}/{name}"], atol=2e-5)


@pytest.mark.backends
@CASES
def test_golden_parts(golden, run, video_prism_lvt, case):
    """The features on the way: encoder, auxiliary encoder, pooler over clips and over frames."""
    _, arrays = golden("video_text")
    videos = arrays[f"{case}/videos"]
    batch, frames = videos.shape[:2]

    def parts(videos):
        tokens = video_prism_lvt.video_encoder(videos)
        features = video_prism_lvt.auxiliary_encoder(tokens)
        per_frame = video_prism_lvt.pooler(ops.reshape(features, (batch * frames, -1, 32)))
        return tokens, video_prism_lvt.pooler(features), l2_normalize(per_frame)

    tokens, pooled, per_frame = run(parts, videos)
    expected = arrays[f"{case}/spatiotemporal_features"]
    np.testing.assert_allclose(tokens, expected, rtol=2e-5, atol=2e-5)
    expected = arrays[f"{case}/video_embeddings_unnormalized"]
    np.testing.assert_allclose(pooled, expected, rtol=2e-5, atol=2e-5)
    expected = arrays[f"{case}/frame_embeddings"].reshape(-1, 32)
    np.testing.assert_allclose(per_frame, expected, atol=2e-5)


@pytest.mark.backends
def test_padded_frames_do_not_count(run, video_prism_lvt, random_videos):
    videos = random_videos(2, 4, 24, 24)
    frame_mask = np.array([[True] * 4, [True, False, True, False]])
    encode = video_prism_lvt.encode_video
    expected = run(encode, videos, frame_mask)
    other = videos.copy()
    other[~frame_mask] = 1.0
    np.testing.assert_allclose(run(encode, other, frame_mask), expected, atol=1e-5)
    whole = run(encode, videos, np.ones((2, 4), bool))
    np.testing.assert_allclose(whole, run(encode, videos), atol=1e-5)


@pytest.mark.backends
def test_towers_alone_and_together(run, video_prism_lvt, random_videos):
    inputs = {
        "videos": random_videos(1, 2, 12, 12),
        "token_ids": IDS,
        "padding_mask": np.ones((1, 5), bool),
    }
    together = run(video_prism_lvt, inputs)
    video = run(video_prism_lvt.encode_video, inputs["videos"])
    text = run(video_prism_lvt.encode_text, None, IDS, inputs["padding_mask"])
    np.testing.assert_allclose(video, together["video_embeddings"], atol=1e-6)
    np.testing.assert_allclose(text, together["text_embeddings"], atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(video, axis=1), 1.0, atol=1e-5)


@pytest.mark.backends
def test_tokens_in_place_of_videos(run, video_prism_lvt, random_videos):
    videos = random_videos(2, 3, 12, 12)
    expected = run(video_prism_lvt.encode_video, videos)
    tokens = run(video_prism_lvt.video_encoder, videos)
    given = run(video_prism_lvt, {"video_tokens": tokens})
    np.testing.assert_allclose(given["video_embeddings"], expected, atol=1e-6)
    half = run(video_prism_lvt, {"video_tokens": tokens.astype("float16")})
    np.testing.assert_allclose(half["video_embeddings"], expected, atol=1e-3)


@pytest.mark.backends
def test_predict_equals_call(run, video_prism_lvt, random_videos):
    """Also with a last batch that is smaller."""
    inputs = {
        "videos": random_videos(3, 2, 12, 12),
        "token_ids": np.repeat(IDS, 3, axis=0),
        "padding_mask": np.ones((3, 5), bool),
    }
    expected = run(video_prism_lvt, inputs)
    predicted = video_prism_lvt.predict(inputs, batch_size=2, verbose=0)
    for name, embeddings in predicted.items():
        np.testing.assert_allclose(embeddings, expected[name], atol=1e-5)


def test_sentences_go_through_the_tokenizer(run, video_prism_lvt):
    with pytest.raises(ValueError, match="no tokenizer"):
        video_prism_lvt.encode_text(["a dog"])
    batch = {"token_ids": IDS, "padding_mask": np.ones((1, 5), bool)}
    video_prism_lvt.tokenizer = {("a dog",): batch}.__getitem__
    try:
        text = run(lambda: video_prism_lvt.encode_text(("a dog",)))
    finally:
        video_prism_lvt.tokenizer = None
    expected = run(video_prism_lvt.encode_text, None, *batch.values())
    np.testing.assert_allclose(text, expected, atol=1e-6)


def test_no_inputs(video_prism_lvt):
    with pytest.raises(ValueError, match=r"received the keys \['labels'\]"):
        video_prism_lvt({"labels": np.zeros(2)})


@pytest.mark.parametrize(
    "arguments",
    [{}, {"num_auxiliary_layers": 0, "text_norm_policy": "primer_hybrid"}],
    ids=["auxiliary", "primer"],
)
def test_preset_folder(run, tmp_path, random_videos, arguments):
    model = VideoPrismLvT(**{**SMALL, **arguments})
    model.save_to_preset(str(tmp_path / "preset"))
    loaded = VideoPrismLvT.from_preset(str(tmp_path / "preset"))
    assert loaded.get_config() == {**model.get_config(), "name": loaded.name}
    inputs = {
        "videos": random_videos(1, 3, 12, 36),
        "token_ids": IDS,
        "padding_mask": np.ones((1, 5), bool),
    }
    expected = run(model, inputs)
    for name, embeddings in run(loaded, inputs).items():
        np.testing.assert_allclose(embeddings, expected[name], atol=1e-6)


def test_bfloat16(run, random_videos):
    model = VideoPrismLvT(**SMALL, dtype="bfloat16")
    embeddings = run(model.encode_video, random_videos(1, 4, 24, 24))
    assert embeddings.dtype == "float32"
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1.0, atol=1e-3)


def test_unknown_arguments_are_errors():
    with pytest.raises(TypeError, match="num_layers"):
        VideoPrismLvT(**SMALL, num_layers=2)


@pytest.mark.backends
def test_zero_has_no_direction(run):
    np.testing.assert_array_equal(run(l2_normalize, np.zeros((1, 4), "float32")), 0.0)
    unit = run(l2_normalize, np.array([[3.0, 4.0]], "float32"))
    np.testing.assert_allclose(unit, [[0.6, 0.8]], atol=1e-6)
