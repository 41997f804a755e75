from pathlib import Path

import numpy as np
import pytest

from keras_videoprism.data.curation.captions import open_wordnet
from keras_videoprism.evaluation.wups import KINDS, STOP_WORDS, lemmatize, mean_by_kind, wups

# (word, part of speech, more general word). "be" and "have" are words of grammar.
SENSES = (
    ("entity", "n", ""),
    ("animal", "n", "entity"),
    ("dog", "n", "animal"),
    ("puppy", "n", "dog"),
    ("cat", "n", "animal"),
    ("ball", "n", "entity"),
    ("hand", "n", "entity"),
    ("hands", "n", "entity"),
    ("playing", "n", "entity"),
    ("wa", "n", "entity"),
    ("us", "n", "entity"),
    ("use", "n", "entity"),
    ("play", "v", ""),
    ("use", "v", ""),
    ("run", "v", ""),
    ("be", "v", ""),
    ("red", "a", ""),
)
PARTS = {"n": "noun", "v": "verb", "a": "adj", "r": "adv"}
# 2 depth(common) / (depth + depth), where the entity has depth 1.
DOG_CAT, DOG_PUPPY, PUPPY_CAT, DOG_BALL = 4 / 6, 6 / 7, 4 / 7, 2 / 5


@pytest.fixture(scope="module")
def wordnet(tmp_path_factory):
    """A WordNet of the senses above, read by nltk."""
    pytest.importorskip("nltk")
    return open_wordnet(write_wordnet(tmp_path_factory.mktemp("wordnet")))


def write_wordnet(folder: Path) -> Path:
    """The files and the format of WordNet 3."""
    for part, name in PARTS.items():
        data, index, offsets = "  licence\n", "  licence\n", {}
        for word, _, parent in (sense for sense in SENSES if sense[1] == part):
            offsets[word] = len(data)
            pointers = f"001 @ {offsets[parent]:08d} {part} 0000" if parent else "000"
            frames = " 01 + 02 00" if part == "v" else ""
            data += f"{offsets[word]:08d} 03 {part} 01 {word} 0 {pointers}{frames} | gloss  \n"
            index += f"{word} {part} 1 {'1 @' if parent else '0'} 1 1 {offsets[word]:08d}  \n"
        (folder / f"data.{name}").write_text(data)
        (folder / f"index.{name}").write_text(index)
        (folder / f"{name}.exc").write_text("ran run\nwas be\n" if part == "v" else "")
    return folder


def score(answer: str, *references: str, kind: str = "CW", wordnet, **options) -> float:
    return wups([answer], [references], [kind], wordnet, **options)[0]


def test_dictionary_forms(wordnet) -> None:
    words = lemmatize("Playing with the dogs, puppies and hands; was red: ran, xyzzies.", wordnet)
    assert words == "play with the dog puppy and hand be red run xyzzies".split()
    assert lemmatize("she uses it", wordnet) == ["she", "use", "it"]


@pytest.mark.parametrize(
    ("answer", "reference", "expected"),
    [
        ("dog", "dogs", 1.0),
        ("dog", "cat", DOG_CAT),
        ("a puppy", "the dog", DOG_PUPPY),
        ("dog puppy", "cat", DOG_CAT * PUPPY_CAT),  # both words of the answer look for a kin
        ("cat", "dog puppy", DOG_CAT * PUPPY_CAT),  # and so do those of the reference
        ("dog cat", "dog", DOG_CAT),
        ("dog xyzzy", "dog", 1.0),  # a word without any kin is skipped
        ("xyzzy", "xyzzy", 1.0),
        ("xyzzy", "dog", 0.0),
        ("dog", "red", 2 / 6),  # below an assumed common root: depths of 1, 4 and 2
        ("playing with it", "he plays", 1.0),
        ("", "dog", 0.0),
        ("the", "dog", 0.0),
        ("dog", "with it", 0.0),
    ],
)
def test_wups_by_hand(answer: str, reference: str, expected: float, wordnet) -> None:
    assert score(answer, reference, wordnet=wordnet) == pytest.approx(expected)


def test_the_threshold_weighs_what_lies_below_it(wordnet) -> None:
    assert score("dog", "cat", wordnet=wordnet, threshold=0.9) == pytest.approx(DOG_CAT / 10)
    assert score("dog", "cat", wordnet=wordnet, threshold=DOG_CAT) == pytest.approx(DOG_CAT)
    assert score("dog", "dog", wordnet=wordnet, threshold=1.0) == 1.0
    mixed = score("puppy cat", "dog cat", wordnet=wordnet, threshold=0.9)
    assert mixed == pytest.approx(DOG_PUPPY / 10)


