import numpy as np
import pytest
from keras import ops

from keras_videoprism.layers.factorized_encoder import FactorizedEncoder
from keras_videoprism.layers.masking import bevt_block_visible, bevt_visible, tube_visible

pytestmark = pytest.mark.backends

GRID = 4, 4, 5  # videos of 24 x 30 pixels in patches of 6; the native grid is (4, 4, 4)
CLIPS = np.array([3, 8])
FRAME_MASK = np.array([[True] * 4, [True, True, False, True]])
MASKS = {
    "tube": tube_visible(0, 0, CLIPS, GRID, 0.5),
    "bevt": bevt_visible(0, 0, CLIPS, GRID, 0.65),
    "block": bevt_block_visible(0, 0, CLIPS, GRID, 0.65, 3),
    "block of all frames": bevt_block_visible(0, 0, CLIPS, GRID, 0.65, 4),
    "one token": np.array([[79], [0]], "int32"),
}


@pytest.fixture(scope="module")
def encoder(video_prism) -> FactorizedEncoder:
    return video_prism.encoder


@pytest.fixture(scope="module")
def videos(random_videos) -> np.ndarray:
    return random_videos(2, 4, 24, 30)


def numpy(tensor) -> np.ndarray:
    return ops.convert_to_numpy(tensor)


def positions_of(name: str) -> np.ndarray:
    visible = MASKS[name]
    return numpy(visible.positions(GRID) if hasattr(visible, "positions") else visible)


def encode_dense(
    encoder: FactorizedEncoder, videos: np.ndarray, visible: np.ndarray, frame_mask: np.ndarray
) -> np.ndarray:
    """Tokens [B, T, N, D] of the whole grid, where only visible [B, T, N] tokens are attended to.

    The slow reference: everything is computed, and key masks hide the other tokens.
    """
    keys = visible & frame_mask[:, :, None]
    batch, frames, patches = keys.shape
    x = encoder.patch_embedding(videos) + encoder.spatial_position.resize(GRID[1:])
    x = ops.reshape(x, (batch * frames, patches, -1))
    x = encoder.spatial_encoder(x, attention_mask=keys.reshape(-1, 1, patches))
    x = ops.reshape(encoder.spatial_norm(x), (batch, frames, patches, -1))
    x = ops.swapaxes(x + encoder.temporal_position.resize(GRID[:1])[:, None], 1, 2)
    x = ops.reshape(x, (batch * patches, frames, -1))
    x = encoder.temporal_encoder(x, attention_mask=keys.swapaxes(1, 2).reshape(-1, 1, frames))
    x = ops.reshape(encoder.temporal_norm(x), (batch, patches, frames, -1))
    return ops.swapaxes(x, 1, 2)


