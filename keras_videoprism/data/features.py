"""Features of clips that a frozen model gave once: a folder of arrays that stand for the videos.

`features.json` says what the features are and is written first. Each shard is two arrays: the ids
of its clips, then their features, whose file is written last: where it stands, the shard is whole.
All clips have features of one shape, [T*N, D] for the tokens of a video encoder.
"""

import hashlib
import json
import math
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from keras_videoprism.data.atomic import atomic_path
from keras_videoprism.data.index import RecordIndex

FEATURES_FILE = "features.json"
DTYPES = ("float32", "float16")
SHARD_BYTES = 2**28
VERSION = 1
# Arguments of `read_records` on which features depend.
CLIP_OPTIONS = ("num_frames", "image_size", "sampling", "views", "whole")


class FeaturePlan(NamedTuple):
    """What a folder holds when it is complete.

    made_by: where the features come from: `model` and `records` (digests) and `CLIP_OPTIONS`.
    num_clips: of all shards. shard_clips: of each
    shard but the last. shape, dtype: of the features of a clip.
    """

    made_by: dict[str, Any]
    num_clips: int
    shard_clips: int
    shape: tuple[int, ...]
    dtype: str

    @property
    def num_shards(self) -> int:
        return math.ceil(self.num_clips / self.shard_clips)

    def length(self, shard: int) -> int:
        """Number of clips of a shard."""
        return min(self.shard_clips, self.num_clips - shard * self.shard_clips)


class Features(NamedTuple):
    """Features of clips, found by the ids of the clips.

    shards: memory-mapped arrays. clip_ids: int64 [n], ascending; positions: int64 [n], of each of
    them in all shards one after the other.
    """

    plan: FeaturePlan
    shards: list[np.ndarray]
    clip_ids: np.ndarray
    positions: np.ndarray

    def of(self, clip_ids: np.ndarray) -> np.ndarray:
        """Features [B, ...] of clips [B].

        Raises:
            ValueError: a clip has none.
        """
        found = np.searchsorted(self.clip_ids, clip_ids).clip(max=len(self.clip_ids) - 1)
        missing = clip_ids[self.clip_ids[found] != clip_ids]
        if len(missing):
            raise ValueError(f"there are no features of the clips {missing.tolist()[:5]}")
        places = zip(*np.divmod(self.positions[found], self.plan.shard_clips), strict=True)
        return np.stack([self.shards[shard][row] for shard, row in places])


