"""What a language model says behind embeddings, and how likely it is to say something."""

from keras import ops

from keras_videoprism.heads.decoding import beam_search, greedy
from keras_videoprism.heads.prefix_language_model import Caches, PrefixLanguageModel
from keras_videoprism.layers.typing import Tensor


def generate(
    model: PrefixLanguageModel, embeddings: Tensor, end_id: int, num_beams: int, max_tokens: int
) -> Tensor:
    """The most likely tokens behind embeddings [B, S, W], which are computed once.

    Returns:
        int32 [B, max_tokens], filled up with `end_id`; see `decoding`.
    """
    logits, caches = _prefill(model, embeddings, max_tokens - 1)
    start = embeddings.shape[1]

    def step(token_ids: Tensor, caches: Caches, number: Tensor) -> tuple[Tensor, Caches]:
        hidden, caches = model(model.embed(token_ids), caches=caches, index=start + number)
        return model.logits(hidden[:, 0]), caches

    if num_beams == 1:
        return greedy(step, logits, caches, max_tokens, end_id)
    return beam_search(step, logits, caches, num_beams, max_tokens, end_id)


def score_tokens(
    model: PrefixLanguageModel, embeddings: Tensor, last: Tensor, candidates: Tensor
) -> Tensor:
    """Log-likelihoods of single tokens by one pass of the model.

    Args:
        embeddings: [B, S, W].
        last: int32 [B], position of the last embedding that counts; a causal model does not see
            the padding behind it.
        candidates: int32 [C].

    Returns:
        float32 [B, C].
    """
    hidden = ops.take_along_axis(model(embeddings), last[:, None, None], axis=1)[:, 0]
    return ops.take(ops.log_softmax(model.logits(hidden)), candidates, axis=1)


def score_sequences(model: PrefixLanguageModel, embeddings: Tensor, candidates: Tensor) -> Tensor:
    """Log-likelihoods of sequences behind embeddings [B, S, W], which are computed once.

    Args:
        candidates: int32 [C, T], filled up with -1.

    Returns:
        float32 [B, C], sums over the tokens of a candidate.
    """
    room = candidates.shape[1] - 1
    logits, caches = _prefill(model, embeddings, room)
    start, batch_size = embeddings.shape[1], ops.shape(embeddings)[0]
    first = ops.take(ops.log_softmax(logits), candidates[:, 0], axis=1)  # [B, C]

    def rest(candidate: Tensor) -> Tensor:
        ids = ops.broadcast_to(ops.maximum(candidate, 0), (batch_size, room + 1))
        hidden, _ = model(model.embed(ids[:, :-1]), caches=caches, index=start)
        scores = ops.log_softmax(model.logits(hidden))  # [B, T-1, vocabulary]
        scores = ops.take_along_axis(scores, ids[:, 1:, None], axis=2)[..., 0]
        return ops.sum(ops.where(candidate[1:] >= 0, scores, 0.0), axis=1)

    return first + ops.transpose(ops.map(rest, candidates))


def _prefill(model: PrefixLanguageModel, embeddings: Tensor, room: int) -> tuple[Tensor, Caches]:
    """Logits [B, vocabulary] of the next token, and caches with room to go on."""
    batch_size, length, _ = ops.shape(embeddings)
    caches = model.empty_caches(batch_size, length + room)
    hidden, caches = model(embeddings, caches=caches)
    return model.logits(hidden[:, -1]), caches
