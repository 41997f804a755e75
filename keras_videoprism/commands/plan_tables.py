"""What `plan` found, as tables for people."""

import math
from typing import Any

from rich.console import Group
from rich.table import Table

from keras_videoprism.commands.accelerators import ACCELERATORS

MEMORY = {
    "variables": "variables of the model",
    "optimizer": "variables of the optimizer",
    "batch": "batch",
    "arguments": "all arguments",
    "outputs": "outputs",
    "reused": "... in the place of arguments",
    "temporary": "temporary (activations), in float32 as on a CPU",
    "total": "total",
}


def plan_tables(result: dict[str, Any]) -> Group:
    """Tables of what `plan` returns; print them by `rich`."""
    return Group(_memory(result), _operations(result), _traffic(result), _estimates(result))


def _memory(result: dict[str, Any]) -> Table:
    settings = result["settings"]
    mesh = ", ".join(f"{axis}={size}" for axis, size in settings["mesh"].items())
    table = _table(
        f"stage {settings['stage']} of {settings['preset']}, {settings['batch']} clips, {mesh}",
        "memory of a device",
        "GB",
    )
    for name, text in MEMORY.items():
        table.add_row(text, _number(result["memory"][name] / 1e9))
    return table


def _operations(result: dict[str, Any]) -> Table:
    table = _table(None, "operations of a device", "TFLOP")
    table.add_row("that the model needs", _number(result["flops"]["model"] / 1e12))
    compiled = result["flops"]["compiled"]
    table.add_row("in the compiled step (a loop counts once)", _number(compiled / 1e12))
    return table


def _traffic(result: dict[str, Any]) -> Table:
    table = _table(None, "a device exchanges", "times", "GB", "GB sent")
    for kind, counts in result["collectives"].items():
        size, sent = counts["bytes"] / 1e9, counts["sent"] / 1e9
        table.add_row(kind, str(counts["times"]), _number(size), _number(sent))
    return table


def _estimates(result: dict[str, Any]) -> Table:
    total = result["memory"]["total"]
    title = "least seconds, each part at 100 % of its peak"
    table = _table(title, "", "compute", "memory", "network", "step", "memory used")
    for name, estimate in result["estimates"].items():
        times = [_number(estimate[part]) for part in ("compute", "memory", "network", "step")]
        used = 100 * total / ACCELERATORS[name].memory
        table.add_row(name, *times, f"{_number(used)} %")
    return table


def _table(title: str | None, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index else "left")
    return table


def _number(value: float) -> str:
    """Three digits, without exponents."""
    digits = 2 - math.floor(math.log10(value)) if value else 0
    return f"{round(value, digits):,.{max(digits, 0)}f}"
