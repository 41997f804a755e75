import json
import re

import numpy as np

from keras_videoprism.commands.answers_page import draw_answers, write_answers
from keras_videoprism.commands.evaluate.outcome import Answer
from keras_videoprism.data.manifest import Row

SCORES = [0.5, 1.0, 0.0, 0.25, 1.0, 0.75, 0.1]


def answers(scores) -> list[Answer]:
    return [
        Answer(Row(f"{i}.mp4", f"clip <{i}>"), f"who {i}?", f"man {i}", ("man", "boy"), score)
        for i, score in enumerate(scores)
    ]


def test_the_best_and_the_worst():
    asked = []

    def frames_of(positions):
        asked.extend(positions)
        return [np.zeros((1, 4, 6, 3), np.uint8)] * len(positions)

    best, worst = draw_answers(answers(SCORES), frames_of)
    assert asked == [1, 4, 5, 0, 2, 6, 3] and (best + worst).count("<img") == 7
    assert re.findall("<b>(.*?)</b>", worst) == ["man 2", "man 6", "man 3"]
    assert "Asked: who 5? Right: man | boy. Score 0.75. clip &lt;5&gt;" in best
    best, worst = draw_answers(answers(np.arange(40)), frames_of)
    assert re.findall("<b>man (.*?)</b>", best) == ["39", "38", "37", "36", "35", "34"]
    assert re.findall("<b>man (.*?)</b>", worst) == ["0", "1", "2", "3", "4", "5"]


def test_captions_with_many_references_and_without_words():
    (found,) = answers([0.5])
    found = found._replace(question="", answer="", references=tuple("abcde"))
    (best,) = draw_answers([found], None)
    assert "<b>(nothing)</b><small>Right: a | b | c and 2 more. Score" in best
    assert draw_answers([], None) == []


def test_all_answers_in_a_file(tmp_path):
    found = answers(SCORES)
    found[1] = found[1]._replace(clip=Row("1.mp4", "één", start=0.5, end=2.0))
    write_answers(tmp_path / "answers.jsonl", found)
    lines = (tmp_path / "answers.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 7 and "één" in lines[1]
    assert json.loads(lines[1]) == {
        "clip": "één",
        "question": "who 1?",
        "answer": "man 1",
        "references": ["man", "boy"],
        "score": 1.0,
        "start": 0.5,
        "end": 2.0,
    }
