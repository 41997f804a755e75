"""A corpus -> its statistics, as in Table 8 and Figure 5 of the paper (Appendix A.2)."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import count
from typing import Any

import numpy as np

from keras_videoprism.data.curation.captions import analyse_caption, count_words
from keras_videoprism.data.curation.fingerprint import NUM_FRAMES
from keras_videoprism.data.curation.flow import FLOW_RATE, FLOW_SIZE, flow_magnitude
from keras_videoprism.data.decode import decode_each
from keras_videoprism.data.manifest import Row
from keras_videoprism.data.video import VideoError, read_header

FLOW_SECONDS = 10.0  # of each clip, its first
UNITS = {
    "duration": "seconds",
    "caption length": "words",
    "optical flow": "pixels per frame",
    "grounding": "cosine",
}
TABLE_8 = ("clips", "noun/verb ratio", "clips with people", "optical flow", "grounding")
OF_CAPTIONS = ("caption length", "noun/verb ratio", "clips with people", "grounding")
MISSING = {  # why a number may be missing, where nothing else is said
    "noun/verb ratio": "no WordNet was given, or the captions have no verb",
    "clips with people": "no WordNet was given",
    "optical flow": "no clip has two frames",
    "grounding": "no model with two towers was given",
    "caption source": "a table of clips does not tell it",
    "zero-shot R@1": "it is of a model trained on this corpus: train one and evaluate it",
    "object categories": "no object detector is part of this package",
}
_NUM_BINS = 24
_TAIL = 99  # percentile; few values far above it are counted in the last bin


def describe_corpus(
    rows: Sequence[Row],
    *,
    embed: Callable[[np.ndarray], np.ndarray] | None = None,
    embed_texts: Callable[[Sequence[str]], np.ndarray] | None = None,
    short_side: int = 256,
    wordnet: Any = None,
    sample: int | None = None,
    seed: int = 0,
    reasons: Mapping[str, str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Measure clips and captions.

    Args:
        rows: clips, from `read_manifest`.
        embed, embed_texts: uint8 frames of a clip -> [D] and n texts -> [n, D], L2-normalised and
            in one space, for the grounding score.
        short_side: pixels of the shorter side of the frames that are embedded, at most.
        wordnet: of `open_wordnet`, for nouns, verbs and people.
        sample: measure so many clips, drawn at random; the paper takes 100,000.
        seed: of the draw.
        reasons: why something is not given, by the names of `MISSING`.
        progress: called with (steps done, steps in all).

    Returns:
        Plain values, ready for JSON: `clips` and `measured` (their numbers), `table_8` (its
        columns), `statistics` (by name, see `summarise`), `not_measured` (by name, why) and
        `failed` ([file, reason]).

    Raises:
        ValueError: no clip, or none that can be read.
    """
    if not rows or (sample is not None and sample < 1):
        raise ValueError(f"needs clips and sample >= 1, received {len(rows)} and sample={sample}")
    chosen = _draw(rows, sample, seed)
    total, steps = len(chosen) * (1 if embed is None or embed_texts is None else 2), count(1)

    def joined(values_of_clips: Iterable[list[float]]) -> list[float]:
        joined = []
        for values in values_of_clips:
            joined += values
            if progress is not None:
                progress(next(steps), total)
        return joined

    failed: dict[Row, str] = {}
    missing = {**MISSING, **(reasons or {})}
    durations = _durations(chosen, failed)
    values: dict[str, list[float]] = {"duration": [], "caption length": []}
    try:
        values["optical flow"] = joined(_flows(_without(chosen, failed), failed))
    except ImportError as error:
        missing["optical flow"] = str(error)
    if embed is not None and embed_texts is not None:
        pairs = _groundings(_without(chosen, failed), embed, embed_texts, short_side, failed)
        values["grounding"] = joined(pairs)
    read = _without(chosen, failed)
    if not read:
        raise ValueError(f"none of {len(chosen)} clips can be read; the first: {failed[chosen[0]]}")
    values["duration"] = [durations[row] for row in read]
    values["caption length"] = [count_words(text) for row in read for text in row.captions]
    if progress is not None:
        progress(total, total)
    words = {} if wordnet is None else _words(read, wordnet)
    failures = [[row.name, reason] for row, reason in failed.items()]
    return {"clips": len(rows), "measured": len(read), "failed": failures} | _tables(
        len(rows), values, words, missing
    )


def _tables(
    num_clips: int,
    values: Mapping[str, list[float]],
    words: Mapping[str, float | None],
    missing: dict[str, str],
) -> dict[str, Any]:
    """What is known, and why the rest is not."""
    statistics = {name: summarise(v, UNITS[name]) for name, v in values.items() if v}
    means = {name: statistic["mean"] for name, statistic in statistics.items()}
    known = {"clips": num_clips, **words, **means}
    if not values["caption length"]:
        missing |= dict.fromkeys(OF_CAPTIONS, "no clip has a caption")
    return {
        "table_8": {name: known.get(name) for name in TABLE_8},
        "statistics": statistics,
        "not_measured": {name: why for name, why in missing.items() if known.get(name) is None},
    }


