"""Caches against plain passes over whole sequences."""

import itertools

import numpy as np
import pytest
from keras import ops

from keras_videoprism.heads.continuation import generate, score_sequences, score_tokens
from keras_videoprism.heads.prefix_language_model import PrefixLanguageModel

pytestmark = pytest.mark.backends

FAMILIES = ("gpt2", "llama3", "gemma3")
EMBEDDINGS = np.random.default_rng(0).normal(size=(3, 5, 16)).astype("float32")
END, MAX_TOKENS = 3, 6


@pytest.fixture(scope="module", params=FAMILIES)
def model(request, language_model) -> PrefixLanguageModel:
    return PrefixLanguageModel(language_model(request.param))


@pytest.fixture(scope="module")
def log_probabilities(model, run):
    """Function: ids [N, MAX_TOKENS], row -> log-probabilities [N, MAX_TOKENS, 24] of each token."""

    def plain(embeddings, ids):
        hidden = model(ops.concatenate([embeddings, model.embed(ids)], axis=1))
        return ops.log_softmax(model.logits(hidden[:, 4:-1]))

    def of(ids: np.ndarray, row: int) -> np.ndarray:
        return run(plain, np.repeat(EMBEDDINGS[row : row + 1], len(ids), axis=0), ids)

    return of


def test_generation_equals_plain_passes(model, run, log_probabilities):
    found = run(lambda x: generate(model, x, END, 1, MAX_TOKENS), EMBEDDINGS)
    for row in range(3):
        tokens = np.full((1, MAX_TOKENS), END, "int32")
        for number in range(MAX_TOKENS):
            tokens[0, number] = log_probabilities(tokens, row)[0, number].argmax()
            if tokens[0, number] == END:
                break
        np.testing.assert_array_equal(found[row], tokens[0])


def test_beams_equal_plain_passes(model, run, log_probabilities):
    """With as many beams as tokens, the pair of the two is the best of all pairs."""
    found = run(lambda x: generate(model, x, END, 24, 2), EMBEDDINGS)
    pairs = [pair for pair in itertools.product(range(24), repeat=2) if pair[0] != END]
    pairs.append((END, END))
    ids = np.full((len(pairs), MAX_TOKENS), 0, "int32")
    ids[:, :2] = pairs
    for row in range(3):
        scores = np.take_along_axis(log_probabilities(ids, row), ids[..., None], 2)[:, :2, 0]
        scores[-1, 1] = 0.0  # nothing is said behind the end
        np.testing.assert_array_equal(found[row], pairs[scores.sum(1).argmax()])


def test_scores_of_sequences(model, run, log_probabilities):
    candidates = np.array([[5, 7, 9], [5, -1, -1], [8, 5, -1]], "int32")
    found = run(lambda x, c: score_sequences(model, x, c), EMBEDDINGS, candidates)
    ids = np.zeros((3, MAX_TOKENS), "int32")
    ids[:, :3] = np.maximum(candidates, 0)
    for row in range(3):
        scores = np.take_along_axis(log_probabilities(ids, row), ids[..., None], 2)[:, :3, 0]
        expected = (scores * (candidates >= 0)).sum(1)
        np.testing.assert_allclose(found[row], expected, atol=1e-4)


def test_scores_of_tokens_behind_padding(model, run):
    """The same as of sequences of one token behind what counts."""
    last, candidates = np.array([4, 2, 3], "int32"), np.array([7, 4], "int32")
    found = run(lambda x, n, c: score_tokens(model, x, n, c), EMBEDDINGS, last, candidates)
    for row, position in enumerate(last):
        counted = EMBEDDINGS[row : row + 1, : position + 1]
        expected = run(lambda x, c: score_sequences(model, x, c), counted, candidates[:, None])
        np.testing.assert_allclose(found[row], expected[0], atol=1e-5)
