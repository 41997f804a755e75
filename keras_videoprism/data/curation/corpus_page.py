"""The statistics of a corpus -> one HTML page that loads nothing from elsewhere."""

import html
from typing import Any

from keras_videoprism.data.page import STYLE, picture

TITLE = "What is in the corpus"
COLUMNS = {  # of Table 8: name -> (title, format, what it means)
    "clips": ("Clips", "{:,}", "rows of the table"),
    "noun/verb ratio": ("Noun / verb ratio", "{:.1f}", "from captions, by WordNet"),
    "clips with people": ("Clips with people", "{:.1f} %", "from captions, by WordNet"),
    "optical flow": ("Optical flow", "{:.2f} px", "per frame, at 8 frames/s and 256 × 256"),
    "grounding": ("Grounding score", "{:.3f}", "mean cosine of video and caption"),
}
PLOTS = {  # name of a statistic -> (title, label of the axis)
    "duration": ("Duration of the clips", "duration (s)"),
    "caption length": ("Length of the captions", "words per caption"),
    "grounding": ("Grounding score of the captions", "cosine of video and caption"),
    "optical flow": ("Motion of the clips", "optical flow (px per frame of 1/8 s)"),
}
SUMMARY = ("count", "mean", "std", "min", "p5", "median", "p95", "max")


def corpus_page(report: dict[str, Any]) -> str:
    """The page of what `describe_corpus` returns.

    Raises:
        ImportError: matplotlib is not installed.
    """
    statistics = report["statistics"]
    return "\n".join(
        (
            f"<!doctype html>\n<html lang=en><meta charset=utf-8><title>{TITLE}</title>",
            f"<meta name=viewport content='width=device-width'><style>{STYLE}</style>",
            f"<h1>{TITLE}</h1>",
            f"<p class=note>{report['measured']:,} of {report['clips']:,} clips measured, "
            f"{len(report['failed']):,} could not be read.",
            "<h2>At a glance</h2><p class=note>The columns of Table 8 of the VideoPrism paper.",
            _glance(report["table_8"]),
            "<h2>Distributions</h2><p class=note>As in Figure 5 of the paper.",
            picture(plot(statistics), "Histograms"),
            _table(statistics),
            "<h2>Not measured</h2>" + _list(report["not_measured"].items()),
            "<h2>Not read</h2>" + (_list(report["failed"]) if report["failed"] else "<p>None."),
            "</html>\n",
        )
    )


def _glance(values: dict[str, Any]) -> str:
    shown = [
        (title, "–" if values[name] is None else style.format(values[name]), meaning)
        for name, (title, style, meaning) in COLUMNS.items()
    ]
    head = "".join(f"<th>{title}<small>{meaning}</small>" for title, _, meaning in shown)
    return f"<table><thead><tr>{head}<tbody><tr>{''.join(f'<td>{v}' for _, v, _ in shown)}</table>"


def _table(statistics: dict[str, dict[str, Any]]) -> str:
    head = "<th>" + "".join(f"<th>{name}" for name in SUMMARY)
    rows = (
        f"<tr><th>{name}<small>{s['unit']}</small>"
        + "".join(f"<td>{s[key]:,}" if key == "count" else f"<td>{s[key]:.3g}" for key in SUMMARY)
        for name, s in statistics.items()
    )
    return f"<table><thead><tr>{head}<tbody>{''.join(rows)}</table>"


def _list(items: Any) -> str:
    lines = (f"<li><b>{html.escape(name)}</b>: {html.escape(why)}" for name, why in items)
    return f"<ul>{''.join(lines)}</ul>"


def plot(statistics: dict[str, dict[str, Any]]) -> Any:
    """A matplotlib figure with a histogram of each statistic; where it is missing, that is said."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "The plots are drawn by matplotlib, which is not installed. "
            'Install the extra `curation`: pip install "keras-videoprism[curation]"'
        ) from error
    figure = Figure(figsize=(10, 6.6), layout="constrained")
    for axes, (name, (title, label)) in zip(figure.subplots(2, 2).flat, PLOTS.items(), strict=True):
        axes.set_title(title, loc="left", fontsize=12, fontweight="bold")
        axes.spines[["top", "right"]].set_visible(False)
        if name in statistics:
            _draw(axes, statistics[name], label)
        else:
            axes.text(0.5, 0.5, "not measured", ha="center", transform=axes.transAxes, color="grey")
            axes.set(xticks=[], yticks=[])
    return figure


def _draw(axes: Any, statistic: dict[str, Any], label: str) -> None:
    """One histogram with its median."""
    histogram = statistic["histogram"]
    unit = "captions" if label.startswith(("words", "cosine")) else "clips"
    axes.stairs(histogram["counts"], histogram["edges"], fill=True, color="#4c78a8")
    axes.axvline(statistic["median"], color="#e45756", linewidth=1.6)
    median = f"median {statistic['median']:.3g}"
    axes.set_title(median, loc="right", fontsize=10, color="#c8403e")
    axes.set_xlabel(label + ("; last bar: all above" if histogram["clipped"] else ""))
    axes.set_ylabel(f"number of {unit}")
    axes.grid(axis="y", alpha=0.25)
    axes.set_axisbelow(True)
