import numpy as np
import pytest
from keras import ops

from keras_videoprism.layers.masking import slots_in_place, slots_shuffled
from keras_videoprism.layers.random import random_permutation
from keras_videoprism.layers.token_shuffle_decoder import TokenShuffleDecoder

pytestmark = pytest.mark.backends

GRID = 2, 3, 2
COUNT = 12
POSITIONS = np.array([[7, 0, 3], [11, 1, 10]], "int32")
TOKENS = np.random.default_rng(0).normal(size=(2, 3, 8)).astype("float32")


def build(num_layers: int) -> TokenShuffleDecoder:
    decoder = TokenShuffleDecoder(
        5, GRID, hidden_dim=16, num_layers=num_layers, num_heads=4, mlp_dim=32
    )
    decoder.build(TOKENS.shape)
    return decoder


def decode_alone(decoder: TokenShuffleDecoder, content: np.ndarray, place: int) -> np.ndarray:
    """Output of a decoder without layers at `place`, of a slot that holds `content` [16]."""
    time = ops.convert_to_numpy(decoder.temporal_position.table)[place // 6]
    space = ops.convert_to_numpy(decoder.spatial_position.table)[place % 6]
    slot = (content + time + space)[None, None].astype("float32")
    return ops.convert_to_numpy(decoder.output_projection(decoder.norm(slot)))[0, 0]


@pytest.mark.parametrize("shuffle", [False, True])
def test_slots_hold_tokens_and_mask_tokens(run, shuffle):
    decoder = build(num_layers=0)
    slots = slots_in_place(POSITIONS, COUNT)
    if shuffle:
        slots = slots_shuffled(random_permutation(0, 0, [1, 2], COUNT), 3)
    decoded = run(lambda x: decoder(x, slots=slots, grid=GRID), TOKENS)
    assert decoded.shape == (2, COUNT, 5)
    mask_token = ops.convert_to_numpy(decoder.mask_token)[0]
    for clip, tokens in enumerate(ops.convert_to_numpy(decoder.input_projection(TOKENS))):
        contents = np.concatenate([tokens, mask_token])
        for place, slot in enumerate(ops.convert_to_numpy(slots)[clip]):
            expected = decode_alone(decoder, contents[slot], place)
            np.testing.assert_allclose(decoded[clip, place], expected, atol=1e-5)


def test_every_slot_sees_every_token(run):
    decoder = build(num_layers=1)
    slots = slots_in_place(POSITIONS, COUNT)
    decoded = run(lambda x: decoder(x, slots=slots, grid=GRID), TOKENS)
    changed = TOKENS.copy()
    changed[0, 1] += 1.0
    difference = run(lambda x: decoder(x, slots=slots, grid=GRID), changed) - decoded
    assert np.abs(difference[0]).max(axis=1).min() > 1e-6
    np.testing.assert_allclose(difference[1], 0.0, atol=1e-6)


def test_other_grids_use_resized_positions(run):
    decoder = build(num_layers=1)
    grid = 1, 4, 4
    slots = slots_in_place(POSITIONS, 16)
    assert run(lambda x: decoder(x, slots=slots, grid=grid), TOKENS).shape == (2, 16, 5)
