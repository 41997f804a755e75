"""What an evaluation found, drawn: one HTML page of numbers, classes and the hardest clips."""

import os
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import numpy as np

from keras_videoprism.data.atomic import atomic_path
from keras_videoprism.data.page import page, picture, section, table
from keras_videoprism.evaluation.metrics import (
    class_average_precisions,
    confusion_matrix,
    one_hot,
)

Array = Any
FramesOf = Callable[[list[int]], Sequence[np.ndarray]]

KEYS = ("title", "method", "preset", "metrics", "headline", "num_examples", "excluded", "paper")
MAX_NAMED_CLASSES = 40  # of a picture: the names of more would overlap
MAX_WRITTEN_CLASSES = 12  # of a matrix with a number in its cells
NUM_PAIRS = 30
NUM_HARDEST = 12
NUM_FRAMES = 4  # of a thumbnail
MAX_EXAMPLES = 10  # of a reason for exclusion
GRID = "display:grid;grid-template-columns:repeat(auto-fill,minmax(320px,1fr));gap:1.2rem"


def write_result_page(
    path: str | os.PathLike[str],
    result: dict[str, Any],
    *,
    scores: Array | None = None,
    labels: Array | None = None,
    class_names: Sequence[str] | None = None,
    clip_names: Sequence[str] | None = None,
    frames_of: FramesOf | None = None,
    sections: Sequence[str] = (),
) -> None:
    """Writes the page of one evaluation.

    Args:
        path: of the HTML file.
        result: dict of `title`, `method` and `preset`; `metrics`, {name: value in [0, 1], of CIDEr
            in [0, 10]}, and `headline`, the name of the one that the paper has too;
            `num_examples`; `excluded`, [{"reason", "count", "examples": names}]; `paper`,
            [{"method", "model", "value" times 100, "source"}]; and perhaps `settings`, {name:
            value}.
        scores: [N, C] probabilities; without them the page has only tables.
        labels: [N] int, or [N, C] 0 and 1 where clips have several labels.
        class_names: C names; numbers by default.
        clip_names: N names; numbers by default.
        frames_of: positions in [0, N) -> the frames of each clip, uint8 [T, H, W, 3].
        sections: HTML to put before the settings.

    Raises:
        ValueError: a key is missing, a metric is out of its range, or scores, labels, names and
            `num_examples` do not belong together.
        ImportError: scores are given and matplotlib is not installed.
    """
    _check_result(result)
    parts = [_numbers(result), _exclusions(result)]
    if scores is not None:
        scores, labels = _checked_scores(scores, labels, result["num_examples"])
        classes = _checked_names("class_names", class_names, scores.shape[1])
        clips = _checked_names("clip_names", clip_names, scores.shape[0])
        parts += _about_classes(scores, labels, classes)
        parts += [_hardest(scores, labels, classes, clips, frames_of)]
    settings = result.get("settings", {})
    parts += [*sections, section("Settings", "", table(("name", "value"), settings.items()))]
    with atomic_path(path) as temporary:
        temporary.write_text(page(result["title"], *parts), encoding="utf-8")


def _numbers(result: dict[str, Any]) -> str:
    """The headline beside the paper's rows, and all metrics."""
    headline = result["headline"]
    value = f"{100 * result['metrics'][headline]:.1f}"
    examples = f"{result['num_examples']:,} examples"
    rows = [("this run", result["method"], result["preset"], value, examples)]
    rows += [
        ("paper", row["method"], row["model"], f"{row['value']:.1f}", row["source"])
        for row in result["paper"]
    ]
    metrics = ((name, f"{100 * value:.2f}") for name, value in result["metrics"].items())
    return (
        f'<p><b style="font-size:2.2rem">{value}{unit(headline)}</b> {escape(headline)}</p>'
        + section(
            "Beside the paper",
            "" if result["paper"] else "The paper has no number for this.",
            table(("", "method", "model", f"{headline}{unit(headline)}", "from"), rows),
        )
        + section("All metrics", "", table(("metric", "times 100"), metrics))
    )


