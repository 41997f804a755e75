"""A table of clips -> the clips worth training on, and why the others are not (Appendix A.1)."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import count
from typing import Any, NamedTuple

import numpy as np

from keras_videoprism.data.curation.duplicates import find_duplicates
from keras_videoprism.data.curation.filters import Fault, FrameFilter, TableFilter
from keras_videoprism.data.curation.fingerprint import NUM_FRAMES, fingerprint
from keras_videoprism.data.decode import decode_each
from keras_videoprism.data.manifest import Row
from keras_videoprism.data.video import VideoError

Clip = tuple[Row, dict[str, Any]]  # of `read_table`
Verdict = Row | Fault | VideoError  # stays; is dropped; could not be read
# uint8 RGB frames [T, H, W, 3] of a clip -> its embedding [D].
ClipEmbedder = Callable[[np.ndarray], np.ndarray]


class Curated(NamedTuple):
    """What became of the clips, each list in the order of the table.

    kept: clips, some with fewer captions; dropped: (row, why); failed: (file, reason), those of
    benchmarks first.
    """

    kept: list[Clip]
    dropped: list[tuple[Row, Fault]]
    failed: list[tuple[str, str]]


class _Seen(NamedTuple):
    """What is left of a clip once its frames are gone; uint64 [K, T] and, with a model, [D]."""

    name: str
    verdict: Verdict
    fingerprint: Any = None
    embedding: Any = None


def curate(
    clips: Sequence[Clip],
    *,
    against: Sequence[Row] = (),
    table_filters: Sequence[TableFilter] = (),
    frame_filters: Sequence[FrameFilter] = (),
    embed: ClipEmbedder | None = None,
    keep_duplicates: bool = False,
    short_side: int = 256,
    progress: Callable[[int, int], None] | None = None,
    **options: Any,
) -> Curated:
    """Drop the clips that a filter finds at fault, then the near-duplicates among the others.

    Only clips that pass the table filters are decoded, and only a few at a time are held.

    Args:
        clips: of `read_table`. Of near-duplicates the first stays.
        against: clips of benchmarks; what looks like one of them is dropped.
        table_filters, frame_filters: in the order in which they are asked; see `filters.py`.
        embed: embeds a clip, for the frame filters and to find duplicates. Hashes alone find them
            without it.
        keep_duplicates: drop none, whatever it looks like.
        short_side: pixels of the shorter side of the decoded frames, at most.
        progress: called with (steps done, steps in all); two steps for each clip.
        **options: of `find_duplicates`.
    """
    total, steps = len(against) + 2 * len(clips), count(1)

    def counted(items: Iterable[Any]) -> Iterator[Any]:
        for item in items:
            yield item
            if progress is not None:
                progress(next(steps), total)

    verdicts = [_judge_table(row, record, table_filters) for row, record in counted(clips)]
    left = [i for i, verdict in enumerate(verdicts) if isinstance(verdict, Row)]
    known = list(counted(_see_each(against, (), embed, short_side)))
    rows = [clips[i][0] for i in left]
    seen = list(counted(_see_each(rows, frame_filters, embed, short_side)))
    if not keep_duplicates:
        seen = _judge_duplicates(known, seen, options)
    for i, clip in zip(left, seen, strict=True):
        verdicts[i] = clip.verdict
    if progress is not None:
        progress(total, total)
    judged = [(row, v, record) for (row, record), v in zip(clips, verdicts, strict=True)]
    tried = [*((row, clip.verdict) for row, clip in zip(against, known, strict=True))]
    tried += [(row, verdict) for row, verdict, _ in judged]
    return Curated(
        [(verdict, record) for _, verdict, record in judged if isinstance(verdict, Row)],
        [(row, verdict) for row, verdict, _ in judged if isinstance(verdict, Fault)],
        [
            (row.name, verdict.reason(row.path))
            for row, verdict in tried
            if isinstance(verdict, VideoError)
        ],
    )


def _judge_table(row: Row, record: Mapping[str, Any], filters: Sequence[TableFilter]) -> Verdict:
    try:
        return next(filter(None, (judge(row, record) for judge in filters)), row)
    except VideoError as error:
        return error


def _see_each(
    rows: Sequence[Row],
    filters: Sequence[FrameFilter],
    embed: ClipEmbedder | None,
    short_side: int,
) -> Iterator[_Seen]:
    """Decode, judge and fingerprint each clip."""
    videos = decode_each(rows, num_frames=NUM_FRAMES, short_side=short_side)
    for row, video in zip(rows, videos, strict=True):
        if isinstance(video, VideoError):
            yield _Seen(row.name, video)
            continue
        embedding = embed(video.frames) if embed is not None else None
        verdict: Verdict = row
        for judge in filters:
            if isinstance(verdict, Row):
                verdict = judge(verdict, video.frames, embedding)
        yield _Seen(row.name, verdict, fingerprint(video.frames), embedding)


def _judge_duplicates(
    known: Sequence[_Seen], seen: Sequence[_Seen], options: dict[str, Any]
) -> list[_Seen]:
    """`seen`, where each clip that looks like one of `known` or like an earlier one is at fault."""
    references = [clip for clip in known if isinstance(clip.verdict, Row)]
    shown = [*references, *(clip for clip in seen if isinstance(clip.verdict, Row))]
    if not shown:
        return list(seen)
    embeddings = [clip.embedding for clip in shown if clip.embedding is not None]
    found = find_duplicates(
        np.stack([clip.fingerprint for clip in shown]),
        np.stack(embeddings) if embeddings else None,
        len(references),
        **options,
    )
    faults = {}
    for copy in found:
        original = "benchmark " if copy.original < len(references) else ""
        original += shown[copy.original].name
        mirrored = ", mirrored" if copy.mirrored else ""
        fault = Fault(f"near-duplicate of {original}{mirrored}", copy.distance)
        faults[id(shown[copy.clip])] = fault
    return [clip._replace(verdict=faults.get(id(clip), clip.verdict)) for clip in seen]
