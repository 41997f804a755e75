"""Some answers of a language model for the page of an evaluation, and all of them in a file."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keras_videoprism.commands.evaluate.outcome import Answer
from keras_videoprism.commands.result_page import FramesOf, draw_clips
from keras_videoprism.data.atomic import atomic_path
from keras_videoprism.data.page import section

NUM_ANSWERS = 6  # of the best, and of the worst
NUM_REFERENCES = 3  # that are shown of each


def draw_answers(answers: Sequence[Answer], frames_of: FramesOf) -> list[str]:
    """Two sections of HTML: the answers of the highest and of the lowest score.

    Args:
        answers: N of them.
        frames_of: positions in [0, N) -> the frames of each clip, uint8 [T, H, W, 3].
    """
    order = np.argsort([-answer.score for answer in answers], kind="stable").tolist()
    number = min(NUM_ANSWERS, (len(order) + 1) // 2)
    parts = {"Best answers": order[:number], "Worst answers": order[number:][-number:][::-1]}
    return [
        section(title, "By their scores, one by one.", _draw(answers, positions, frames_of))
        for title, positions in parts.items()
        if positions
    ]


def _draw(answers: Sequence[Answer], positions: list[int], frames_of: FramesOf) -> str:
    chosen = [answers[position] for position in positions]
    names = [answer.answer or "(nothing)" for answer in chosen]
    return draw_clips(positions, names, [_about(answer) for answer in chosen], frames_of)


def _about(answer: Answer) -> str:
    rest = len(answer.references) - NUM_REFERENCES
    more = f" and {rest} more" if rest > 0 else ""
    right = " | ".join(answer.references[:NUM_REFERENCES])
    asked = f"Asked: {answer.question} " if answer.question else ""
    return f"{asked}Right: {right}{more}. Score {answer.score:.2f}. {answer.clip.name}"


def write_answers(path: str | Path, answers: Sequence[Answer]) -> None:
    """A line of JSON for each; of a clip its name, and its start and end in seconds."""
    with atomic_path(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        for answer in answers:
            clip = {"clip": answer.clip.name, "start": answer.clip.start, "end": answer.clip.end}
            rest = answer._asdict()
            file.write(json.dumps({**rest, **clip}, ensure_ascii=False) + "\n")
