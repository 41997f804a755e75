"""What an evaluation found."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_videoprism.data.manifest import Row


class Answer(NamedTuple):
    """What a language model said of a clip, and its score, the higher the better.

    question: "" of a caption. references: texts that are right.
    """

    clip: Row
    question: str
    answer: str
    references: Sequence[str]
    score: float


class Outcome(NamedTuple):
    """Numbers of a task, and what a page shows beside them.

    metrics: name -> value in [0, 1], of CIDEr in [0, 10]. num_examples: those that were scored.
    excluded: those that were not. scores: [N, C] of clips and classes; labels: int [N], or bool
    [N, C]; classes: C names; rows: N clips. notes: what else a reader should know, by name.
    answers: N, of a language model.
    """

    metrics: dict[str, float]
    num_examples: int
    excluded: Sequence[dict[str, Any]]
    scores: np.ndarray | None = None
    labels: np.ndarray | None = None
    classes: Sequence[str] = ()
    rows: Sequence[Row] = ()
    notes: dict[str, Any] = {}
    answers: Sequence[Answer] = ()
