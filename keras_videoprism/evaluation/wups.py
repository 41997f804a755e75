"""WUPS: an answer in other words is worth what WordNet says of their kinship (NExT-QA, Table 6).

A "puppy" for a "dog" is nearly right, a "car" is not. As in the code of NExT-QA's open questions
(NExT-OE: `eval_oe.py`, `metrics.py`), after Malinowski and Fritz (2014).
"""

from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache, partial
from math import prod
from typing import Any

import numpy as np

from keras_videoprism.evaluation.words import Split, split_pairs, tokenize

# Causal: why, how; temporal: next, previous, current; descriptive: count, yes or no, place, other.
KINDS = ("CW", "CH", "TN", "TP", "TC", "DC", "DB", "DL", "DO")
EXACT_KINDS = ("DC", "DB")
UNLIKE = 0.1  # weight of a similarity below the threshold
# NExT-OE's `stopwords.txt`, less those with an apostrophe, which are two words here. It has pieces
# such as "don": the annotations have no apostrophes.
STOP_WORDS = frozenset(
    "i me my myself we our ours ourselves you your yours yourself yourselves he him his himself "
    "she her hers herself it its itself they them their theirs themselves what which who whom "
    "this that these those am is are was were be been being have has had having do does did "
    "doing a an the and but if or because as until while to from of at for with about into "
    "through during again further then here there when where why how all any each most other "
    "some such only own so than too very s t can will just don should now d ll m o re ve y ain "
    "aren couldn didn doesn hadn hasn haven isn ma mightn mustn needn shan shouldn wasn weren "
    "won wouldn".split()
)
# Looked up as verbs first: as nouns, "was" and "uses" are plurals of "wa" and "us".
_VERBS = ("does", "has", "uses", "was")


def wups(
    answers: Sequence[str],
    references: Sequence[Sequence[str]],
    kinds: Sequence[str],
    wordnet: Any,
    *,
    threshold: float = 0.0,
    split: Split | None = None,
) -> tuple[float, np.ndarray]:
    """WUPS: the product of the words' best similarities to the words of the other answer.

    Words are in their dictionary form, and words of grammar are left out. The answer looks for its
    kin in the reference and the reference in the answer; the smaller product counts. Questions for
    a number or for yes or no ask for equal words. Peculiar to NExT-QA's code, and kept: a word
    without any kin is skipped, so that it costs nothing.

    Args:
        answers: one for each of Q questions; one without words scores 0. `normalize_answer` cuts
            what a language model wrote after them.
        references: one or more answers to each, of which the best counts; NExT-QA's test split
            has a second one. One that is all grammar, such as "with it", scores 0.
        kinds: of the questions, from `KINDS`.
        wordnet: a reader: `nltk.corpus.wordnet`, or of a folder, as
            `data.curation.captions.open_wordnet` gives it.
        threshold: similarities below it are weighted by 0.1. The paper's figure is WUPS at 0;
            another usual one is at 0.9.
        split: text -> words in dictionary form; by default `lemmatize`. NExT-QA takes pywsd's
            `lemmatize_sentence`, which needs a tagger.

    Returns:
        The mean, and the score of each question [Q]; in [0, 1]. Papers print it times 100.

    Raises:
        ValueError: other kinds, a threshold outside [0, 1]; and see `words.split_pairs`.
    """
    if not 0 <= threshold <= 1:
        raise ValueError(f"threshold must lie in [0, 1]. Received: {threshold}.")
    split_pairs(answers, references, tokenize)  # checks them
    _check_kinds(kinds, len(answers))
    content = partial(_content, split=split or partial(lemmatize, wordnet=wordnet))
    scores = []
    for answer, group, kind in zip(answers, references, kinds, strict=True):
        said, right = content(answer), [content(text) for text in group]
        if kind in EXACT_KINDS:
            scores.append(float(said in right))
        else:
            scores.append(max(_kinship(said, words, wordnet, threshold) for words in right))
    return float(np.mean(scores)), np.array(scores)


def mean_by_kind(scores: Sequence[float] | np.ndarray, kinds: Sequence[str]) -> dict[str, float]:
    """Mean score of each kind of question, and of all that are causal C, temporal T, descriptive D.

    "previous" (TP) is counted as "next" (TN), as NExT-QA does. Kinds without a question are left
    out.

    Args:
        scores: [Q], of `wups`.
        kinds: Q of `KINDS`.
    """
    _check_kinds(kinds, len(scores))
    groups = defaultdict(list)
    for score, kind in zip(scores, kinds, strict=True):
        groups["TN" if kind == "TP" else kind].append(score)
        groups[kind[0]].append(score)
    return {kind: float(np.mean(groups[kind])) for kind in sorted(groups)}


def lemmatize(text: str, wordnet: Any) -> list[str]:
    """Words of a text in dictionary form: "plays with dogs" has play, with and dog.

    No tagger reads the text. A word is a noun if WordNet has it as one, else a verb, an adjective,
    an adverb; words in -ing and -ed are verbs first. An unknown word stays as it is. Of 130 answers
    of NExT-QA, 127 have the words that a tagger gives them (a perceptron, trained on UD EWT); 104,
    if all words are nouns first.
    """
    return [_lemma(word, wordnet) for word in tokenize(text)]


@lru_cache(maxsize=100_000)
def _lemma(word: str, wordnet: Any) -> str:
    verb_first = word in _VERBS or word.endswith(("ing", "ed"))
    for part in "vnar" if verb_first else "nvar":
        # All forms, and the shortest, as nltk's lemmatiser: the first of "hands" is "hands".
        forms = wordnet._morphy(word, part)
        if forms:
            return min(forms, key=len)
    return word


def _content(text: str, split: Split) -> list[str]:
    return [word for word in split(text) if word not in STOP_WORDS]


def _kinship(a: list[str], b: list[str], wordnet: Any, threshold: float) -> float:
    return min(_product(a, b, wordnet, threshold), _product(b, a, wordnet, threshold))


def _product(words: list[str], others: list[str], wordnet: Any, threshold: float) -> float:
    """Product of the words' best similarities to the others; 0 if no word has any kin."""
    found = [[_similarity(word, other, wordnet) for other in others] for word in words]
    best = [max(row, default=0.0) for row in found]
    kin = [score if score >= threshold else UNLIKE * score for score in best if score > 0]
    return prod(kin) if kin else 0.0


@lru_cache(maxsize=1_000_000)
def _similarity(word: str, other: str, wordnet: Any) -> float:
    """Wu and Palmer's similarity of the first senses, whatever their part of speech; 0 for none."""
    if word == other:
        return 1.0
    senses, others = wordnet.synsets(word), wordnet.synsets(other)
    if not senses or not others:
        return 0.0
    return senses[0].wup_similarity(others[0]) or 0.0


def _check_kinds(kinds: Sequence[str], num_questions: int) -> None:
    if len(kinds) != num_questions:
        raise ValueError(f"Expected kinds of {num_questions} questions. Received: {len(kinds)}.")
    unknown = sorted(set(kinds) - set(KINDS))
    if unknown:
        raise ValueError(f"Kinds of questions are {KINDS}. Received: {unknown}.")