def unit(metric: str) -> str:
    """What stands behind a metric times 100: CIDEr is no share."""
    return "" if metric.endswith("cider") else " %"


def _exclusions(result: dict[str, Any]) -> str:
    count = sum(row["count"] for row in result["excluded"])
    if not count:
        return section("Left out", f"Nothing: all {result['num_examples']:,} examples count.", "")
    rows = [
        (row["reason"], f"{row['count']:,}", _some(row["examples"], row["count"]))
        for row in result["excluded"]
    ]
    total = result["num_examples"] + count
    note = f"{count:,} of {total:,} examples are not in the numbers above."
    return section("Left out", note, table(("reason", "count", "such as"), rows))


def _some(names: Sequence[str], count: int) -> str:
    """The first of the names, and how many of `count` are not named."""
    shown = names[:MAX_EXAMPLES]
    rest = count - len(shown)
    return ", ".join(map(str, shown)) + (f" and {rest:,} more" if rest else "")


def _about_classes(scores: np.ndarray, labels: np.ndarray, names: Sequence[str]) -> list[str]:
    """Value of each class; and which are taken for which, where a clip has one."""
    if labels.ndim == 2:
        precisions = class_average_precisions(scores, labels)
        return [_classes(precisions, labels.sum(0), names, "average precision")]
    matrix = confusion_matrix(scores, labels)
    counts = matrix.sum(1)
    recalls = matrix.diagonal() / np.where(counts == 0, np.nan, counts)
    return [_classes(recalls, counts, names, "recall"), _confusions(matrix, names)]


def _classes(values: np.ndarray, counts: np.ndarray, names: Sequence[str], measure: str) -> str:
    """Bars and a table, from the worst class to the best; classes without a clip are named."""
    missing = [name for name, value in zip(names, values, strict=True) if np.isnan(value)]
    order = [c for c in np.argsort(values, kind="stable") if not np.isnan(values[c])]
    rows = [(names[c], f"{counts[c]:,}", f"{100 * values[c]:.1f}") for c in order]
    note = f"Mean of {len(order):,} classes: {100 * np.nanmean(values):.1f} %."
    if missing:
        note += f" Without a clip, and so without a value ({len(missing):,}): {', '.join(missing)}."
    bars = draw_bars(values[order], [names[c] for c in order], f"{measure} (%)")
    every = table(("class", "clips", f"{measure} (%)"), rows)
    return section(
        f"{measure.capitalize()} of each class",
        note,
        f"{picture(bars, measure)}<details><summary>As a table</summary>{every}</details>",
    )


def _confusions(matrix: np.ndarray, names: Sequence[str]) -> str:
    """The matrix; of many classes also the pairs that are taken for each other most often."""
    content = picture(draw_matrix(matrix, names), "Confusion matrix")
    if len(names) > MAX_NAMED_CLASSES:
        content += table(("class", "taken for", "clips", "% of the class"), _pairs(matrix, names))
    note = "Rows are what clips show, columns what they were taken for; a row sums to 100 %."
    return section("Confusion matrix", note, content)


def _pairs(matrix: np.ndarray, names: Sequence[str]) -> list[tuple[str, ...]]:
    """Class, other class, number and share of its clips: the most frequent mistakes first."""
    mistakes = matrix - np.diag(matrix.diagonal())
    worst = np.argsort(-mistakes, axis=None, kind="stable")[:NUM_PAIRS]
    return [
        (names[a], names[b], f"{matrix[a, b]:,}", f"{100 * matrix[a, b] / matrix[a].sum():.0f}")
        for a, b in zip(*np.unravel_index(worst, matrix.shape), strict=True)
        if mistakes[a, b]
    ]