@pytest.mark.parametrize("frame_mask", [None, FRAME_MASK], ids=["all frames", "padded"])
@pytest.mark.parametrize("name", MASKS)
def test_dropping_paths_agree(run, encoder, videos, name, frame_mask):
    """Each layout, the flat path and the dense reference give the same visible tokens."""
    positions = positions_of(name)
    visible = np.zeros((2, 80), bool)
    np.put_along_axis(visible, positions, True, axis=1)
    real = np.ones((2, 4), bool) if frame_mask is None else frame_mask
    dense = run(lambda *x: encode_dense(encoder, *x), videos, visible.reshape(2, 4, 20), real)
    dense = np.take_along_axis(dense.reshape(2, 80, -1), positions[:, :, None], axis=1)
    tokens = run(encoder, videos, frame_mask, MASKS[name])
    flat = run(encoder, videos, frame_mask, positions)
    kept = np.take_along_axis(real, positions // 20, axis=1)  # tokens of padded frames are free
    assert tokens.shape == flat.shape == (*positions.shape, 32)
    scale = np.abs(dense).max()
    np.testing.assert_allclose(tokens[kept] / scale, dense[kept] / scale, atol=1e-5)
    np.testing.assert_allclose(flat[kept] / scale, dense[kept] / scale, atol=1e-5)


def test_all_tokens_visible_is_no_dropping(run, encoder, videos):
    expected = run(encoder, videos)
    order = np.random.default_rng(0).permutation(80)[None].repeat(2, axis=0)
    flat = run(encoder, videos, None, order)
    np.testing.assert_allclose(flat, expected[:, order[0]], rtol=1e-5, atol=1e-4)
    tube = tube_visible(0, 0, CLIPS, GRID, 0.0)
    np.testing.assert_allclose(run(encoder, videos, None, tube), expected, atol=1e-4)


def test_hidden_pixels_do_not_count(run, encoder, videos):
    """The patches that a tube mask drops may hold anything."""
    visible = MASKS["tube"]
    expected = run(encoder, videos, None, visible)
    hidden = np.ones((2, 20), bool)
    np.put_along_axis(hidden, numpy(visible.patches), False, axis=1)
    pixels = hidden.reshape(2, 1, 4, 5).repeat(6, axis=2).repeat(6, axis=3)
    other = np.where(pixels[..., None], 0.5, videos)
    np.testing.assert_allclose(run(encoder, other, None, visible), expected, atol=1e-5)


@pytest.mark.parametrize("content", [0.0, 1.0])
def test_padded_frames_do_not_count(run, encoder, videos, content):
    other = videos.copy()
    other[~FRAME_MASK] = content
    tokens, expected = (
        run(encoder, clips, FRAME_MASK).reshape(2, 4, 20, -1)[FRAME_MASK]
        for clips in (other, videos)
    )
    np.testing.assert_allclose(tokens, expected, atol=1e-5)
    without_mask = run(encoder, other).reshape(2, 4, 20, -1)[FRAME_MASK]
    assert np.abs(without_mask - expected).max() > 0.1


def test_a_mask_of_real_frames_changes_nothing(run, encoder, videos):
    tokens = run(encoder, videos, np.ones((2, 4), bool))
    np.testing.assert_allclose(tokens, run(encoder, videos), atol=1e-5)


def test_features(run, encoder, videos):
    features = run(lambda x: encoder(x, return_features=True), videos)
    assert len(features.temporal_layers) == 2
    last = run(encoder.temporal_norm, features.temporal_layers[-1])
    np.testing.assert_allclose(last, features.tokens, atol=1e-5)
    np.testing.assert_allclose(run(encoder, videos), features.tokens, atol=1e-5)
    with pytest.raises(ValueError, match="needs visible=None"):
        encoder(videos, visible=MASKS["tube"], return_features=True)


def test_frames_are_encoded_alone_before_time(run, encoder, videos):
    def spatial(videos):
        return encoder(videos, return_features=True).spatial

    whole = run(spatial, videos).reshape(2, 4, 20, -1)
    frame = run(spatial, videos[:, 2:3])
    np.testing.assert_allclose(whole[:, 2], frame, atol=1e-5)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 24, 24, 3), r"\[batch, frames, height, width, 3\].*received \(2, 24, 24, 3\)"),
        ((2, 4, 24, 24, 1), r"received \(2, 4, 24, 24, 1\)"),
        ((2, 4, 3, 24, 24), r"received \(2, 4, 3, 24, 24\)"),
        (
            (2, 4, 25, 24, 3),
            "height must be a multiple .* 6; received 25. Resize to 24 or 30",
        ),
        ((2, 4, 24, 5, 3), "width must be a multiple .* received 5. Resize to 6"),
        ((2, 0, 24, 24, 3), "at least one clip and frame"),
    ],
)
def test_wrong_shapes(encoder, shape, message):
    with pytest.raises(ValueError, match=message):
        encoder(np.zeros(shape, "float32"))


def test_integer_frames(encoder):
    with pytest.raises(ValueError, match=r"float in \[0, 1\] or uint8; received int32"):
        encoder(np.zeros((1, 4, 24, 24, 3), "int32"))


def test_bytes_are_frames(encoder, run):
    videos = np.random.default_rng(0).integers(0, 256, (1, 4, 24, 24, 3), np.uint8)
    expected = run(encoder, np.float32(videos) / 255)
    np.testing.assert_allclose(run(encoder, videos), expected, atol=1e-5)
