"""The frequent answers of a data set: for shots, and as a closed vocabulary (Appendix G)."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from keras_videoprism.evaluation.answers import closed_vocabulary_accuracy, normalize_answer


def most_frequent(answers: Iterable[str]) -> list[str]:
    """Different answers, normalised: the most frequent first, of equally frequent ones by text."""
    counts = Counter(filter(None, map(normalize_answer, answers)))
    return sorted(counts, key=lambda answer: (-counts[answer], answer))


def choose_shots(
    questions: Sequence[str], answers: Sequence[str], number: int = 2, seed: int = 0
) -> list[tuple[str, str]]:
    """Questions with the most common answers of a training set, to show the style of answers.

    "We first choose the two most common answers from the training set of the dataset, and then for
    each of them, a question is randomly drawn" (Appendix G).

    Args:
        questions, answers: of the training set.
        number: how many, each with another answer.
        seed: of the draw.

    Returns:
        (question, answer) pairs, the most common answer first.

    Raises:
        ValueError: not as many answers as questions, or fewer different answers than `number`.
    """
    if len(questions) != len(answers):
        raise ValueError(f"received {len(questions)} questions and {len(answers)} answers.")
    common = most_frequent(answers)[:number]
    if len(common) < number:
        raise ValueError(f"{number} shots need as many different answers; received {len(common)}.")
    asked: dict[str, list[str]] = {answer: [] for answer in common}
    for question, answer in zip(questions, answers, strict=True):
        asked.get(normalize_answer(answer), []).append(question.strip())
    rng = np.random.default_rng(seed)
    return [(found[rng.integers(len(found))], answer) for answer, found in asked.items()]


def closed_vocabulary(
    answers: Iterable[str], size: int, is_one_token: Callable[[str], bool]
) -> tuple[list[str], list[str]]:
    """The most frequent answers that are one token of a language model.

    Args:
        answers: of the training and the validation set.
        size: how many are wanted.
        is_one_token: of a normalised answer.

    Returns:
        `size` answers in the order of `most_frequent`, and those that were passed over.

    Raises:
        ValueError: there are fewer.
    """
    if size < 1:
        raise ValueError(f"a vocabulary needs at least one answer; received the size {size}.")
    kept: list[str] = []
    passed: list[str] = []
    for answer in most_frequent(answers):
        (kept if is_one_token(answer) else passed).append(answer)
        if len(kept) == size:
            return kept, passed
    raise ValueError(
        f"a vocabulary of {size} answers of one token is wanted; there are {len(kept)}."
    )


def best_vocabulary_size(
    scores: Any,
    candidates: Sequence[str],
    references: Sequence[Sequence[str]],
    sizes: Iterable[int],
) -> tuple[int, dict[int, float]]:
    """How many of the most frequent answers are best to choose from (K in Appendix G).

    Args:
        scores: [Q, C] log-likelihoods, of validation questions.
        candidates: C answers, the most frequent first.
        references: for each question, one or more answers that are right.
        sizes: to try, from 1 to C.

    Returns:
        The size of the highest accuracy, the smallest of several; and the accuracy of each size.

    Raises:
        ValueError: a size out of range, and see `closed_vocabulary_accuracy`.
    """
    sizes, scores = sorted(set(sizes)), np.asarray(scores)
    if not sizes or sizes[0] < 1 or sizes[-1] > len(candidates):
        raise ValueError(f"sizes must lie in 1 to {len(candidates)}; received {sizes}.")
    accuracies = {
        size: closed_vocabulary_accuracy(scores[:, :size], candidates[:size], references).accuracy
        for size in sizes
    }
    return max(sizes, key=accuracies.__getitem__), accuracies