def _hardest(
    scores: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[str],
    clips: Sequence[str],
    frames_of: FramesOf | None,
) -> str:
    """The clips that the model was most wrong about, with thumbnails where there are frames."""
    if labels.ndim == 2:
        positions = np.argsort(-_losses(scores, labels), kind="stable")[:NUM_HARDEST].tolist()
        note = "Highest mean cross-entropy of the classes. As many classes are named as it has."
    else:
        right = scores[np.arange(len(labels)), labels]
        positions = np.argsort(right, kind="stable")[:NUM_HARDEST].tolist()
        note = "Lowest probability of the right class."
    texts = [_verdict(scores[i], labels[i], classes) for i in positions]
    figures = draw_clips(positions, [clips[i] for i in positions], texts, frames_of)
    return section("Hardest clips", note, figures)


def draw_clips(
    positions: list[int], names: Sequence[str], texts: Sequence[str], frames_of: FramesOf | None
) -> str:
    """A grid of clips: a thumbnail where there are frames, a name, and a text."""
    figures = (
        f'<figure style="margin:0">{thumbnail}<figcaption><b>{escape(name)}</b><small>'
        f"{escape(text)}</small></figcaption></figure>"
        for thumbnail, name, text in zip(
            _thumbnails(positions, frames_of), names, texts, strict=True
        )
    )
    return f'<div style="{GRID}">{"".join(figures)}</div>'


def _losses(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Binary cross-entropy of each clip, [N]."""
    right = np.where(labels, scores, 1.0 - scores)
    return -np.log(np.maximum(right, 1e-7)).mean(axis=1)


def _verdict(scores: np.ndarray, labels: np.ndarray, names: Sequence[str]) -> str:
    """What a clip shows and what it was taken for; scores [C], labels a scalar or [C]."""
    truth = np.flatnonzero(labels) if labels.ndim else labels[None]
    # A tie counts against the label, as it does in the metrics.
    order = np.lexsort((np.isin(np.arange(len(scores)), truth), -scores))
    shows, taken = (
        ", ".join(f"{names[c]} ({100 * scores[c]:.1f} %)" for c in some) or "no class"
        for some in (truth, order[: max(len(truth), 1)])
    )
    return f"Shows {shows}. Taken for {taken}."


def _thumbnails(positions: list[int], frames_of: FramesOf | None) -> list[str]:
    """One `img` element for each position, or nothing."""
    if frames_of is None:
        return [""] * len(positions)
    clips = frames_of(positions)
    if len(clips) != len(positions):
        raise ValueError(f"frames_of gave {len(clips)} clips for {len(positions)} positions.")
    return [picture(draw_frames(np.asarray(clip)), "Frames of the clip") for clip in clips]


def draw_bars(values: np.ndarray, names: Sequence[str], label: str) -> Any:
    """A matplotlib figure with a bar for each class, the first at the bottom; values in [0, 1]."""
    named = len(values) <= MAX_NAMED_CLASSES
    figure = _figure(10, 0.8 + 0.24 * len(values) if named else 3.2)
    axes = figure.subplots()
    if named:
        bars = axes.barh(range(len(values)), 100 * values, color="#4c78a8")
        axes.bar_label(bars, fmt="%.1f", padding=3, fontsize=8)
        axes.set_yticks(range(len(values)), names, fontsize=9)
        axes.set(xlim=(0, 105), xlabel=label, ylim=(-0.6, len(values) - 0.4))
    else:
        edges = np.arange(len(values) + 1)
        axes.stairs(100 * values, edges, fill=True, color="#4c78a8")
        axes.set(ylim=(0, 100), xlim=(0, len(values)), ylabel=label)
        axes.set_xlabel("classes, from the worst to the best")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x" if named else "y", alpha=0.25)
    axes.set_axisbelow(True)
    return figure


def draw_matrix(matrix: np.ndarray, names: Sequence[str]) -> Any:
    """A matplotlib figure of a confusion matrix [C, C] of counts, each row as shares."""
    from matplotlib.colors import PowerNorm

    counts = matrix.sum(1, keepdims=True)
    shares = 100 * matrix / np.where(counts == 0, np.nan, counts)
    side = 3.2 + 0.2 * min(len(names), 25)
    figure = _figure(side + 1.0, side)
    axes = figure.subplots()
    axes.set_facecolor("#eeeeee")  # of classes without a clip
    # The square root, so that rare mistakes are seen as well.
    image = axes.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, 0, 100))
    bar = figure.colorbar(image, shrink=0.6, ticks=(0, 1, 5, 10, 25, 50, 100))
    bar.ax.tick_params(labelsize=8)
    bar.set_label("% of the class", fontsize=9)
    axes.set(xticks=[], yticks=[])
    axes.set_xlabel("taken for", fontsize=9)
    axes.set_ylabel("class", fontsize=9)
    if len(names) <= MAX_NAMED_CLASSES:
        axes.set_xticks(range(len(names)), names, rotation=90, fontsize=8)
        axes.set_yticks(range(len(names)), names, fontsize=8)
    if len(names) <= MAX_WRITTEN_CLASSES:
        for (row, column), share in np.ndenumerate(shares):
            if share > 0:
                color = "white" if share > 25 else "black"
                place = {"ha": "center", "va": "center", "fontsize": 8}
                axes.text(column, row, f"{share:.0f}", color=color, **place)
    return figure


def draw_frames(frames: np.ndarray) -> Any:
    """A matplotlib figure of a few frames of [T, H, W, 3] side by side."""
    chosen = np.arange(min(NUM_FRAMES, len(frames))) * len(frames) // min(NUM_FRAMES, len(frames))
    strip = np.concatenate(list(frames[chosen]), axis=1)
    height, width = strip.shape[:2]
    figure = _figure(4.0, 4.0 * height / width)
    figure.set_layout_engine("none")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(strip)
    axes.axis("off")
    return figure


def _figure(width: float, height: float) -> Any:
    """An empty matplotlib figure; sizes in inches."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "The page is drawn by matplotlib, which is not installed. "
            'Install the extra `demo`: pip install "keras-videoprism[demo]"'
        ) from error
    return Figure(figsize=(width, height), layout="constrained")