def plan_features(
    made_by: dict[str, Any], num_clips: int, batch_size: int, shape: tuple[int, ...], dtype: str
) -> FeaturePlan:
    """A plan whose shards are whole batches of at most 256 MiB, or one batch.

    Raises:
        ValueError: another dtype than float32 and float16.
    """
    if dtype not in DTYPES:
        raise ValueError(f"dtype must be one of {DTYPES}, received {dtype!r}")
    batch_bytes = batch_size * math.prod(shape) * np.dtype(dtype).itemsize
    shard_clips = batch_size * max(SHARD_BYTES // batch_bytes, 1)
    return FeaturePlan(made_by, num_clips, shard_clips, tuple(shape), dtype)


def begin_features(folder: str | os.PathLike[str], plan: FeaturePlan) -> tuple[FeaturePlan, int]:
    """Write the plan, or find what a call for the same features has planned and done.

    Returns:
        The plan, and the number of shards at the beginning that are whole.

    Raises:
        ValueError: the folder holds other features.
    """
    path = Path(folder) / FEATURES_FILE
    if path.exists():
        older = _read_plan(folder)
        check_same(folder, older._asdict(), plan._replace(shard_clips=older.shard_clips)._asdict())
        missing = (i for i in range(older.num_shards) if not _shard_path(folder, i).exists())
        return older, next(missing, older.num_shards)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        text = json.dumps({"version": VERSION, **plan._asdict()}, indent=1)
        temporary.write_text(text + "\n", encoding="utf-8")
    return plan, 0


def write_shard(
    folder: str | os.PathLike[str],
    plan: FeaturePlan,
    shard: int,
    clip_ids: np.ndarray,
    features: np.ndarray,
) -> None:
    """Write one shard: ids int64 [n] and features [n, ...].

    Raises:
        ValueError: a value is not finite in the plan's dtype.
    """
    with np.errstate(over="ignore"):
        stored = features.astype(plan.dtype)
    if not np.isfinite(stored).all():
        raise ValueError(
            f"features of shard {shard} are not finite in {plan.dtype}; with float16, take float32"
        )
    _save(_shard_path(folder, shard, "ids"), clip_ids.astype(np.int64))
    _save(_shard_path(folder, shard), stored)


def open_features(folder: str | os.PathLike[str]) -> Features:
    """Open a complete folder; only the ids are read.

    Raises:
        ValueError: not such a folder, shards that are missing or of another shape, or a clip id
            that belongs to two clips.
    """
    plan = _read_plan(folder)
    missing = [i for i in range(plan.num_shards) if not _shard_path(folder, i).exists()]
    if missing:
        raise ValueError(
            f"{folder}: {len(missing)} of {plan.num_shards} shards are missing; make the features "
            "again with the same arguments, which goes on where it ended"
        )
    shards = [
        _load(_shard_path(folder, i), (plan.length(i), *plan.shape), plan.dtype)
        for i in range(plan.num_shards)
    ]
    ids = [
        _load(_shard_path(folder, i, "ids"), (plan.length(i),), "int64")
        for i in range(plan.num_shards)
    ]
    clip_ids = np.concatenate(ids)
    order = np.argsort(clip_ids, kind="stable")
    _check_ids(folder, clip_ids)
    return Features(plan, shards, clip_ids[order], order)


def digest_of_records(index: RecordIndex) -> str:
    """Tells record folders apart by the bytes of each of their records."""
    return hashlib.sha256(index.sizes.astype("<i8").tobytes()).hexdigest()


def check_same(
    folder: str | os.PathLike[str], theirs: dict[str, Any], ours: dict[str, Any]
) -> None:
    """ValueError that lists in what the features of a folder differ from what is wanted."""
    theirs, ours = (
        json.loads(json.dumps({**values, **values.get("made_by", {})})) for values in (theirs, ours)
    )
    names = (ours.keys() & theirs.keys()) - {"made_by"}
    differing = [
        f"  {name}: {theirs[name]!r} there, {ours[name]!r} wanted"
        for name in sorted(names)
        if theirs[name] != ours[name]
    ]
    if differing:
        raise ValueError(
            f"{folder} holds features of something else:\n"
            + "\n".join(differing)
            + "\nName another folder to make them anew, or remove this one."
        )


def _shard_path(folder: str | os.PathLike[str], shard: int, kind: str = "features") -> Path:
    return Path(folder) / f"{kind}-{shard:05d}.npy"


def _save(path: Path, array: np.ndarray) -> None:
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.save(file, array, allow_pickle=False)


def _load(path: Path, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(f"{path} cannot be read: {error}; remove it and make it again") from error
    if array.shape != shape or array.dtype != dtype:
        raise ValueError(
            f"{path} is {array.dtype} {list(array.shape)}, {FEATURES_FILE} says {dtype} "
            f"{list(shape)}; remove it and make it again"
        )
    return array


def _read_plan(folder: str | os.PathLike[str]) -> FeaturePlan:
    path = Path(folder) / FEATURES_FILE
    if not path.exists():
        raise ValueError(f"{folder} is no folder of features: {FEATURES_FILE} is missing")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        version = values.pop("version")
        plan = FeaturePlan(**{**values, "shape": tuple(values["shape"])})
        numbers = [plan.num_clips, plan.shard_clips, *plan.shape]
        if version != VERSION or plan.dtype not in DTYPES or min(numbers) < 1:
            raise ValueError(f"version {version}, {plan.dtype}, sizes {numbers}")
        if not isinstance(plan.made_by, dict):
            raise ValueError(f"made_by={plan.made_by!r}")
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{path} does not describe features: {error!r}") from error
    return plan


def _check_ids(folder: str | os.PathLike[str], clip_ids: np.ndarray) -> None:
    """A clip may stand in for damaged ones just before it; else an id belongs to one clip."""
    num_runs = np.count_nonzero(clip_ids != np.roll(clip_ids, 1))
    if num_runs > len(np.unique(clip_ids)):
        raise ValueError(
            f"{folder}: clips of two record folders have the same id; make features of each folder"
        )
