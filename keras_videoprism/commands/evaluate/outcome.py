"""What an evaluation found."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_videoprism.data.manifest import Row


class Outcome(NamedTuple):
    """Numbers of a task, and what a page shows beside them.

    metrics: name -> value in [0, 1]. num_examples: those that were scored. excluded: those that
    were not. scores: [N, C] of clips and classes; labels: int [N], or bool [N, C]; classes: C
    names; rows: N clips. notes: what else a reader should know, by name.
    """

    metrics: dict[str, float]
    num_examples: int
    excluded: Sequence[dict[str, Any]]
    scores: np.ndarray | None = None
    labels: np.ndarray | None = None
    classes: Sequence[str] = ()
    rows: Sequence[Row] = ()
    notes: dict[str, Any] = {}