def summarise(values: Sequence[float], unit: str) -> dict[str, Any]:
    """Mean, spread and histogram of values.

    Returns:
        `unit`, `count`, `mean`, `std`, `min`, `p5`, `median`, `p95`, `max`, and `histogram`:
        `edges` [n + 1] and `counts` [n]. Where a few values lie far above the others, the last bin
        holds them too, and `clipped` is True.
    """
    array = np.asarray(values, "float64")
    bottom, tail, top = np.percentile(array, (0, _TAIL, 100)).tolist()
    is_clipped = top - bottom > 2 * (tail - bottom) > 0
    top = tail if is_clipped else top
    edges = np.histogram_bin_edges(array, _NUM_BINS, (bottom, top))
    if unit == "words":  # whole numbers stand in the middle of bins of equal, whole width
        width = np.ceil((top - bottom + 1) / _NUM_BINS)
        edges = np.arange(bottom - 0.5, top + width, width)
    counts, _ = np.histogram(np.minimum(array, edges[-1]), edges)
    low, median, high = np.percentile(array, (5, 50, 95)).tolist()
    return {
        "unit": unit,
        "count": len(array),
        "mean": float(array.mean()),
        "std": float(array.std()),
        "min": float(array.min()),
        "p5": low,
        "median": median,
        "p95": high,
        "max": float(array.max()),
        "histogram": {
            "edges": edges.tolist(),
            "counts": counts.tolist(),
            "clipped": is_clipped,
        },
    }


def _draw(rows: Sequence[Row], sample: int | None, seed: int) -> list[Row]:
    """Some rows at random, in their order."""
    if sample is None or sample >= len(rows):
        return list(rows)
    chosen = np.random.default_rng(seed).choice(len(rows), sample, replace=False)
    return [rows[i] for i in sorted(chosen.tolist())]


def _without(rows: Sequence[Row], failed: Mapping[Row, str]) -> list[Row]:
    return [row for row in rows if row not in failed]


def _durations(rows: Sequence[Row], failed: dict[Row, str]) -> dict[Row, float]:
    durations = {}
    for row in rows:
        try:
            durations[row] = read_header(row.path, row.start, row.end).duration
        except VideoError as error:
            _fail(row, error, failed)
    return durations


def _flows(rows: Sequence[Row], failed: dict[Row, str]) -> Iterator[list[float]]:
    """Nothing for an image, or a clip of less than two frames."""
    starts = [_first_seconds(row) for row in rows]
    videos = decode_each(starts, fps=FLOW_RATE, short_side=FLOW_SIZE)
    for row, video in zip(rows, videos, strict=True):
        if isinstance(video, VideoError):
            yield _fail(row, video, failed)
        else:
            yield [flow_magnitude(video.frames)] if len(video.frames) > 1 else []


def _groundings(
    rows: Sequence[Row],
    embed: Callable[[np.ndarray], np.ndarray],
    embed_texts: Callable[[Sequence[str]], np.ndarray],
    short_side: int,
    failed: dict[Row, str],
) -> Iterator[list[float]]:
    """The cosine of a clip and each of its captions."""
    captioned = [row for row in rows if row.captions]
    videos = decode_each(captioned, num_frames=NUM_FRAMES, short_side=short_side)
    for row, video in zip(captioned, videos, strict=True):
        if isinstance(video, VideoError):
            yield _fail(row, video, failed)
        else:
            yield (embed_texts(row.captions) @ embed(video.frames)).tolist()


def _first_seconds(row: Row) -> Row:
    end = (row.start or 0.0) + FLOW_SECONDS
    return row._replace(end=end if row.end is None else min(end, row.end))


def _fail(row: Row, error: VideoError, failed: dict[Row, str]) -> list[float]:
    failed.setdefault(row, error.reason(row.path))
    return []


def _words(rows: Sequence[Row], wordnet: Any) -> dict[str, float | None]:
    """The columns of Table 8 that are read from captions; None where there is nothing to count."""
    counts = [[analyse_caption(text, wordnet) for text in row.captions] for row in rows]
    nouns, verbs = (sum(c[i] for clip in counts for c in clip) for i in (0, 1))
    captioned = [clip for clip in counts if clip]
    people = sum(any(c.people for c in clip) for clip in captioned)
    return {
        "noun/verb ratio": nouns / verbs if verbs else None,
        "clips with people": 100 * people / len(captioned) if captioned else None,
    }
