"""What a run shows, drawn: steps.csv and probe.csv -> report.html."""

import csv
import json
import math
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_videoprism.data.atomic import atomic_path
from keras_videoprism.data.page import page, picture, section, table
from keras_videoprism.layers.masking import tube_visible
from keras_videoprism.training import Stage1Model
from keras_videoprism.training.stage import Stage

# Title of a chart -> the columns that it shows, or how they begin.
CHARTS = {
    "Loss": ("loss", "token_loss", "masked_token_loss", "global_loss", "reconstruction_loss"),
    "Loss of each source": ("loss/",),
    "What is learned": ("recall_at_1", "residual_cosine", "probe"),
    "Do the embeddings differ?": ("embedding_std", "pair_cosine", "teacher_agreement"),
    "Effective rank of the embeddings": ("effective_rank",),
    "Temperature": ("temperature",),
    "Gradient norm": ("gradient_norm",),
    "Learning rate": ("learning_rate",),
    "Clips per second": ("clips_per_second",),
    "Shares of the step": ("waiting_share", "mfu"),
    "Peak memory (bytes)": ("peak_host_bytes", "peak_device_bytes"),
    "Skipped steps": ("skipped_steps",),
}
MAX_POINTS = 1000  # of a curve
MAX_FRAMES = 8  # of the picture of masks
SECONDS_BETWEEN = 60.0

Table = dict[str, list[float]]  # column -> values


class RunPage(keras.callbacks.Callback):
    """Draws the page of a run after an epoch, at most once a minute, and at the end.

    Args:
        folder: of the run: run.json, steps.csv and perhaps probe.csv are read, report.html is
            written.
        batches: function of `start`, the first step, that gives batches: masks are drawn on the
            first clip.
    """

    def __init__(self, folder: str | Path, batches: Callable[..., Iterable]) -> None:
        super().__init__()
        self.folder, self.batches = Path(folder), batches
        self._masks: str | None = None
        self._drawn = time.monotonic()

    def on_train_begin(self, logs: dict | None = None) -> None:
        if self._masks is None:
            self._masks = mask_picture(self.model, next(iter(self.batches(start=0))))

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        if time.monotonic() - self._drawn >= SECONDS_BETWEEN:
            self._write()

    def on_train_end(self, logs: dict | None = None) -> None:
        self._write()

    def _write(self) -> None:
        write_run_page(self.folder, self._masks or "")
        self._drawn = time.monotonic()


def write_run_page(folder: Path, masks: str = "") -> None:
    """Write `report.html` of the files of a run; `masks` is HTML."""
    run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    steps, probes = read_table(folder / "steps.csv"), read_table(folder / "probe.csv")
    curves = {**charts(steps), **charts(probes)}
    with atomic_path(folder / "report.html") as path:
        path.write_text(run_page(folder.name, run, steps, curves, masks), encoding="utf-8")


def run_page(
    name: str, run: dict[str, Any], steps: Table, curves: dict[str, Table], masks: str = ""
) -> str:
    """The page of a run: its curves, the last row of its table, its masks, what it is."""
    last = [(column, f"{values[-1]:.4g}") for column, values in steps.items()]
    facts = {"backend": run["backend"], "devices": ", ".join(run["devices"]), "time": run["time"]}
    facts |= {"git": run["git"], **run["versions"]}
    return page(
        name,
        section("Curves", "Over the number of steps.", picture(draw(curves), "Curves")),
        section("Last row of steps.csv", "", table(("column", "value"), last)),
        masks,
        section("Arguments", "", table(("name", "value"), run["arguments"].items())),
        section("What it ran on", "", table(("name", "value"), facts.items())),
    )


def read_table(path: Path) -> Table:
    """Columns of a CSV file of numbers; empty where there is no file. No value is NaN."""
    if not path.exists():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if None not in row.values()]
    names = rows[0] if rows else ()
    return {name: [float(row[name] or math.nan) for row in rows] for name in names}


def charts(columns: Table) -> dict[str, Table]:
    """What each chart shows of a table; charts of which nothing is known are left out."""
    found = {
        title: {
            name: values
            for name, values in columns.items()
            if name in wanted or name.startswith(tuple(w for w in wanted if w.endswith("/")))
        }
        for title, wanted in CHARTS.items()
    }
    return {title: {"step": columns["step"], **s} for title, s in found.items() if s}


def draw(curves: dict[str, Table]) -> Any:
    """A matplotlib figure with a chart of each entry, over its "step"."""
    from matplotlib.figure import Figure

    rows = max(-(-len(curves) // 3), 1)
    figure = Figure(figsize=(11, 2.6 * rows), layout="constrained")
    axes_of = list(figure.subplots(rows, 3, squeeze=False).flat)
    for axes, (title, series) in zip(axes_of, curves.items(), strict=False):
        thin = slice(None, None, -(-len(series["step"]) // MAX_POINTS))
        for name in [name for name in series if name != "step"]:
            known = [(s, v) for s, v in zip(series["step"], series[name], strict=True) if v == v]
            marker = "o" if len(known) < 10 else ""
            axes.plot(*np.transpose(known[thin] or [(0, 0)]), marker=marker, label=name)
        axes.set_title(title, loc="left", fontsize=10, fontweight="bold")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
        axes.legend(frameon=False, fontsize=7)
    for axes in axes_of[len(curves) :]:
        axes.axis("off")
    return figure


def mask_picture(stage: Stage, batch: dict[str, Any]) -> str:
    """The first clip of a batch, as HTML: what the encoder does not see at this step is pale.

    Empty where the batch has no videos, or all is seen.
    """
    if "videos" not in batch or getattr(stage, "dropping_ratio", 1.0) == 0.0:
        return ""
    grid = stage.encoder.grid(batch["videos"])
    clip_id = keras.ops.convert_to_tensor(batch["clip_id"][:1])
    if isinstance(stage, Stage1Model):
        visible = tube_visible(stage.seed, stage.step, clip_id, grid, stage.dropping_ratio)
    else:
        visible = stage.visible(clip_id, grid)
    positions = visible.positions(grid) if hasattr(visible, "positions") else visible
    hidden = np.ones(grid, bool)
    hidden.ravel()[keras.ops.convert_to_numpy(positions)[0]] = False
    clip = keras.ops.convert_to_numpy(batch["videos"][0])
    clip = clip / 255.0 if clip.dtype == np.uint8 else clip
    note = f"{hidden.mean():.0%} of the tokens of a clip are hidden from the encoder."
    return section("Masks", note, picture(_draw_masks(clip, hidden), "Masks"))


def _draw_masks(clip: np.ndarray, hidden: np.ndarray) -> Any:
    from matplotlib.figure import Figure

    patch = clip.shape[1] // hidden.shape[1]
    pale = hidden.repeat(patch, axis=1).repeat(patch, axis=2)[..., None]
    shown = np.where(pale, 0.75 + 0.15 * clip, clip)
    frames = np.linspace(0, len(clip) - 1, min(len(clip), MAX_FRAMES)).round().astype(int)
    figure = Figure(figsize=(11, 1.6), layout="constrained")
    axes_of = figure.subplots(1, len(frames), squeeze=False)[0]
    for axes, frame in zip(axes_of, frames, strict=True):
        axes.imshow(shown[frame], vmin=0, vmax=1)
        axes.set_title(f"frame {frame + 1}", fontsize=8)
        axes.axis("off")
    return figure
