"""Recall@k between videos and texts, both ways, with the level that guessing reaches."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from keras_videoprism.evaluation.metrics import best_positive_rank, one_hot

Array = Any


def recall_at_k(
    similarity: Array, targets: Array | None = None, ks: Sequence[int] = (1, 5, 10)
) -> dict[int, float]:
    """Share of queries with a right candidate among the k most similar.

    Any one of several positives makes a hit. Ties count against the query (worst rank).

    Args:
        similarity: [Nq, Nc], higher is more similar.
        targets: the right candidates: [Nq, Nc] bool, or [Nq] int for one each; by default
            candidate i belongs to query i.
        ks: how many candidates are looked at.

    Returns:
        `{k: recall}` with recall in [0, 1].
    """
    if min(ks) < 1:
        raise ValueError(f"Every k must be at least 1. Received: {tuple(ks)}.")
    similarity = np.asarray(similarity)
    targets = np.arange(len(similarity)) if targets is None else np.asarray(targets)
    positives = one_hot(targets, similarity.shape[-1]) if targets.ndim == 1 else targets
    ranks = best_positive_rank(similarity, positives)
    return {k: float(np.mean(ranks <= k)) for k in ks}


def retrieval_recall(
    video_embeddings: Array,
    text_embeddings: Array,
    ks: Sequence[int] = (1, 5, 10),
    texts: Sequence[str] | None = None,
) -> dict[str, float]:
    """Text-to-video and video-to-text recall of N pairs under cosine similarity.

    Args:
        video_embeddings: [N, D]; row i belongs to row i of the texts.
        text_embeddings: [N, D].
        ks: how many candidates are looked at.
        texts: the N captions. Clips with the same caption are then right answers to each other;
            without it a model is blamed for taking the wrong one of two equal captions.

    Returns:
        `{"text_to_video_r1": ..., "video_to_text_r1": ..., ...}`, each in [0, 1].
    """
    similarity = cosine_similarity(text_embeddings, video_embeddings)
    if similarity.shape[0] != similarity.shape[1]:
        raise ValueError(f"Each video needs one text. Received (texts, videos) {similarity.shape}.")
    positives = None if texts is None else same_text(texts)
    both_ways = (("text_to_video", similarity), ("video_to_text", similarity.T))
    return {
        f"{direction}_r{k}": recall
        for direction, scores in both_ways
        for k, recall in recall_at_k(scores, positives, ks).items()
    }


def chance_recall(num_candidates: int, k: int, num_positives: Array = 1) -> float:
    """Recall@k of a random order: 1 - C(n - p, k) / C(n, k).

    Args:
        num_candidates: n.
        k: how many candidates are looked at.
        num_positives: p, the right candidates of a query: one number or [Nq], averaged; with equal
            captions `same_text(texts).sum(axis=1)`.
    """
    positives = np.asarray(num_positives)
    if k < 1 or positives.min() < 1 or positives.max() > num_candidates:
        raise ValueError(
            "Expected k >= 1 and 1 <= num_positives <= num_candidates. Received: "
            f"num_candidates={num_candidates}, k={k}, num_positives={num_positives}."
        )
    draws = np.arange(min(k, num_candidates))
    # Draw i misses: of the n - i candidates left, p are positives.
    misses = 1 - positives[..., None] / (num_candidates - draws)
    return float(np.mean(1 - np.prod(np.maximum(misses, 0), axis=-1)))


def same_text(texts: Sequence[str]) -> np.ndarray:
    """[N, N] bool: which of the N captions are equal."""
    _, ids = np.unique(np.asarray(texts, dtype=str), return_inverse=True)
    return ids[:, None] == ids


def cosine_similarity(a: Array, b: Array) -> np.ndarray:
    """[Na, D] and [Nb, D] of any backend -> [Na, Nb] in [-1, 1]."""
    return l2_normalize(a) @ l2_normalize(b).T


def l2_normalize(embeddings: Array) -> np.ndarray:
    """Rows of a [N, D] array or tensor at length 1, as numpy float32.

    Raises:
        ValueError: for a wrong rank, or a row that has no direction (zero, NaN or infinite).
    """
    embeddings = np.asarray(ops.convert_to_numpy(embeddings), dtype="float32")
    if embeddings.ndim != 2:
        raise ValueError(f"Embeddings must be [N, D]. Received shape {embeddings.shape}.")
    norms = np.linalg.norm(embeddings, axis=1, keepdims=True)
    bad = np.flatnonzero(~(np.isfinite(norms) & (norms > 0)))
    if bad.size:
        raise ValueError(
            f"{bad.size} embeddings are zero, NaN or infinite, the first is row {bad[0]}. "
            "Remove them or look for the step that made them."
        )
    return embeddings / norms
