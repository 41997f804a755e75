"""Recall@k between videos and texts, both ways, with the level that guessing reaches.

Letters in shapes: N pairs, Nv videos, Nt texts, D the width of an embedding.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from keras_videoprism.evaluation.metrics import best_positive_rank, one_hot

Array = Any
QUERIES_AT_ONCE = 256  # their scores of MSR-VTT's 59,800 captions take 60 MB


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
    _check_ks(ks)
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


def captions_recall(
    video_embeddings: Array,
    text_embeddings: Array,
    owners: Array,
    ks: Sequence[int] = (1, 5, 10),
) -> dict[str, float]:
    """Recall where a video has several captions: MSR-VTT's full split (Table 18), VATEX.

    Text to video, every caption is a query. Video to text, any caption of the video among the k
    nearest makes a hit. Ties count against the query.

    Args:
        video_embeddings: [Nv, D].
        text_embeddings: [Nt, D].
        owners: int [Nt], the row of each caption's video.
        ks: how many candidates are looked at.

    Returns:
        `{"text_to_video_r1": ..., "video_to_text_r1": ..., ...}`, each in [0, 1].

    Raises:
        ValueError: for owners that are no rows of the videos, or a video without caption.
    """
    videos, texts = l2_normalize(video_embeddings), l2_normalize(text_embeddings)
    owners = np.asarray(owners)
    _check_owners(owners, len(videos), len(texts))
    _check_ks(ks)
    rows = np.arange(len(videos))
    both_ways = (
        ("text_to_video", _ranks(texts, videos, owners, rows)),
        ("video_to_text", _ranks(videos, texts, rows, owners)),
    )
    return {
        f"{direction}_r{k}": float(np.mean(ranks <= k))
        for direction, ranks in both_ways
        for k in ks
    }


def chance_captions_recall(owners: Array, ks: Sequence[int] = (1, 5, 10)) -> dict[str, float]:
    """What a random order reaches in `captions_recall`, under the same names."""
    captions = np.bincount(owners)
    _check_owners(np.asarray(owners), len(captions), len(owners))
    both_ways = (("text_to_video", len(captions), 1), ("video_to_text", len(owners), captions))
    return {
        f"{direction}_r{k}": chance_recall(candidates, k, positives)
        for direction, candidates, positives in both_ways
        for k in ks
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


def _check_ks(ks: Sequence[int]) -> None:
    if min(ks) < 1:
        raise ValueError(f"Every k must be at least 1. Received: {tuple(ks)}.")


def _ranks(
    queries: np.ndarray, candidates: np.ndarray, query_ids: np.ndarray, candidate_ids: np.ndarray
) -> np.ndarray:
    """Rank of the best candidate that has the query's id, [Nq]; some queries at a time."""
    starts = range(0, len(queries), QUERIES_AT_ONCE)
    parts = [slice(start, start + QUERIES_AT_ONCE) for start in starts]
    return np.concatenate(
        [
            best_positive_rank(queries[part] @ candidates.T, query_ids[part, None] == candidate_ids)
            for part in parts
        ]
    )


def _check_owners(owners: np.ndarray, num_videos: int, num_texts: int) -> None:
    """Every text has one video and every video at least one text, or a ValueError."""
    if owners.shape != (num_texts,):
        raise ValueError(f"Expected {num_texts} owners. Received shape {owners.shape}.")
    alone = np.flatnonzero(~one_hot(np.unique(owners), num_videos).any(axis=0))
    if alone.size:
        raise ValueError(
            f"{alone.size} videos have no caption, the first is row {alone[0]}. Remove them."
        )
