"""The page of `videoglue-report`: the gains of Figure 2, and the tables."""

import os
from collections.abc import Sequence
from typing import Any, NamedTuple

from keras_videoprism.data.atomic import atomic_path
from keras_videoprism.data.page import page, picture, section, table
from keras_videoprism.evaluation.paper import figure_2

# The four categories of Table 12: tables of the paper, and colour.
CATEGORIES = {
    "video understanding": (("2",), "#4c78a8"),
    "retrieval, zero-shot classification": (("3", "4a", "4b", "4c", "4d", "4e", "19"), "#59a14f"),
    "captioning and QA": (("5", "6"), "#b07aa1"),
    "science": (("7",), "#e0883b"),
}
NAMES = {
    "k400": "K400",
    "mit": "MiT",
    "ssv2": "SSv2",
    "diving48": "D48",
    "charades": "Charades",
    "activitynet": "ActivityNet localisation",
    "ava": "AVA",
    "ava_kinetics": "AVA-K",
    "msrvtt_1ka": "MSR-VTT",
    "vatex": "VATEX",
    "activitynet_paragraphs": "ActivityNet",
    "k400_zero_shot": "K400 zero-shot",
    "k600_zero_shot": "K600 zero-shot",
    "ssv2_temporal": "SSv2-Temporal",
    "ssv2_events": "SSv2-Events",
    "nextqa_atp_hard": "NExT-QA ATP-Hard",
    "charades_zero_shot": "Charades zero-shot",
    "charades_sta": "Charades-STA",
    "msrvtt_captions": "MSR-VTT captions",
    "vatex_captions": "VATEX captions",
    "youcook2_captions": "YouCook2 captions",
    "msrvtt_qa": "MSR-VTT QA",
    "msvd_qa": "MSVD QA",
    "nextqa_open": "NExT-QA",
    "fly_vs_fly": "Fly vs. Fly",
    "calms21": "CalMS21",
    "crim13_side": "CRIM13 side",
    "crim13_top": "CRIM13 top",
    "kabr": "KABR",
    "chimpact": "ChimpACT",
}
DIRECTIONS = {"text_to_video_r1": " text to video", "video_to_text_r1": " video to text"}


class Gain(NamedTuple):
    """A benchmark's gain over the best previous model, in points; `measured` may be None."""

    name: str
    category: str
    paper: float
    measured: float | None


def write_videoglue_page(
    path: str | os.PathLike[str],
    compared: Sequence[Any],
    tables: Sequence[tuple[str, Sequence[str], Sequence[Sequence[str]]]],
) -> None:
    """Write the page.

    Args:
        path: of the HTML file.
        compared: `Comparison`s of what was measured.
        tables: (title, columns, rows) to show below.
    """
    found = gains(compared)
    wins = sum(round(gain.paper, 1) > 0 for gain in found)
    note = (
        f"Bars: the best VideoPrism of the paper; it leads on {wins} of {len(found)} benchmarks "
        "(Figure 2). Diamonds: what was measured here. Both in points above the best foundation "
        "model before, of any size."
    )
    parts = [section("Gains over the best model before", note, picture(draw(found), "Gains"))]
    parts += [section(title, "", table(columns, rows)) for title, columns, rows in tables]
    with atomic_path(path) as temporary:
        temporary.write_text(page("Measured beside the paper", *parts), encoding="utf-8")


def gains(compared: Sequence[Any]) -> list[Gain]:
    """The 33 benchmarks in descending order of the paper's gain (Appendix D)."""
    measured = {(c.task, c.metric, c.method): c.measured for c in compared}
    found = []
    for ours, before in figure_2():
        value = measured.get((ours.task, ours.metric, ours.method))
        found.append(
            Gain(
                NAMES[ours.task] + DIRECTIONS.get(ours.metric, ""),
                next(name for name, (t, _) in CATEGORIES.items() if ours.table in t),
                ours.value - before.value,
                None if value is None else value - before.value,
            )
        )
    return found


def draw(found: Sequence[Gain]) -> Any:
    """A matplotlib figure with a bar for each gain, the greatest on top."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 1.2 + 0.24 * len(found)), layout="constrained")
    axes = figure.subplots()
    for name, (_, colour) in CATEGORIES.items():
        rows = [row for row, gain in enumerate(found) if gain.category == name]
        axes.barh(rows, [found[row].paper for row in rows], color=colour, label=name)
    points = [(gain.measured, row) for row, gain in enumerate(found) if gain.measured is not None]
    if points:
        x, y = zip(*points, strict=True)
        axes.plot(x, y, "D", color="black", markeredgecolor="white", label="measured")
    axes.axvline(0, color="#1d2733", linewidth=0.8)
    names = [f"{gain.name}   {gain.paper:+.1f}" for gain in found]
    axes.set_yticks(range(len(found)), names, fontsize=9)
    axes.set(ylim=(len(found) - 0.4, -0.6), xlabel="points above the best model before")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", alpha=0.25)
    axes.set_axisbelow(True)
    axes.legend(frameon=False, fontsize=9, loc="lower right")
    return figure
