"""The numbers that the paper prints, of VideoPrism and of the models that it compares with."""

import csv
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import NamedTuple

BASE_MODEL = "VideoPrism-B"


class Result(NamedTuple):
    """One number of a table; all are in percent but the costs, which are in GFLOPs.

    Attributes:
        table: "2" to "7" (Table 4 in its parts "4a" to "4e"), "13" to "19" and "21"; or "public",
            the scores of the released checkpoints, from the README of google-deepmind/videoprism.
        model: as the table names it, such as "VideoPrism-B*" or "VideoPrism-B (public)".
        method: "frozen", "mlap", "adapter", "finetune" (end to end) or "zero_shot"; in Table 21
            "2_shot_open", "0_shot_closed" or "2_shot_closed": its shots and its vocabulary.
        task: a task of `evaluate`; "videoglue" for what belongs to all eight.
        metric: such as "top1", "map" or "text_to_video_r1".
        value: the number.
        remark: why previous models are no measure for VideoPrism: "expert", of one data set alone
            (Table 7), "more modalities" (grey in Tables 4 and 19) or "trains the language model"
            (grey in Tables 6 and 21). The text of the paper has no colours: who is grey follows
            from what the models are, and agrees with the gains that the tables print.
    """

    table: str
    model: str
    method: str
    task: str
    metric: str
    value: float
    remark: str


@cache
def paper_results() -> tuple[Result, ...]:
    """Every number of the tables, in their order."""
    file = resources.files("keras_videoprism.evaluation") / "paper_results.csv"
    _, *rows = csv.reader(file.read_text(encoding="utf-8").splitlines())
    return tuple(
        Result(table, model, method, task, metric, float(value), remark)
        for table, model, method, task, metric, value, remark in rows
    )


def find_results(**columns: str) -> list[Result]:
    """The numbers whose columns have these values: `find_results(task="k400", model="CLIP-B")`.

    Raises:
        ValueError: for a column that there is not.
    """
    unknown = sorted(columns.keys() - set(Result._fields))
    if unknown:
        raise ValueError(f"Columns are {Result._fields}. Received: {unknown}.")
    wanted = columns.items()
    return [r for r in paper_results() if all(getattr(r, key) == value for key, value in wanted)]


def printed_value(**columns: str) -> float | None:
    """The number that these columns name, or None; tables may repeat it.

    Raises:
        ValueError: where they name several.
    """
    values = {result.value for result in find_results(**columns)}
    if len(values) > 1:
        raise ValueError(f"{columns} names several numbers: {sorted(values)}. Name more columns.")
    return values.pop() if values else None


def best_before(task: str, metric: str, method: str) -> Result | None:
    """The best number of a previous foundation model of any size, as in Figure 2 (Appendix D)."""
    before = [
        result
        for result in find_results(task=task, metric=metric, method=method, remark="")
        if not result.model.startswith("VideoPrism")
    ]
    return _best(before)


def best_videoprism(task: str, metric: str, method: str) -> Result | None:
    """The best number of the paper's own models."""
    return _best(
        [
            result
            for result in find_results(task=task, metric=metric, method=method)
            if result.model.startswith("VideoPrism") and result.table != "public"
        ]
    )


def figure_2() -> list[tuple[Result, Result]]:
    """The best VideoPrism and the best model before on each of the 33 benchmarks of Table 12.

    In descending order of the gain (Appendix D). The metric is the first of Table 12: top-5 and
    recall at 5 only stand beside it.
    """
    tables = ("2", "3", "4a", "4b", "4c", "4d", "4e", "19", "5", "6", "7")
    rows = [row for name in tables for row in find_results(table=name)]
    places = dict.fromkeys((row.task, row.metric, row.method) for row in rows)
    pairs = [
        (best_videoprism(*place), best_before(*place))
        for place in places
        if not place[1].endswith("5")
    ]
    known = [(ours, before) for ours, before in pairs if ours and before]
    return sorted(known, key=lambda pair: pair[1].value - pair[0].value)


def _best(results: Sequence[Result]) -> Result | None:
    return max(results, key=lambda result: result.value, default=None)
