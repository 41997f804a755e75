from collections import Counter
from itertools import combinations

import numpy as np
import pytest

from keras_videoprism.evaluation import language

# Scores by the scorer of pycocoevalcap 1.2.
HYPOTHESES = ["a man is playing a guitar", "a dog runs in the park", "someone is cooking"]
REFERENCES = [
    ["a man plays the guitar", "a man is playing guitar on stage"],
    ["a dog is running in a park", "the dog runs through the grass"],
    ["a woman is cooking food in a kitchen", "a person cooks pasta"],
]


def random_captions(seed: int, num_clips: int) -> tuple[list[str], list[list[str]]]:
    """Captions of few words, so that n-grams repeat, of unequal lengths and numbers."""
    rng = np.random.default_rng(seed)

    def caption(least: int) -> str:
        return " ".join(rng.choice([*"abcd"], rng.integers(least, 12)))

    hypotheses = [caption(0) for _ in range(num_clips)]
    return hypotheses, [[caption(1) for _ in range(rng.integers(1, 5))] for _ in range(num_clips)]


def test_cider_of_the_public_scorer() -> None:
    score, per_clip = language.cider(HYPOTHESES, REFERENCES)
    assert score == pytest.approx(2.075939, abs=1e-6)
    np.testing.assert_allclose(per_clip, [3.616721, 2.051840, 0.559256], atol=1e-6)


def test_cider_of_a_single_clip_is_zero() -> None:
    score, per_clip = language.cider(HYPOTHESES[:1], [HYPOTHESES[:1]])
    assert score == 0.0 and per_clip.tolist() == [0.0]


def test_cider_of_the_reference_itself() -> None:
    """Every cosine is 1, and there is no difference in length."""
    captions = ["one two three four", "five six seven eight"]
    assert language.cider(captions, [[caption] for caption in captions])[0] == pytest.approx(10.0)


def test_cider_by_hand() -> None:
    """Two clips: "c" and "d" are in one each (log 2), "a" is in both (log 1 = 0).

    Of the first caption's words the c counts: 1-grams agree (cosine 1), no longer one does. The
    second says d three times, which is clipped to one; 2-grams differ by 2.
    """
    _, per_clip = language.cider(["c", "d d d"], [["c a"], ["d a"]])
    first = 10 / 4 * 1 * np.exp(-1 / 72)
    second = 10 / 4 * (1 / 3) * np.exp(-1 / 72)
    np.testing.assert_allclose(per_clip, [first, second])


def plain_cider(hypotheses: list[str], references: list[list[str]]) -> np.ndarray:
    """The formula over a dense vocabulary of n-grams."""

    def ngrams(text: str, n: int) -> list[tuple]:
        words = text.split()
        return [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]

    scores = np.zeros(len(hypotheses))
    for n in range(1, 5):
        texts = hypotheses + [text for group in references for text in group]
        vocabulary = sorted({ngram for text in texts for ngram in ngrams(text, n)})
        documents = [{g for text in group for g in ngrams(text, n)} for group in references]
        seen = np.array([sum(ngram in d for d in documents) for ngram in vocabulary])
        rarity = np.log(len(hypotheses) / np.maximum(seen, 1))
        for clip, (text, group) in enumerate(zip(hypotheses, references, strict=True)):
            for other in group:
                a, b = (
                    rarity * [ngrams(t, n).count(ngram) for ngram in vocabulary]
                    for t in (text, other)
                )
                norms = np.sqrt(np.sum(a**2) * np.sum(b**2))
                cosine = np.sum(np.minimum(a, b) * b) / norms if norms else 0.0
                bigrams = len(ngrams(text, 2)) - len(ngrams(other, 2))
                scores[clip] += cosine * np.exp(-(bigrams**2) / 72) / len(group) * 10 / 4
    return scores


@pytest.mark.parametrize("seed", range(3))
def test_cider_equals_the_plain_formula(seed: int) -> None:
    hypotheses, references = random_captions(seed, 8)
    score, per_clip = language.cider(hypotheses, references)
    expected = plain_cider(hypotheses, references)
    assert expected.max() > 0.5
    np.testing.assert_allclose(per_clip, expected, atol=1e-9)
    assert score == pytest.approx(expected.mean())


def test_the_metrics_of_the_coco_code() -> None:
    pytest.importorskip("pycocoevalcap")
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    hypotheses, references = random_captions(3, 200)
    truth = dict(enumerate(references))
    found = {index: [text] for index, text in enumerate(hypotheses)}
    for metric, public in ((language.cider, Cider()), (language.rouge_l, Rouge())):
        score, per_clip = metric(hypotheses, references, split=str.split)
        expected, each = public.compute_score(truth, found)
        np.testing.assert_allclose(per_clip, each, atol=1e-9)
        assert score == pytest.approx(expected)
    expected, _ = Bleu(4).compute_score(truth, found, verbose=0)
    assert [*language.bleu(hypotheses, references).values()] == pytest.approx(expected, rel=1e-6)


def test_text_is_tokenised_unless_it_is_already() -> None:
    spoken = ["A man is playing: a GUITAR!", *HYPOTHESES[1:]]
    assert language.cider(spoken, REFERENCES)[0] == pytest.approx(2.075939, abs=1e-6)
    assert language.cider(spoken, REFERENCES, split=str.split)[0] < 2.0
    assert language.bleu(spoken, REFERENCES) == language.bleu(HYPOTHESES, REFERENCES)
    assert language.rouge_l(spoken, REFERENCES)[0] == language.rouge_l(HYPOTHESES, REFERENCES)[0]


