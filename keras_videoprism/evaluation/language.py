"""Captions and answers against references: CIDEr, BLEU, ROUGE-L, WUPS and the accuracy of answers.

The captions' metrics give what the COCO caption code gives (`pycocoevalcap` 1.2: `cider`, `bleu`,
`rouge`). Papers print them times 100: a CIDEr of 0.403 is their 40.3 (paper, Table 5).
"""

from collections import Counter
from collections.abc import Sequence
from itertools import chain
from math import exp, hypot, log, prod

import numpy as np

from keras_videoprism.evaluation.answers import (
    answer_accuracy,
    closed_vocabulary_accuracy,
    normalize_answer,
)
from keras_videoprism.evaluation.words import Split, split_pairs, tokenize
from keras_videoprism.evaluation.wups import lemmatize, mean_by_kind, wups

__all__ = [
    "answer_accuracy",
    "bleu",
    "cider",
    "closed_vocabulary_accuracy",
    "lemmatize",
    "mean_by_kind",
    "normalize_answer",
    "rouge_l",
    "tokenize",
    "wups",
]

Words = list[str]
Ngram = tuple[str, ...]
Counts = Counter[Ngram]

MAX_N = 4
LENGTH_SIGMA = 6.0  # CIDEr's: a difference in length of 6 bigrams costs 39 per cent
ROUGE_BETA = 1.2  # recall counts 1.44 times as much as precision


def cider(
    hypotheses: Sequence[str], references: Sequence[Sequence[str]], *, split: Split = tokenize
) -> tuple[float, np.ndarray]:
    """CIDEr: n-grams that a caption shares with people's, the more the rarer they are.

    It is what the COCO code reports under this name: CIDEr-D (Vedantam et al., 2015, section 6) of
    words that are not stemmed. An n-gram is the rarer, the fewer clips have it in a reference; so
    the score of a clip depends on the clips beside it, and a single clip scores 0 by definition.

    Args:
        hypotheses: a caption for each of N clips; one without words scores 0.
        references: one or more captions of each clip.
        split: text -> words; `str.split` for text that is tokenised already.

    Returns:
        The mean, and the score of each clip [N]; from 0 to 10.

    Raises:
        ValueError: see `words.split_pairs`.

    Example:
        >>> score, per_clip = cider(["a dog runs", "a man"], [["the dog runs"], ["a man sits"]])
    """
    found, right = split_pairs(hypotheses, references, split)
    clips_with = Counter(chain.from_iterable(set(chain(*map(_ngrams, group))) for group in right))
    scores = [
        _cider_of_clip(words, group, clips_with, len(found))
        for words, group in zip(found, right, strict=True)
    ]
    return float(np.mean(scores)), np.array(scores)


def bleu(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    max_n: int = MAX_N,
    split: Split = tokenize,
) -> dict[int, float]:
    """BLEU-1 to BLEU-n of a corpus (Papineni et al., 2002), not smoothed.

    Of the references the one of the closest length counts for the brevity penalty, the shorter of
    two. BLEU-n is 0 where no n-gram of all captions is right.

    Args:
        hypotheses, references, split: as for `cider`.
        max_n: words of the longest n-grams.

    Returns:
        n -> BLEU-n in [0, 1].
    """
    if max_n < 1:
        raise ValueError(f"max_n must be at least 1. Received: {max_n}.")
    found, right = split_pairs(hypotheses, references, split)
    matched, said = np.zeros(max_n), np.zeros(max_n)
    for words, group in zip(found, right, strict=True):
        allowed: Counts = Counter()
        for other in group:
            allowed |= Counter(_ngrams(other, max_n))
        counts = Counter(_ngrams(words, max_n))
        for n in range(max_n):
            said[n] += max(len(words) - n, 0)
        for ngram, count in (counts & allowed).items():
            matched[len(ngram) - 1] += count
    length = sum(map(len, found))
    closest = sum(map(_closest_length, found, right))
    brevity = exp(min(0, 1 - closest / length)) if length else 0.0
    precisions = (matched / np.maximum(said, 1)).tolist()
    return {n: brevity * prod(precisions[:n]) ** (1 / n) for n in range(1, max_n + 1)}


def rouge_l(
    hypotheses: Sequence[str], references: Sequence[Sequence[str]], *, split: Split = tokenize
) -> tuple[float, np.ndarray]:
    """ROUGE-L: the longest common subsequence of words (Lin, 2004), as the COCO code counts it.

    The best precision and the best recall count, even of two references; recall counts more.

    Args:
        hypotheses, references, split: as for `cider`.

    Returns:
        The mean, and the score of each clip [N]; in [0, 1].
    """
    found, right = split_pairs(hypotheses, references, split)
    scores = np.array([_rouge_l(words, group) for words, group in zip(found, right, strict=True)])
    return float(scores.mean()), scores


def _ngrams(words: Words, max_n: int = MAX_N) -> list[Ngram]:
    """All n-grams of 1 to max_n words, as often as they occur."""
    return [
        tuple(words[start : start + n])
        for n in range(1, max_n + 1)
        for start in range(len(words) - n + 1)
    ]


def _cider_of_clip(words: Words, group: list[Words], clips_with: Counts, num_clips: int) -> float:
    """10 times the mean, over references and over n, of the clipped cosines."""
    said, total = _weigh(words, clips_with, num_clips), 0.0
    for other in group:
        pairs = zip(said, _weigh(other, clips_with, num_clips), strict=True)
        bigrams = max(len(words) - 1, 0) - (len(other) - 1)  # the code's measure of length
        penalty = exp(-(bigrams**2) / (2 * LENGTH_SIGMA**2))
        total += penalty * sum(_clipped_cosine(a, b) for a, b in pairs) / MAX_N
    return 10 * total / len(group)


def _weigh(words: Words, clips_with: Counts, num_clips: int) -> list[dict[Ngram, float]]:
    """TF-IDF for n = 1 to 4: count times log(clips / clips that have it in a reference)."""
    weights: list[dict[Ngram, float]] = [{} for _ in range(MAX_N)]
    for ngram, count in Counter(_ngrams(words)).items():
        rarity = log(num_clips) - log(max(1, clips_with[ngram]))  # unknown ones count as of one
        weights[len(ngram) - 1][ngram] = count * rarity
    return weights


def _clipped_cosine(a: dict[Ngram, float], b: dict[Ngram, float]) -> float:
    """Cosine of a caption a and a reference b; a counts no more than b, lest it repeats itself."""
    shared = sum(min(weight, b[ngram]) * b[ngram] for ngram, weight in a.items() if ngram in b)
    norms = hypot(*a.values()) * hypot(*b.values())
    return shared / norms if norms else 0.0


def _closest_length(words: Words, group: list[Words]) -> int:
    """The length of the reference that is nearest in length; the shorter of two."""
    return min((abs(len(other) - len(words)), len(other)) for other in group)[1]


def _rouge_l(words: Words, group: list[Words]) -> float:
    if not words:
        return 0.0
    common = [_common_length(words, other) for other in group]
    precision = max(common) / len(words)
    recall = max(length / len(other) for length, other in zip(common, group, strict=True))
    if not precision:
        return 0.0
    return (1 + ROUGE_BETA**2) * precision * recall / (recall + ROUGE_BETA**2 * precision)


def _common_length(a: Words, b: Words) -> int:
    """Length of the longest common subsequence."""
    row = [0] * (len(b) + 1)  # row[j]: of what was read of a and the first j words of b
    for word in a:
        before = row
        row = [0]
        for j, other in enumerate(b):
            row.append(before[j] + 1 if word == other else max(before[j + 1], row[j]))
    return row[-1]
