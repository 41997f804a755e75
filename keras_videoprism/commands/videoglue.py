"""The command `videoglue-report`: what `evaluate` measured, beside the paper."""

import json
import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from keras_videoprism.evaluation.paper import BASE_MODEL, best_before, printed_value
from keras_videoprism.evaluation.videoglue import (
    METHODS,
    groups_of,
    printed_averages,
    stratified_average,
    trainable_costs,
    videoglue_score,
)

Result = dict[str, Any]
KEYS = ("task", "method", "preset", "metrics", "headline", "num_examples", "excluded")
# The released weights that are smallest, with and without a text tower.
RELEASED = {True: "VideoPrism-LvT-B (public)", False: "VideoPrism-B (public)"}
NO_NUMBER = "–"
MAX_EXAMPLES = 3  # of what was left out
Tables = list[tuple[str, Sequence[str], Sequence[Sequence[str]]]]


class Comparison(NamedTuple):
    """One measured number and those of the paper, in percent; None where there is none.

    Attributes:
        paper: of the paper's model.
        public: of the released weights.
        before: the best of a previous foundation model.
    """

    task: str
    method: str
    metric: str
    measured: float
    paper: float | None
    public: float | None
    before: float | None


class Summary(NamedTuple):
    """Averages of the methods and VGS, in percent; and what each method lacks."""

    averages: dict[str, float]
    score: float | None
    missing: dict[str, str]


def videoglue_report(
    measured: Iterable[Result | str | os.PathLike[str]],
    output: str | os.PathLike[str] | None = None,
    *,
    model: str = BASE_MODEL,
    console: Console | None = None,
) -> tuple[list[Comparison], Summary]:
    """Print what was measured beside the paper, with averages and VGS; draw Figure 2.

    Args:
        measured: results of `evaluate`, each a dict or its JSON file: `task`, `method`, `preset`,
            `metrics` {name: share}, `headline`, `num_examples` and `excluded`
            [{"reason", "count", "examples"}].
        output: HTML file to write.
        model: of Tables 13 to 16, to compare with; its costs weigh the averages.
        console: to print to.

    Returns:
        The comparisons, and the summary.

    Raises:
        ValueError: a result lacks a key, a metric is negative, NaN or infinite, or a task was
            measured twice by one method.
    """
    from keras_videoprism.commands.videoglue_page import write_videoglue_page

    costs = trainable_costs(model)
    results = check_results([read_result(entry) for entry in measured])
    compared = [comparison for result in results for comparison in compare(result, model)]
    summary = summarize(results, costs)
    tables = report_tables(results, compared, summary, model)
    for title, columns, rows in tables:
        (console or Console()).print(_rich_table(title, columns, rows))
    if output is not None:
        write_videoglue_page(output, compared, tables)
    return compared, summary


def read_result(entry: Result | str | os.PathLike[str]) -> Result:
    """A dict as it is, or that of a JSON file."""
    if isinstance(entry, dict):
        return entry
    result = json.loads(Path(entry).read_text(encoding="utf-8"))
    if not isinstance(result, dict):
        raise ValueError(f"{entry} holds no result of `evaluate`, but a {type(result).__name__}.")
    return result


def check_results(results: list[Result]) -> list[Result]:
    """The results, if there are some, each is whole, and none is there twice."""
    if not results:
        raise ValueError("There is nothing to report. Give results of `evaluate`.")
    seen: set[tuple[str, str]] = set()
    for result in results:
        missing = [key for key in KEYS if key not in result]
        if missing:
            raise ValueError(f"The result of {result.get('task')!r} has no {', '.join(missing)}.")
        task, method, metrics = result["task"], result["method"], result["metrics"]
        if (task, method) in seen:
            raise ValueError(f"{task} was measured twice by {method!r}. Report one run at a time.")
        seen.add((task, method))
        broken = {name: value for name, value in metrics.items() if not 0 <= value < math.inf}
        if broken:
            raise ValueError(f"{task}: metrics are shares, 0 or more. Received: {broken}.")
        if result["headline"] not in metrics:
            raise ValueError(f"{task}: {result['headline']!r} is none of {list(metrics)}.")
    return results


