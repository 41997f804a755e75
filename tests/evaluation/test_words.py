import pytest

from keras_videoprism.evaluation.words import check_pairs, split_pairs, tokenize

# Output of the Java program (`pycocoevalcap` 1.2 with Stanford CoreNLP 3.4.1), without punctuation.
JAVA = {
    "A man's dog, isn't it? (really!)": "a man 's dog is n't it -lrb- really -rrb-",
    "The U.S. team won't play at 3.30 p.m. today.": "the u.s. team wo n't play at 3.30 p.m. today",
    "they're \"having fun\" -- and can't stop...": "they 're having fun and ca n't stop",
    "a well-known T-shirt/jacket costs $5.00, or 10% off": (
        "a well-known t-shirt/jacket costs $ 5.00 or 10 % off"
    ),
    "I gotta go; gimme that: cannot wait!": "i got ta go gim me that can not wait",
    "a person - sitting - on a chair": "a person sitting on a chair",
    "the man says 'hello' to the dogs' owner": "the man says hello to the dogs owner",
    "Mr. Smith and Dr. Who are at the zoo.": "mr. smith and dr. who are at the zoo",
    "a #1 fan & his friend @ home": "a # 1 fan & his friend @ home",
    "someone's cooking spaghetti; it's 5,000 calories!": (
        "someone 's cooking spaghetti it 's 5,000 calories"
    ),
    "na\u00efve \u201cquotes\u201d and \u2018single\u2019 ones \u2013 dash \u2014 \u2026": (
        "na\u00efve quotes and single ones dash"
    ),
    "a man is cooking.He eats": "a man is cooking.he eats",
    "this is vitamin c.": "this is vitamin c.",
    "at 10am and 5pm, 12:45pm on the 2nd": "at 10am and 5pm 12:45 pm on the 2nd",
    "he's 50% done; it's 5'10\" tall": "he 's 50 % done it 's 5 10 tall",
    "couldn't've o'clock": "could n't 've o'clock",
    "!!! ??? ?! . . .": "!!! ??? ?!",
    "#hashtag user_name <b> -5 10-20 in the '90s": "#hashtag user_name <b> -5 10-20 in the '90s",
    "write to a.b@c.com or http://x.org/y?z=1": "write to a.b@c.com or http://x.org/y?z=1",
    "test- and -test": "test and test",
    "[a] {b}": "-lsb- a -rsb- -lcb- b -rcb-",
    "scene f.1 of Wang et al., 2022": "scene f. 1 of wang et al. 2022",
}


@pytest.mark.parametrize("text", JAVA)
def test_words_are_those_of_the_java_program(text: str) -> None:
    assert tokenize(text) == JAVA[text].split()


@pytest.mark.parametrize("text", JAVA)
def test_words_of_words_are_the_same(text: str) -> None:
    assert tokenize(JAVA[text]) == JAVA[text].split()


def test_no_words() -> None:
    assert tokenize("") == tokenize(" .,!\n") == []


def test_pairs_are_split() -> None:
    found = split_pairs(["A bird.", ""], [["c"], ["d e", "f"]], tokenize)
    assert found == ([["a", "bird"], []], [[["c"]], [["d", "e"], ["f"]]])


@pytest.mark.parametrize(
    ("texts", "references", "message"),
    [
        ([], [], "nothing to score"),
        (["a"], [], "1 texts and 0 lists"),
        (["a"], [["b"], ["c"]], "1 texts and 2 lists"),
        ("a", [["b"]], "one string"),
        (["a"], "b", "one string"),
        (["a", None], [["b"], ["c"]], "Row 1 is not a string. Received: None"),
        ([b"a"], [["b"]], "Row 0 is not a string"),
        (["a", "b"], [["a"], "b"], "references of row 1 must be a list"),
        (["a"], [[1]], "references of row 0 must be a list"),
        (["a"], [None], "must be a list of strings. Received: None"),
        (["a", "b"], [["a"], []], "Row 1 has no reference"),
    ],
)
def test_bad_pairs(texts: list, references: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_pairs(texts, references)
    with pytest.raises(ValueError, match=message):
        split_pairs(texts, references, tokenize)


def test_a_reference_needs_a_word() -> None:
    with pytest.raises(ValueError, match="2 rows have a reference without a word.* row 1"):
        split_pairs(["a", "b", "c"], [["a"], ["b", " . "], [""]], tokenize)
