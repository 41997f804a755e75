"""Accuracy of answers to questions: exact match, in an open or a closed vocabulary (Appendix G)."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_videoprism.evaluation.matching import excluded
from keras_videoprism.evaluation.metrics import best_positive_rank
from keras_videoprism.evaluation.words import check_pairs

Array = Any


class ClosedAccuracy(NamedTuple):
    """What `closed_vocabulary_accuracy` found.

    Attributes:
        accuracy: share of all questions whose best candidate is right.
        right: bool [Q].
        outside: questions that no candidate answers, as `matching.excluded` gives them; they are
            wrong, and count.
    """

    accuracy: float
    right: np.ndarray
    outside: dict[str, Any]


def normalize_answer(text: str) -> str:
    """The answer that a language model begins with: up to a full stop or a new line, lower case.

    " A man.\\nquestion: ..." is "a man". A stop between digits or letters cuts too: "3.5" is "3".
    """
    return re.split(r"[.\n]", text.strip().lower(), maxsplit=1)[0].strip()


def answer_accuracy(
    answers: Sequence[str], references: Sequence[Sequence[str]]
) -> tuple[float, np.ndarray]:
    """Share of answers that equal a reference, both normalised: MSRVTT-QA, MSVD-QA (Table 6).

    Args:
        answers: one for each of Q questions; an empty one is wrong.
        references: for each question, one or more answers that are right.

    Returns:
        The share, and bool [Q].

    Raises:
        ValueError: see `words.split_pairs`.
    """
    right = _normalized(answers, references)
    found = [
        normalize_answer(answer) in group for answer, group in zip(answers, right, strict=True)
    ]
    return float(np.mean(found)), np.array(found)


def closed_vocabulary_accuracy(
    scores: Array, candidates: Sequence[str], references: Sequence[Sequence[str]]
) -> ClosedAccuracy:
    """Share of questions whose best candidate is right; a tie with a wrong one is a miss.

    The paper scores the 250 most frequent answers of one token by their log-likelihood (Appendix
    G).

    Args:
        scores: [Q, K] finite numbers.
        candidates: K answers, all different once they are normalised.
        references: for each question, one or more answers that are right. A right answer that is
            no candidate makes the question wrong, and is counted.

    Raises:
        ValueError: scores that are not finite or of another shape, candidates that repeat, and see
            `words.split_pairs`.
    """
    names = [normalize_answer(candidate) for candidate in candidates]
    repeated = sorted(name for name, count in Counter(names).items() if count > 1)
    if repeated:
        raise ValueError(f"Candidates must differ. Received more than once: {repeated[:5]}.")
    scores = np.asarray(scores, dtype=float)
    if scores.shape != (len(references), len(names)) or not scores.size:
        raise ValueError(
            f"Expected scores of {len(references)} questions and {len(names)} candidates, at least "
            f"one of each. Received shape {scores.shape}."
        )
    if not np.isfinite(scores).all():
        raise ValueError(f"{np.sum(~np.isfinite(scores))} scores are NaN or infinite.")
    groups = _normalized([""] * len(references), references)
    positives = np.array([[name in group for name in names] for group in groups])
    inside = positives.sum(axis=1) > 0
    right = np.zeros(len(scores), bool)
    if inside.any():
        right[inside] = best_positive_rank(scores[inside], positives[inside]) == 1
    outside = excluded("no candidate is right", [group[0] for group in references], ~inside)
    return ClosedAccuracy(float(right.mean()), right, outside)


def _normalized(answers: Sequence[str], references: Sequence[Sequence[str]]) -> list[set[str]]:
    """The references of each question, normalised; all inputs are checked."""
    check_pairs(answers, references)
    groups = [{normalize_answer(right) for right in group} for group in references]
    empty = [i for i, group in enumerate(groups) if "" in group]
    if empty:
        raise ValueError(
            f"{len(empty)} questions have a reference without text, the first is number "
            f"{empty[0]}: {list(references[empty[0]])}."
        )
    return groups