def _check_result(result: dict[str, Any]) -> None:
    missing = [key for key in KEYS if key not in result]
    if missing:
        raise ValueError(f"The result has no {', '.join(missing)}.")
    if result["headline"] not in result["metrics"]:
        raise ValueError(
            f"The headline {result['headline']!r} is none of the metrics {list(result['metrics'])}."
        )
    metrics = result["metrics"].items()
    wrong = {name: value for name, value in metrics if not 0 <= value <= (1 if unit(name) else 10)}
    if wrong:
        raise ValueError(f"Metrics must be in [0, 1], and CIDEr in [0, 10]. Received: {wrong}.")


def _checked_scores(
    scores: Array, labels: Array | None, num_examples: int
) -> tuple[np.ndarray, np.ndarray]:
    scores, labels = np.asarray(scores), np.asarray(labels)
    if scores.ndim != 2 or len(scores) != num_examples or not scores.size:
        raise ValueError(
            f"scores must be [N, C], one row for each of the {num_examples} examples of the "
            f"result. Received shape {scores.shape}."
        )
    # Half precision rounds a sum of 1 up by as much.
    if not (scores.min() >= 0 and scores.max() <= 1.001):
        raise ValueError(
            f"scores must be probabilities. Received {scores.min()} to {scores.max()}: "
            "take the softmax, or the sigmoid where clips have several labels."
        )
    if labels.ndim == 1:
        one_hot(labels, scores.shape[1])  # checks them
    if labels.shape not in (scores.shape, scores.shape[:1]):
        raise ValueError(f"labels must be [N] or [N, C] of {scores.shape}, not {labels.shape}.")
    return scores, labels


def _checked_names(what: str, names: Sequence[str] | None, count: int) -> list[str]:
    if names is None:
        return [str(number) for number in range(count)]
    if len(names) != count:
        raise ValueError(f"{what} must be {count} names. Received {len(names)}.")
    return [str(name) for name in names]