def compare(result: Result, model: str) -> list[Comparison]:
    """The headline, and the other metrics that the paper prints too."""
    compared = []
    for metric, value in result["metrics"].items():
        place = {"task": result["task"], "metric": metric, "method": result["method"]}
        paper, before = printed_value(model=model, **place), best_before(**place)
        if metric == result["headline"] or paper is not None or before is not None:
            released = RELEASED[result["method"] == "zero_shot"]
            public = printed_value(model=released, **place)
            known = paper, public, before and before.value
            compared.append(
                Comparison(result["task"], result["method"], metric, 100 * value, *known)
            )
    return compared


def summarize(results: list[Result], costs: dict[str, float]) -> Summary:
    """Averages of the methods that all tasks were measured by, and VGS if these are all methods."""
    averages, missing = {}, {}
    for method in METHODS:
        tasks = {task for group in groups_of(method).values() for task in group}
        found = {r["task"]: r for r in results if r["method"] == method and r["task"] in tasks}
        presets = {r["preset"] for r in found.values()}
        if tasks - found.keys():
            missing[method] = f"not measured: {', '.join(sorted(tasks - found.keys()))}"
        elif len(presets) > 1:
            missing[method] = f"measured with several models: {', '.join(sorted(presets))}"
        else:
            scores = {task: 100 * r["metrics"][r["headline"]] for task, r in found.items()}
            averages[method] = stratified_average(scores, method)
    score = None if missing else videoglue_score(averages, costs)
    return Summary(averages, score, missing)


def report_tables(
    results: list[Result], compared: list[Comparison], summary: Summary, model: str
) -> Tables:
    """(title, columns, rows) of each table that has rows; all cells are text."""
    sizes = {(r["task"], r["method"]): r["num_examples"] for r in results}
    numbers = [
        (c.task, c.method, c.metric, *map(_percent, c[3:]), f"{sizes[c.task, c.method]:,}")
        for c in compared
    ]
    left_out = [
        (r["task"], r["method"], e["reason"], f"{e['count']:,}", _some(e["examples"]))
        for r in results
        for e in r["excluded"]
    ]
    presets = ", ".join(dict.fromkeys(str(r["preset"]) for r in results))
    measures = ("measured", model, "released B", "best before", "examples")
    tables: Tables = [
        (f"Measured of {presets}, in percent", ("task", "method", "metric", *measures), numbers),
        (
            "Stratified averages and VGS",
            ("method", "measured", model, "trainable GFLOPs", "note"),
            _summary_rows(summary, model),
        ),
        ("Left out", ("task", "method", "reason", "count", "such as"), left_out),
    ]
    return [entry for entry in tables if entry[2]]


def _summary_rows(summary: Summary, model: str) -> list[Sequence[str]]:
    printed, costs = printed_averages(model), trainable_costs(model)
    rows: list[Sequence[str]] = [
        (
            method,
            _percent(summary.averages.get(method)),
            _percent(printed[method]),
            f"{costs[method]:g}",
            summary.missing.get(method, ""),
        )
        for method in METHODS
    ]
    note = "needs all methods" if summary.score is None else ""
    score = _percent(videoglue_score(printed, costs))
    return [*rows, ("VGS", _percent(summary.score), score, "", note)]


def _percent(value: float | None) -> str:
    return NO_NUMBER if value is None else f"{value:.1f}"


def _some(examples: Sequence[Any]) -> str:
    shown = ", ".join(map(str, examples[:MAX_EXAMPLES]))
    return f"{shown}, ..." if len(examples) > MAX_EXAMPLES else shown


def _rich_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    table = Table(title=title, title_justify="left")
    for column in columns:
        is_number = column not in ("task", "method", "metric", "note", "reason", "such as")
        table.add_column(column, justify="right" if is_number else "left")
    for row in rows:
        table.add_row(*row)
    return table