def test_counts_and_yes_or_no_ask_for_equal_words(wordnet) -> None:
    for kind in ("DC", "DB"):
        assert score("the dogs", "dog", kind=kind, wordnet=wordnet) == 1.0
        assert score("dog", "puppy", kind=kind, wordnet=wordnet) == 0.0
        assert score("dog", "puppy", "dog", kind=kind, wordnet=wordnet) == 1.0
    assert score("no", "not", kind="DB", wordnet=wordnet) == 0.0
    assert score("dog", "puppy", kind="DL", wordnet=wordnet) == pytest.approx(DOG_PUPPY)


def test_the_better_reference_counts(wordnet) -> None:
    assert score("dog", "ball", "cat", wordnet=wordnet) == pytest.approx(DOG_CAT)
    assert score("dog", "ball", wordnet=wordnet) == pytest.approx(DOG_BALL)


def test_scores_of_several_questions(wordnet) -> None:
    answers, references = ["dog", "two", "red"], [["cat"], ["three"], ["red"]]
    mean, scores = wups(answers, references, ["TN", "DC", "DO"], wordnet)
    np.testing.assert_allclose(scores, [DOG_CAT, 0, 1])
    assert mean == pytest.approx((DOG_CAT + 1) / 3)


def test_another_way_to_split(wordnet) -> None:
    assert score("cats x", "dogs y", wordnet=wordnet, split=lambda _: ["cat"]) == 1.0


@pytest.mark.skipif(
    not Path("/usr/share/wordnet/data.noun").exists(), reason="needs Debian's wordnet-base"
)
def test_the_real_wordnet() -> None:
    real = open_wordnet("/usr/share/wordnet")
    assert score("a dog", "cats", wordnet=real) == pytest.approx(24 / 28)
    assert score("playing piano", "he plays the piano", wordnet=real) == 1.0
    assert score("uses the spoon", "use spoon", kind="DC", wordnet=real) == 1.0


def plain_wups(answer: list[str], reference: list[str], wordnet, threshold: float) -> float:
    products = []
    for words, others in ((answer, reference), (reference, answer)):
        product, found = 1.0, False
        for word in words:
            best = 0.0
            for other in others:
                value = 1.0 if word == other else 0.0
                if word != other and wordnet.synsets(word) and wordnet.synsets(other):
                    a, b = wordnet.synsets(word)[0], wordnet.synsets(other)[0]
                    value = a.wup_similarity(b) or 0.0
                best = max(best, value if value >= threshold else value / 10)
            if best > 0:
                product, found = product * best, True
        products.append(product if found else 0.0)
    return min(products)


@pytest.mark.parametrize("threshold", [0.0, 0.6, 0.9])
def test_wups_equals_plain_loops(threshold: float, wordnet) -> None:
    rng = np.random.default_rng(0)
    words = ["dog", "puppy", "cat", "ball", "play", "run", "red", "xyzzy", "two"]
    answers, references = ([list(rng.choice(words, 1 + i % 4)) for i in range(40)] for _ in "ab")
    _, scores = wups(
        [" ".join(answer) for answer in answers],
        [[" ".join(reference)] for reference in references],
        ["CH"] * 40,
        wordnet,
        threshold=threshold,
    )
    expected = [plain_wups(*pair, wordnet, threshold) for pair in zip(answers, references)]  # noqa: B905
    np.testing.assert_allclose(scores, expected)
    assert 0 < np.mean(expected) < 1


def test_mean_by_kind() -> None:
    scores = [1.0, 0.0, 0.5, 0.5, 0.2]
    found = mean_by_kind(scores, ["TN", "TP", "TC", "CW", "DB"])
    expected = {"C": 0.5, "CW": 0.5, "D": 0.2, "DB": 0.2, "T": 0.5, "TC": 0.5, "TN": 0.5}
    assert found == pytest.approx(expected)


def test_stop_words_of_nextqa() -> None:
    """Words that change an answer are none."""
    assert len(STOP_WORDS) == 130
    assert not STOP_WORDS & {"no", "not", "on", "in", "up", "down", "off", "after", "two", "same"}
    assert len(KINDS) == 9


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((["a"], [["b"]], ["XX"]), {}, "Kinds of questions are .* Received: .'XX'."),
        ((["a"], [["b"]], ["CW", "CH"]), {}, "kinds of 1 questions. Received: 2"),
        ((["a"], [["b"]], ["CW"]), {"threshold": 90}, r"threshold must lie in \[0, 1\]"),
        ((["a"], [[]], ["CW"]), {}, "no reference"),
        ((["a"], [["."]], ["CW"]), {}, "without a word"),
        (([None], [["a"]], ["CW"]), {}, "not a string"),
        (([], [], []), {}, "nothing to score"),
        ((["a"], [["a"], ["b"]], ["CW"]), {}, "1 texts and 2 lists"),
    ],
)
def test_bad_input(arguments: tuple, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        wups(*arguments, wordnet=None, **options)
