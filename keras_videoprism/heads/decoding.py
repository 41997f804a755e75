"""The most likely tokens behind a prompt: one by one, or the best of several beams."""

from collections.abc import Callable
from typing import Any

from keras import ops, tree

from keras_videoprism.layers.typing import Tensor

# step(token_ids [N, 1], caches, number) -> logits [N, V] of the next token, caches. `number` counts
# from 0; all tensors of the caches have N rows.
Step = Callable[[Tensor, Any, Any], tuple[Tensor, Any]]


def greedy(step: Step, logits: Tensor, caches: Any, max_tokens: int, end_id: int) -> Tensor:
    """Take the most likely token, again and again (the paper's way, Appendix G).

    Args:
        step: gives the logits behind a token, see `Step`.
        logits: [B, V], of the first token.
        caches: what `step` keeps of the prompt.
        max_tokens: T, the largest number of tokens, the end token included.
        end_id: a row ends with this token.

    Returns:
        int32 [B, T]; end tokens behind the end of a row.
    """
    token = ops.cast(ops.argmax(logits, axis=-1), "int32")  # [B]
    tokens = _first(token, max_tokens, end_id)

    def unfinished(number: Tensor, tokens: Tensor, token: Tensor, caches: Any) -> Tensor:
        return ops.logical_and(number < max_tokens, ops.any(token != end_id))

    def extend(number: Tensor, tokens: Tensor, token: Tensor, caches: Any) -> tuple:
        logits, caches = step(ops.expand_dims(token, 1), caches, number - 1)
        following = ops.cast(ops.argmax(logits, axis=-1), "int32")
        token = ops.where(token == end_id, token, following)
        tokens = ops.slice_update(tokens, (0, number), ops.expand_dims(token, 1))
        return number + 1, tokens, token, caches

    start = ops.convert_to_tensor(1, "int32")
    return ops.while_loop(unfinished, extend, (start, tokens, token, caches))[1]


def beam_search(
    step: Step, logits: Tensor, caches: Any, num_beams: int, max_tokens: int, end_id: int
) -> Tensor:
    """Keep the `num_beams` sequences of the largest sum of log-probabilities.

    A beam that has ended stays as it is and competes with the others. The sums are not divided by
    the lengths. Arguments and result are those of `greedy`.
    """
    vocabulary = logits.shape[-1]
    scores, token = ops.top_k(ops.log_softmax(logits), num_beams)  # [B, W]
    token = ops.cast(token, "int32")
    tokens = _first(token, max_tokens, end_id)  # [B, W, T]
    caches = tree.map_structure(lambda cache: ops.repeat(cache, num_beams, axis=0), caches)
    ended = ops.where(ops.arange(vocabulary) == end_id, 0.0, -float("inf"))  # adds the end alone

    def unfinished(number: Tensor, tokens: Tensor, token: Tensor, *_: Any) -> Tensor:
        return ops.logical_and(number < max_tokens, ops.any(token != end_id))

    def extend(number: Tensor, tokens: Tensor, token: Tensor, scores: Tensor, caches: Any) -> tuple:
        logits, caches = step(ops.reshape(token, (-1, 1)), caches, number - 1)
        following = ops.reshape(ops.log_softmax(logits), (-1, num_beams, vocabulary))
        following = ops.where(ops.expand_dims(token == end_id, -1), ended, following)
        totals = ops.expand_dims(scores, -1) + following
        scores, best = ops.top_k(ops.reshape(totals, (-1, num_beams * vocabulary)), num_beams)
        parents, token = ops.cast(best // vocabulary, "int32"), ops.cast(best % vocabulary, "int32")
        tokens = ops.take_along_axis(tokens, ops.expand_dims(parents, -1), axis=1)
        tokens = ops.slice_update(tokens, (0, 0, number), ops.expand_dims(token, -1))
        first_rows = num_beams * ops.expand_dims(ops.arange(ops.shape(token)[0]), 1)
        rows = ops.reshape(ops.cast(first_rows, "int32") + parents, (-1,))
        caches = tree.map_structure(lambda cache: ops.take(cache, rows, axis=0), caches)
        return number + 1, tokens, token, scores, caches

    start = ops.convert_to_tensor(1, "int32")
    state = ops.while_loop(unfinished, extend, (start, tokens, token, scores, caches))
    return state[1][:, 0]  # top_k sorts


def _first(token: Tensor, max_tokens: int, end_id: int) -> Tensor:
    """int32 [..., T] of a first token [...] and end tokens."""
    token = ops.expand_dims(token, -1)
    rest = ops.repeat(ops.full_like(token, end_id), max_tokens - 1, axis=-1)
    return ops.concatenate([token, rest], axis=-1)
