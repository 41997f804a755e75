"""On a "language model" that is a table: the next token depends on the last two."""

import itertools

import numpy as np
import pytest
from keras import ops

from keras_videoprism.heads.decoding import beam_search, greedy

pytestmark = pytest.mark.backends

VOCABULARY, END, LENGTH = 4, 3, 4
# Logits [row, token before the last, last token, next token]; three rows, as three videos.
TABLE = np.random.default_rng(46).normal(0, 2, (3, VOCABULARY, VOCABULARY, VOCABULARY))
LOG_PROBABILITIES = TABLE - np.log(np.exp(TABLE).sum(-1, keepdims=True))
NOTHING = np.zeros(1)


def start(function, *options):
    """The function from the first token on; its caches hold the row and the token before."""
    table = ops.convert_to_tensor(TABLE.astype("float32"))

    def step(token_ids, caches, number):
        row, before = caches
        index = (row * VOCABULARY + before) * VOCABULARY + token_ids[:, 0]
        logits = ops.take(ops.reshape(table, (-1, VOCABULARY)), index, axis=0)
        return logits, (row, token_ids[:, 0])

    row = ops.arange(3, dtype="int32")
    return lambda _: function(step, table[:, 0, 0], (row, ops.zeros_like(row)), *options)


def score(row: int, sequence: tuple[int, ...]) -> float:
    """Log-probability up to the end token; -inf where something follows that."""
    end = sequence.index(END) if END in sequence else len(sequence)
    if any(token != END for token in sequence[end:]):
        return -np.inf
    path = (0, 0, *sequence[: end + 1])
    return sum(
        LOG_PROBABILITIES[row][steps] for steps in zip(path, path[1:], path[2:], strict=False)
    )


def plain_search(row: int, num_beams: int, length: int) -> tuple[int, ...]:
    """Beam search over lists of whole sequences, each scored from its beginning."""
    beams: list[tuple[int, ...]] = [()]
    for _ in range(length):
        longer = [(*beam, token) for beam in beams for token in range(VOCABULARY)]
        beams = sorted(longer, key=lambda beam: -score(row, beam))[:num_beams]
    return beams[0]


def test_greedy_is_one_beam(run):
    expected = [plain_search(row, 1, LENGTH) for row in range(3)]
    assert any(END in row[:-1] for row in expected) and any(END not in row for row in expected)
    np.testing.assert_array_equal(run(start(greedy, LENGTH, END), NOTHING), expected)
    np.testing.assert_array_equal(run(start(beam_search, 1, LENGTH, END), NOTHING), expected)


@pytest.mark.parametrize("num_beams", [2, 3])
def test_beams_equal_a_plain_search(run, num_beams):
    expected = [plain_search(row, num_beams, LENGTH) for row in range(3)]
    found = run(start(beam_search, num_beams, LENGTH, END), NOTHING)
    np.testing.assert_array_equal(found, expected)


def test_beams_for_all_tokens_find_the_best(run):
    pairs = [*itertools.product(range(VOCABULARY), repeat=2)]
    best = [max(pairs, key=lambda pair, row=row: score(row, pair)) for row in range(3)]
    found = run(start(beam_search, VOCABULARY, 2, END), NOTHING)
    np.testing.assert_array_equal(found, best)
    assert best != [plain_search(row, 1, 2) for row in range(3)]  # greedy misses one


def test_one_token(run):
    expected = TABLE[:, 0, 0].argmax(-1)[:, None]
    np.testing.assert_array_equal(run(start(greedy, 1, END), NOTHING), expected)
    np.testing.assert_array_equal(run(start(beam_search, 2, 1, END), NOTHING), expected)
