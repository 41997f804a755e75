import numpy as np
import pytest
from keras import ops

from keras_videoprism.layers.factorized_encoder import FactorizedEncoder
from keras_videoprism.layers.joint_encoder import JointEncoder
from keras_videoprism.layers.masking import bevt_block_visible, bevt_visible, tube_visible

pytestmark = pytest.mark.backends

GRID = 4, 4, 5  # videos of 24 x 30 pixels in patches of 6; the native grid is (4, 4, 4)
CLIPS = np.array([3, 8])
FRAME_MASK = np.array([[True] * 4, [True, True, False, True]])
MASKS = {
    "tube": tube_visible(0, 0, CLIPS, GRID, 0.5),
    "bevt": bevt_visible(0, 0, CLIPS, GRID, 0.65),
    "block": bevt_block_visible(0, 0, CLIPS, GRID, 0.65, 3),
    "one token": np.array([[79], [0]], "int32"),
}
SIZE = {
    "patch_size": 6,
    "position_shape": (4, 4, 4),
    "hidden_dim": 16,
    "num_spatial_layers": 1,
    "num_temporal_layers": 1,
    "num_heads": 2,
    "mlp_dim": 32,
}


def make(cls: type = JointEncoder, **arguments):
    encoder = cls(**SIZE, **arguments)
    encoder.build((None, None, None, None, 3))
    return encoder


@pytest.fixture(scope="module")
def encoder() -> JointEncoder:
    return make()


@pytest.fixture(scope="module")
def videos(random_videos) -> np.ndarray:
    return random_videos(2, 4, 24, 30)


def numpy(tensor) -> np.ndarray:
    return ops.convert_to_numpy(tensor)


def positions_of(name: str) -> np.ndarray:
    visible = MASKS[name]
    return numpy(visible.positions(GRID) if hasattr(visible, "positions") else visible)


def encode_dense(encoder: JointEncoder, videos: np.ndarray, keys: np.ndarray):
    """All tokens [B, T*N, D], of which only keys [B, T*N] are attended to: the slow reference."""
    time, space = encoder.temporal_position, encoder.spatial_position
    table = ops.repeat(time.resize(GRID[:1]), 20, axis=0) + ops.tile(
        space.resize(GRID[1:]), [4, 1]
    )  # [T*N, D], frame by frame
    x = ops.reshape(encoder.patch_embedding(videos), (2, 80, -1)) + table
    for block in encoder.joint_encoder.blocks:
        x = block(x, attention_mask=keys[:, None])
    return encoder.norm(x)


@pytest.mark.parametrize("frame_mask", [None, FRAME_MASK], ids=["all frames", "padded"])
@pytest.mark.parametrize("name", MASKS)
def test_visible_tokens_are_those_of_the_dense_reference(run, encoder, videos, name, frame_mask):
    positions = positions_of(name)
    real = np.ones((2, 4), bool) if frame_mask is None else frame_mask
    keys = np.zeros((2, 80), bool)
    np.put_along_axis(keys, positions, True, axis=1)
    dense = run(lambda *x: encode_dense(encoder, *x), videos, keys & real.repeat(20, axis=1))
    dense = np.take_along_axis(dense, positions[:, :, None], axis=1)
    tokens = run(encoder, videos, frame_mask, MASKS[name])
    kept = np.take_along_axis(real, positions // 20, axis=1)  # tokens of padded frames are free
    np.testing.assert_allclose(tokens[kept], dense[kept], atol=1e-5)


def test_all_tokens_see_each_other(run, encoder, videos):
    tokens = run(encoder, videos)
    dense = run(lambda *x: encode_dense(encoder, *x), videos, np.ones((2, 80), bool))
    np.testing.assert_allclose(tokens, dense, atol=1e-5)
    other = videos.copy()
    other[:, 3, :6, :6] = 0.5  # position 60
    changed = np.abs(run(encoder, other) - tokens).max(axis=2)
    assert (changed > 1e-6).all()  # also in other frames at other places, unlike factorized ones


def test_padded_frames_do_not_count(run, encoder, videos):
    other = videos.copy()
    other[~FRAME_MASK] = 0.5
    tokens, expected = (
        run(encoder, clips, FRAME_MASK).reshape(2, 4, 20, -1)[FRAME_MASK]
        for clips in (other, videos)
    )
    np.testing.assert_allclose(tokens, expected, atol=1e-5)


def test_chunks_of_queries_change_nothing(run, encoder, videos):
    chunked = make(query_chunk_size=16)
    chunked.set_weights(encoder.get_weights())
    np.testing.assert_allclose(run(chunked, videos), run(encoder, videos), atol=1e-5)


def test_features_are_all_layers(run, encoder, videos):
    features = run(lambda x: encoder(x, return_features=True), videos)
    assert len(features.layers) == 2
    np.testing.assert_allclose(run(encoder, videos), features.tokens, atol=1e-5)
    last = run(encoder.norm, features.layers[-1])
    np.testing.assert_allclose(last, features.tokens, atol=1e-5)
    with pytest.raises(ValueError, match="needs visible=None"):
        encoder(videos, visible=MASKS["tube"], return_features=True)


def test_parameters_are_those_of_the_factorized_encoder_less_one_norm(encoder):
    assert make(FactorizedEncoder).count_params() - encoder.count_params() == 2 * 16


def test_wrong_shapes(encoder):
    with pytest.raises(ValueError, match="height must be a multiple .* 6; received 25"):
        encoder(np.zeros((2, 4, 25, 24, 3), "float32"))
