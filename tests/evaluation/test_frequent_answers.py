import numpy as np
import pytest

from keras_videoprism.evaluation.frequent_answers import (
    best_vocabulary_size,
    choose_shots,
    closed_vocabulary,
    most_frequent,
)

ANSWERS = ["man", "a cat", "Man.", "talk", " a cat ", "man", "dog", "talk", ""]
QUESTIONS = [f"question {i}? " for i in range(len(ANSWERS))]


def test_most_frequent_answers() -> None:
    assert most_frequent(ANSWERS) == ["man", "a cat", "talk", "dog"]


def test_shots_are_drawn_among_the_questions_of_common_answers() -> None:
    drawn = {tuple(choose_shots(QUESTIONS, ANSWERS, seed=seed)) for seed in range(40)}
    assert drawn == {
        ((f"question {i}?", "man"), (f"question {j}?", "a cat")) for i in (0, 2, 5) for j in (1, 4)
    }
    assert choose_shots(QUESTIONS, ANSWERS, seed=7) == choose_shots(QUESTIONS, ANSWERS, seed=7)
    assert [answer for _, answer in choose_shots(QUESTIONS, ANSWERS, 4)] == most_frequent(ANSWERS)
    assert choose_shots(QUESTIONS, ANSWERS, 0) == []


def test_a_vocabulary_passes_over_long_answers() -> None:
    found = closed_vocabulary(ANSWERS, 2, lambda answer: " " not in answer)
    assert found == (["man", "talk"], ["a cat"])


def test_the_best_size_by_hand() -> None:
    """The third question needs the third candidate, which costs the fourth its answer."""
    scores = np.array([[3, 1, 0], [1, 2, 0], [1, 0, 2.0], [2, 0, 3]])
    references = [["man"], ["talk"], ["dog"], ["man"]]
    size, accuracies = best_vocabulary_size(scores, ["man", "talk", "dog"], references, [3, 2, 1])
    assert (size, accuracies) == (2, {1: 0.5, 2: 0.75, 3: 0.75})
    assert best_vocabulary_size(scores, ["man", "talk", "dog"], references, [3])[0] == 3


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: choose_shots(QUESTIONS, ANSWERS[:3]), "received 9 questions and 3 answers"),
        (lambda: choose_shots(QUESTIONS, ANSWERS, 5), "5 shots need .* received 4"),
        (lambda: closed_vocabulary(ANSWERS, 5, bool), "vocabulary of 5 .* there are 4"),
        (lambda: closed_vocabulary(ANSWERS, 0, bool), "received the size 0"),
        (lambda: best_vocabulary_size([[1, 2]], ["a", "b"], [["a"]], [3]), r"1 to 2; .*\[3\]"),
        (lambda: best_vocabulary_size([[1, 2]], ["a", "b"], [["a"]], []), r"1 to 2; .*\[\]"),
        (lambda: best_vocabulary_size([[np.nan]], ["a"], [["a"]], [1]), "1 scores are NaN"),
    ],
)
def test_bad_calls(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