def test_bleu_by_hand() -> None:
    """Papineni's example: "the" counts twice of seven; then a caption of 3 words, the nearest
    reference has 4: exp(1 - 4/3)."""
    said, references = ["the the the the the the the"], [["the cat is on the mat", "a cat"]]
    assert language.bleu(said, references, max_n=2) == pytest.approx({1: 2 / 7, 2: 0.0})
    short = language.bleu(["a b c"], [["a b c d", "a b c d e f g"]], max_n=3)
    assert list(short.values()) == pytest.approx([np.exp(-1 / 3)] * 3)
    assert language.bleu(["a b c"], [["a b", "a b c d"]], max_n=1)[1] == 1.0  # 2 is nearest too


def test_bleu_without_any_word() -> None:
    assert language.bleu(["", "."], [["a"], ["b"]]) == {1: 0.0, 2: 0.0, 3: 0.0, 4: 0.0}


@pytest.mark.parametrize("seed", range(3))
def test_bleu_equals_nltk(seed: int) -> None:
    """nltk counts a caption of less than n words as one wrong n-gram; here all are longer."""
    corpus_bleu = pytest.importorskip("nltk.translate.bleu_score").corpus_bleu
    hypotheses, references = random_captions(seed, 30)
    hypotheses = [f"{text} a b c d" for text in hypotheses]
    found = language.bleu(hypotheses, references)
    words = [[text.split() for text in group] for group in references]
    spoken = [text.split() for text in hypotheses]
    for n in range(1, 5):
        expected = corpus_bleu(words, spoken, weights=[1 / n] * n)
        assert found[n] == pytest.approx(expected) and expected > 0.1


def plain_bleu(hypotheses: list[str], references: list[list[str]], max_n: int) -> float:
    matched, said, length, closest = Counter(), Counter(), 0, 0
    for text, group in zip(hypotheses, references, strict=True):
        words, others = text.split(), [other.split() for other in group]
        length += len(words)
        closest += sorted(map(len, others), key=lambda n: (abs(n - len(words)), n))[0]
        for n in range(1, max_n + 1):
            grams = [[*zip(*(t[i:] for i in range(n)), strict=False)] for t in (words, *others)]
            said[n] += len(grams[0])
            for gram in set(grams[0]):
                matched[n] += min(grams[0].count(gram), max(g.count(gram) for g in grams[1:]))
    precision = np.prod([matched[n] / said[n] for n in range(1, max_n + 1)]) ** (1 / max_n)
    return precision * min(1, np.exp(1 - closest / length))


@pytest.mark.parametrize("seed", range(3))
def test_bleu_equals_the_plain_formula(seed: int) -> None:
    hypotheses, references = random_captions(seed, 20)
    found = language.bleu(hypotheses, references)
    assert found == pytest.approx({n: plain_bleu(hypotheses, references, n) for n in range(1, 5)})
    assert 0 < found[4] < found[1]


def test_rouge_by_hand() -> None:
    """The best precision (1, of the first) and the best recall (1, of the second)."""
    score, per_clip = language.rouge_l(["a b", "a x b y c"], [["a b c d", "b"], ["a b c"]])
    precision, recall = 3 / 5, 1.0
    second = 2.44 * precision * recall / (recall + 1.44 * precision)
    np.testing.assert_allclose(per_clip, [1.0, second])
    assert score == pytest.approx((1 + second) / 2)
    assert language.rouge_l(["", "x"], [["a"], ["b"]])[1].tolist() == [0.0, 0.0]


def is_within(part: tuple, words: list) -> bool:
    rest = iter(words)
    return all(word in rest for word in part)


def test_rouge_equals_a_search_of_all_subsequences() -> None:
    hypotheses, references = random_captions(0, 12)
    _, per_clip = language.rouge_l(hypotheses, references)
    for text, group, score in zip(hypotheses, references, per_clip, strict=True):
        words, precision, recall = text.split(), 0.0, 0.0
        for other in (reference.split() for reference in group):
            parts = (p for n in range(1, len(words) + 1) for p in combinations(words, n))
            common = max((len(part) for part in parts if is_within(part, other)), default=0)
            precision = max(precision, common / max(len(words), 1))
            recall = max(recall, common / len(other))
        f = 2.44 * precision * recall / (recall + 1.44 * precision) if precision else 0.0
        assert score == pytest.approx(f)


@pytest.mark.parametrize("metric", [language.cider, language.bleu, language.rouge_l])
@pytest.mark.parametrize(
    ("hypotheses", "references", "message"),
    [
        ([], [], "nothing to score"),
        (["a"], [["a"], ["b"]], "1 texts and 2 lists"),
        ([3], [["a"]], "Row 0 is not a string"),
        (["a"], [[]], "Row 0 has no reference"),
        (["a"], [["..."]], "without a word"),
    ],
)
def test_bad_captions(metric, hypotheses: list, references: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        metric(hypotheses, references)


def test_bleu_needs_a_length() -> None:
    with pytest.raises(ValueError, match="max_n must be at least 1"):
        language.bleu(["a"], [["a"]], max_n=0)
