"""Clips of a task -> records -> what the frozen encoder sees in them, each step once."""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_videoprism.commands.features import cache_features
from keras_videoprism.commands.progress import progress_bar
from keras_videoprism.data.atomic import atomic_path
from keras_videoprism.data.features import Features, open_features
from keras_videoprism.data.index import SUMMARY_FILE
from keras_videoprism.data.load import VIEW_SHARE
from keras_videoprism.data.manifest import Row
from keras_videoprism.data.write import write_records

ROWS_FILE = "rows.json"  # beside the records: the digest of what they were written from
MAX_EXAMPLES = 20  # names of what was left out that a result lists
BATCH_CLIPS = 16  # in a forward pass, all views counted


class Clips(NamedTuple):
    """How clips are stored and read; see `Recipe` and `read_records`."""

    num_frames: int
    image_size: tuple[int, int]
    fps: float | None = None
    sampling: str = "uniform"
    views: tuple[int, int] | None = None
    whole: bool = False

    @property
    def num_views(self) -> int:
        """Of a clip."""
        return math.prod(self.views or ())

    @property
    def reading(self) -> dict[str, Any]:
        """Arguments of `read_records` and `cache_features`."""
        return {name: value for name, value in self._asdict().items() if name != "fps"}


class Place(NamedTuple):
    """Where a task keeps what it has computed: the folders of its records and of its features.

    clips: how clips are stored, and how those to test on are read. max_missing: share of the clips
    that may be missing or damaged.
    """

    records: Path
    features: Path
    clips: Clips
    max_missing: float = 0.05


class FrozenModel(keras.Model):
    """One function of a model's videos, as a model to predict with.

    Args:
        model: has the weights.
        function: videos [B, T, H, W, 3] -> features [B, ...].
        shape: of the features, without B.
        name: what the function is, a part of the fingerprint of the features.
    """

    def __init__(
        self, model: keras.Model, function: Callable, shape: Sequence[int], name: str
    ) -> None:
        super().__init__(name=name)
        self.model, self.function, self.shape = model, function, tuple(shape)
        self.built = True

    def call(self, videos: Any) -> Any:
        return self.function(videos)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return (input_shape[0], *self.shape)

    def get_config(self) -> dict[str, Any]:
        return {**self.model.get_config(), "features": self.name}


class Stored(NamedTuple):
    """Clips of a record folder in ascending order of their ids, and those that are not there."""

    rows: list[Row]
    excluded: list[dict[str, Any]]

    @property
    def clip_ids(self) -> np.ndarray:
        return np.array([row.clip_id for row in self.rows], np.int64)


def store(rows: Iterable[Row], place: Place, part: str) -> Stored:
    """Write clips as records, unless they are there already; rows of one clip are stored once.

    What is stored is `fps` of the clips, or `num_frames` spread over each, a little larger where
    crops at several places will be taken.

    Args:
        rows: clips. Of two rows of one clip that differ, the first counts.
        place: where to.
        part: name of a folder in `place.records`.

    Raises:
        ValueError: more clips are missing or damaged than `max_missing`, or the folder holds other
            clips.
    """
    rows, failed = _once(rows)
    number = len(rows) + len(failed)
    there = [row for row in rows if Path(row.path).exists()]
    failed += [("the video is missing", row.name) for row in rows if not Path(row.path).exists()]
    _check_share(failed, number, place.max_missing)
    folder, clips = place.records / part, place.clips
    short_side = round(min(clips.image_size) / (VIEW_SHARE if clips.views else 1))
    options: dict[str, Any] = {"fps": clips.fps, "short_side": short_side}
    options["num_frames"] = None if clips.fps else clips.num_frames
    _claim(folder, there, options)
    if not (folder / SUMMARY_FILE).exists():
        with progress_bar(f"store {part}") as progress:
            write_records(there, folder, source=part, progress=progress, **options)
    summary = json.loads((folder / SUMMARY_FILE).read_text(encoding="utf-8"))
    failed += [(reason, name) for name, reason in summary["skipped"]]
    _check_share(failed, number, place.max_missing)
    skipped = set(summary["skipped_ids"])
    return Stored([row for row in there if row.clip_id not in skipped], summarize(failed))


def _once(rows: Iterable[Row]) -> tuple[list[Row], list[tuple[str, str]]]:
    """Each clip once, in ascending order of the ids, and the (reason, name) of other rows of it."""
    found: dict[int, Row] = {}
    others = [row for row in rows if found.setdefault(row.clip_id, row) != row]
    reason = "the clip is listed before, with another annotation"
    return [row for _, row in sorted(found.items())], [(reason, row.name) for row in others]


def summarize(failed: Iterable[tuple[str, str]]) -> list[dict[str, Any]]:
    """(reason, name) of each -> an entry for each reason, as `evaluation.matching.excluded`."""
    names: dict[str, list[str]] = {}
    for reason, name in failed:
        names.setdefault(reason, []).append(name)
    return [
        {"reason": reason, "count": len(found), "examples": found[:MAX_EXAMPLES]}
        for reason, found in names.items()
    ]


def _check_share(failed: list[tuple[str, str]], number: int, max_missing: float) -> None:
    if len(failed) > max_missing * number or len(failed) == number:
        reasons = Counter(reason for reason, _ in failed).most_common(3)
        raise ValueError(
            f"{len(failed)} of {number} clips are missing or damaged, more than the share "
            f"max_missing={max_missing} allows, or all: {reasons}; the first are "
            f"{[name for _, name in failed[:5]]}"
        )


def _claim(folder: Path, rows: list[Row], options: dict[str, Any]) -> None:
    """Note what a folder is for; ValueError where it is for something else."""
    content = json.dumps([[*map(str, row)] for row in rows]) + json.dumps(options)
    digest = hashlib.sha256(content.encode()).hexdigest()
    file = folder / ROWS_FILE
    if file.exists():
        if json.loads(file.read_text(encoding="utf-8")) != digest:
            raise ValueError(
                f"{folder} holds other clips, or the same ones stored otherwise: remove it, or "
                "name another folder to work in"
            )
        return
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(file) as temporary:
        temporary.write_text(json.dumps(digest), encoding="utf-8")


def encode(
    model: keras.Model, records: Path, folder: Path, clips: Clips, dtype: str = "float32"
) -> Features:
    """Features of all clips of a record folder, computed where they are not there yet.

    Raises:
        ValueError: the folder holds features of another encoder, other clips or another size.
    """
    with progress_bar(f"encode {records.name}") as progress:
        cache_features(
            model,
            records,
            folder,
            batch_size=max(BATCH_CLIPS // clips.num_views, 1),
            dtype=dtype,
            progress=progress,
            **clips.reading,
        )
    return open_features(folder)
