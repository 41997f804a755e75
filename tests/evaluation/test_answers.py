import numpy as np
import pytest

from keras_videoprism.evaluation.answers import (
    answer_accuracy,
    closed_vocabulary_accuracy,
    normalize_answer,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" Man.", "man"),
        ("a man. question: who", "a man"),
        ("\n a Man \nquestion: who", "a man"),
        ("3.5", "3"),
        ("ice cream!", "ice cream!"),
        ("", ""),
        (".", ""),
    ],
)
def test_normalize_answer(text: str, expected: str) -> None:
    assert normalize_answer(text) == expected


def test_answer_accuracy() -> None:
    answers = ["Man.\nquestion:", "a woman", "", "dog"]
    accuracy, right = answer_accuracy(answers, [["man"], ["woman"], ["cat"], ["cat", " Dog. "]])
    assert right.tolist() == [True, False, False, True] and accuracy == 0.5


def test_closed_vocabulary() -> None:
    scores = [[-1, -2, -3], [-3, -2, -1], [-2, -2, -9], [-1, -2, -3], [-5, -1, -9]]
    references = [["man"], ["man"], ["man"], ["horse"], ["horse", "Dog."]]
    found = closed_vocabulary_accuracy(scores, ["man", "dog", "cat"], references)
    assert found.right.tolist() == [True, False, False, False, True]  # the third is a tie
    assert found.accuracy == 0.4
    assert found.outside == {"reason": "no candidate is right", "count": 1, "examples": ["horse"]}


def test_no_answer_is_a_candidate() -> None:
    found = closed_vocabulary_accuracy(np.zeros((2, 3)), ["a", "b", "c"], [["d"], ["e"]])
    assert found.accuracy == 0.0 and found.outside["count"] == 2


def test_the_order_of_candidates_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    names = [f"word{i}" for i in range(20)]
    scores = rng.random((50, 20))
    references = [[f"word{i}"] for i in np.where(rng.random(50) < 0.5, scores.argmax(1), 25)]
    order = rng.permutation(20)
    found = closed_vocabulary_accuracy(scores, names, references)
    again = closed_vocabulary_accuracy(scores[:, order], [names[i] for i in order], references)
    inside = [reference != ["word25"] for reference in references]
    assert found.right.tolist() == again.right.tolist() == inside
    assert 10 < found.outside["count"] < 40


@pytest.mark.parametrize(
    ("scores", "candidates", "references", "message"),
    [
        ([[0, 1]], ["a", "A."], [["a"]], "Candidates must differ.*'a'"),
        ([[0, 1]], ["a"], [["a"]], r"1 questions and 1 candidates.*\(1, 2\)"),
        ([0, 1], ["a", "b"], [["a"], ["b"]], r"Received shape \(2,\)"),
        (np.zeros((1, 0)), [], [["a"]], "at least one of each"),
        ([[0, np.nan], [1, 0]], ["a", "b"], [["c"], ["a"]], "1 scores are NaN or infinite"),
        ([[0, 1]], ["a", "b"], [[]], "no reference"),
        ([[0, 1]], ["a", "b"], [["."]], "1 questions have a reference without text.*number 0"),
    ],
)
def test_bad_closed_vocabulary(scores, candidates, references, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        closed_vocabulary_accuracy(scores, candidates, references)


@pytest.mark.parametrize(
    ("answers", "references", "message"),
    [
        ([], [], "nothing to score"),
        (["a"], [["a"], ["b"]], "1 texts and 2 lists"),
        ([1], [["a"]], "not a string"),
        (["a"], ["a"], "must be a list"),
        (["a"], [["a", ""]], "reference without text"),
    ],
)
def test_bad_answers(answers: list, references: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        answer_accuracy(answers, references)
