from types import SimpleNamespace

import numpy as np
import pytest

from keras_videoprism.commands.caption import question_prompt
from keras_videoprism.commands.evaluate.answer import answer, choose_shots
from keras_videoprism.commands.evaluate.encode import Stored
from keras_videoprism.commands.evaluate.language import Language
from keras_videoprism.commands.evaluate.loaders import Questions
from keras_videoprism.commands.evaluate.tasks import TASKS
from keras_videoprism.data.annotations import Question
from keras_videoprism.data.manifest import Row

# Words of one token of the tiny model are red, green and blue.
TRAIN = ["red", "a red one", "red", "a red one", "green", "red", "green", "blue"]
VALIDATION = ["green", "red", "blue", "red"]
TEST = ["blue", "green", "red", "black", "red"]


def ask(answers, part) -> list[Question]:
    """A question about each of as many clips."""
    return [
        Question(Row(f"{part}{i}.mp4", f"{part}{i}"), f"what is {part} {i}?", (text,), kind="DO")
        for i, text in enumerate(answers)
    ]


FOUND = Questions(ask(TRAIN, "train"), ask(VALIDATION, "val"), ask(TEST, "test"))


class Speaker(SimpleNamespace):
    """Answers as `says` has it; clip "test4" cannot be read. `score` gives the rows of `scores`."""

    def check_length(self, prompts, num_tokens):
        self.room = num_tokens
        self.captioner.check_length(max(map(len, prompts)) + num_tokens)

    def see(self, rows, part):
        self.parts.append(part)
        return Stored([row for row in rows if row.name != "test4"], []), part

    def say(self, prefixes, prompts):
        self.prompts = prompts
        return self.says

    def score(self, prefixes, prompts, candidates):
        words = [text.strip() for text in self.captioner.prompts.texts(candidates[:, None])]
        return np.array(self.scores[prefixes.features])[
            :, ["red green blue".split().index(w) for w in words]
        ]


@pytest.fixture
def make(captioner):
    def make(**options):
        return Speaker(captioner=captioner, language=Language(**options), parts=[])

    return make


def test_open_answers(make, captioner):
    speaker = make(max_tokens=4)
    speaker.says = [" Blue. question: what", "a green", "red", "black"]
    outcome = answer(speaker, TASKS["msvd_qa"], FOUND)
    assert outcome.metrics == {"accuracy": 0.75, "chance_accuracy": 0.25}  # "red" to all
    assert outcome.num_examples == 4 and outcome.notes["questions without their clip"] == 1
    assert [found.score for found in outcome.answers] == [1, 0, 1, 1]
    assert outcome.answers[1].references == ("green",) and speaker.parts == ["test"]
    text = question_prompt("what is test 0?", TASKS["msvd_qa"].shots)
    assert speaker.prompts[0] == captioner.prompts.prompt(text) and speaker.room == 3


def test_the_validation_questions_choose_the_size(make):
    """One word finds two of four answers, two find three, and the third word costs one."""
    speaker = make(vocabulary=[1, 3, 2], shots=0)
    speaker.scores = {
        "validation": [[0, 2, 1], [2, 1, 0], [1, 0, 2], [2, 0, 3]],
        "test": [[0, 1, 9], [1, 2, 9], [2, 1, 9], [1, 2, 9]],
    }
    outcome = answer(speaker, TASKS["msrvtt_qa"], FOUND)
    notes = outcome.notes
    assert notes["validation accuracy (%) of each size"] == {1: 50, 2: 75, 3: 75}
    assert notes["size of the vocabulary"] == 2 and notes["validation questions"] == 4
    (passed,) = notes["frequent answers passed over"]
    assert (passed["count"], passed["examples"]) == (1, ["a red one"])
    assert [found.answer for found in outcome.answers] == ["green", "green", "red", "green"]
    assert [found.score for found in outcome.answers] == [0, 1, 1, 0]
    assert outcome.metrics["accuracy"] == 0.5 and speaker.parts == ["validation", "test"]
    outside = notes["questions that no word answers, and wrong"]
    assert (outside["count"], outside["examples"]) == (2, ["blue", "black"])


def test_one_size_needs_no_validation_and_no_room(make):
    speaker = make(vocabulary=[3])
    speaker.scores = {"test": [[0, 1, 9], [1, 2, 9], [2, 1, 0], [1, 2, 9]]}
    outcome = answer(speaker, TASKS["msvd_qa"], FOUND)
    assert outcome.metrics["accuracy"] == 0.5 and speaker.parts == ["test"] and speaker.room == 0


def test_wups(make, wordnet):
    pytest.importorskip("nltk")
    speaker = make(wordnet=wordnet)
    speaker.says = ["a dog. next", "dog", "cat", "it"]
    tests = ask(["dog", "puppy", "ball", "dog", "dog"], "test")
    outcome = answer(speaker, TASKS["nextqa_open"], FOUND._replace(test=tests))
    scores = [found.score for found in outcome.answers]
    assert scores[0] == 1 and scores[1] == pytest.approx(6 / 7) and scores[3] == 0
    assert outcome.metrics["wups"] == pytest.approx(np.mean(scores))
    assert outcome.metrics["wups_0.9"] < outcome.metrics["wups"] == outcome.metrics["wups_D"]


def test_shots_of_the_paper_and_others():
    """The texts of footnote 2, word by word."""
    texts = {
        "msrvtt_qa": "question: who is talking to his family? answer: man. "
        "question: what is a woman doing? answer: talk. question: who? answer:",
        "msvd_qa": "question: who is using a wrench on a pipe fitting? answer: man. "
        "question: who breaks an egg into a bowl? answer: woman. question: who? answer:",
    }
    for name, text in texts.items():
        shots = choose_shots(TASKS[name], FOUND.train, Language(), seed=0)
        assert question_prompt("who?", shots) == text
    task = TASKS["msvd_qa"]
    assert choose_shots(task, FOUND.train, Language(shots=0), seed=0) == []
    drawn = choose_shots(task, FOUND.train, Language(choose_shots=True), seed=1)
    assert [text for _, text in drawn] == ["red", "a red one"]
    assert drawn == choose_shots(TASKS["nextqa_open"], FOUND.train, Language(), seed=1)
    assert len(choose_shots(task, FOUND.train, Language(shots=3), seed=0)) == 3


@pytest.mark.parametrize(
    ("options", "found", "message"),
    [
        ({"vocabulary": [4]}, FOUND, "vocabulary of 4 .* there are 3"),
        ({}, FOUND._replace(test=ask(["red", "."], "test")), "reference without text"),
        ({"max_tokens": 200}, FOUND, "more than the 220 of the model's context"),
        ({"shots": 5}, FOUND, "5 shots need as many different answers; received 4"),
    ],
)
def test_errors_before_the_work(make, options, found, message):
    speaker = make(**options)
    with pytest.raises(ValueError, match=message):
        answer(speaker, TASKS["msrvtt_qa"], found)
    assert speaker.parts == []
