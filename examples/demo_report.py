"""The report of `make demo`: one HTML file with its tables, curves and pictures inside.

Takes plain numbers and arrays only, so that it can be read and changed without the models.
"""

import base64
import html
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.image import imsave
from matplotlib.patches import Rectangle

Series = dict[str, list[float]]

# Rows and columns of the two tables: key in `results` -> (name, what it means).
ENCODERS = {
    "chance": ("Chance", "what guessing scores"),
    "random": ("Random encoder", "the same network, untrained: what a probe can read anyway"),
    "stage1": ("Stage 1", "after contrastive training on videos and captions"),
    "stage2": ("Stage 2", "after masked distillation from the stage-1 encoder, without text"),
}
SCORES = {
    "appearance_map": ("Appearance probe", "mAP of a small classifier on the frozen tokens"),
    "motion_map": ("Motion probe", "the same, for the direction of movement"),
    "text_to_video_r1": ("Caption to video", "recall@1: the best clip is a right one"),
    "video_to_text_r1": ("Video to caption", "recall@1: the best caption is a right one"),
    "zero_shot": ("Zero-shot appearance", "best prompt names something in the clip"),
}
PREDICTORS = {
    "student": ("Stage-2 student", "sees the visible patches, predicts every token of the teacher"),
    "position_mean": ("Mean of the position", "the teacher's average token at that place and time"),
    "global_mean": ("Global mean", "one vector: the teacher's average over everything"),
    "clip_mean": ("The clip's own mean", "an oracle: the average of this clip's teacher tokens"),
}
LOSSES = {
    "token_loss": ("Token loss", "1 − cosine at masked positions; lower is better"),
    "residual_cosine": ("Residual cosine", "after subtracting each clip's mean; 0 nothing, 1 all"),
    "global_loss": ("Global loss", "1 − cosine of the clip embedding; lower is better"),
}

HEADLINE = "VideoPrism in miniature: what each training stage learned"
SCORES_NOTE = (
    "Measured on clips that no encoder was trained on. Every number lies between 0 and 1, higher is"
    " better; below it stands how many times chance that is. A dash: not measured."
)
LOSSES_NOTE = (
    "How far the student's predictions are from the teacher's, beside predictors without training."
    " A student that learned the structure within clips is below the clip's own mean."
)
CURVES_NOTE = "A dashed line marks a fixed level, such as a predictor that needs no training."

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1d2733; background: #fff;
       max-width: 1080px; margin: 2.5rem auto; padding: 0 1.5rem }
h1 { font-size: 1.9rem; line-height: 1.2; margin-bottom: .4rem }
h2 { font-size: 1.25rem; margin: 2.5rem 0 .4rem; border-top: 1px solid #d8dee6; padding-top: 1rem }
p, li { max-width: 75ch }
.setup, small { color: #5b6775 }
small { display: block; font-size: .8rem; font-weight: 400; line-height: 1.3 }
table { border-collapse: collapse; width: 100%; margin: 1rem 0 }
th, td { padding: .5rem .7rem; border-bottom: 1px solid #d8dee6; text-align: right;
         vertical-align: top; font-variant-numeric: tabular-nums }
th[scope=row] { text-align: left; width: 30% }
thead th, thead td { border-bottom: 2px solid #1d2733 }
img { max-width: 100% } .pixels { image-rendering: pixelated; width: 100% }
"""


def write_report(
    path: str | os.PathLike[str],
    *,
    results: dict[str, Any],
    curves: dict[str, Series],
    pictures: Sequence[tuple[str, str, Figure | np.ndarray]],
) -> None:
    """Writes the report as one HTML file that loads nothing from elsewhere.

    Args:
        path: the file; it is replaced only once the new one is complete.
        results: `encoders`: {row of ENCODERS: {column of SCORES: number}}; `stage2`: {row of
            PREDICTORS: {column of LOSSES: number}}; `setup`: {fact: value}, printed as they are.
            Numbers that were not measured are left out of a row.
        curves: as for `curves_picture`.
        pictures: (title, caption, matplotlib figure or [H, W, 3] uint8 image).

    Raises:
        ValueError: for a row or column that the tables do not have.
    """
    encoders, stage2 = results["encoders"], results["stage2"]
    sections = [
        _section("What each encoder knows", SCORES_NOTE, _table(ENCODERS, SCORES, encoders)),
        _section("What stage 2 predicts", LOSSES_NOTE, _table(PREDICTORS, LOSSES, stage2)),
        _section("Training", CURVES_NOTE, _image("Loss curves", curves_picture(curves))),
    ]
    sections += [_section(title, text, _image(title, picture)) for title, text, picture in pictures]
    setup = " · ".join(f"{name}: {value}" for name, value in results["setup"].items())
    _write_atomically(
        Path(path),
        f"<!doctype html>\n<html lang=en><meta charset=utf-8><title>{HEADLINE}</title>\n"
        f"<meta name=viewport content='width=device-width'><style>{STYLE}</style>\n"
        f"<h1>{HEADLINE}</h1>\n<p class=setup>{html.escape(setup)}</p>\n"
        f"<ul>{''.join(f'<li>{finding}</li>' for finding in findings(encoders, stage2))}</ul>\n"
        + "\n".join(sections),
    )


def findings(encoders: dict[str, dict], stage2: dict[str, dict]) -> list[str]:
    """The comparisons that matter, good or bad; a missing number gives no sentence."""
    comparisons = (
        (encoders, "text_to_video_r1", "stage1", "chance", "Caption to video: stage 1"),
        (encoders, "appearance_map", "stage1", "random", "Appearance: stage 1"),
        (encoders, "motion_map", "stage2", "stage1", "Motion: stage 2"),
        (encoders, "motion_map", "stage2", "random", "Motion: stage 2"),
        (stage2, "token_loss", "student", "position_mean", "Token loss: the student"),
        (stage2, "token_loss", "student", "clip_mean", "Token loss: the student"),
        (stage2, "global_loss", "student", "global_mean", "Global loss: the student"),
    )
    names = ENCODERS | PREDICTORS
    return [
        f"{subject} {row[column]:.3f}, {names[against][0].lower()} {other[column]:.3f}."
        for table, column, name, against, subject in comparisons
        if column in (row := table.get(name, {})) and column in (other := table.get(against, {}))
    ]


def _table(rows: dict, columns: dict, values: dict[str, dict[str, float]]) -> str:
    unknown = set(values) - set(rows)
    unknown |= {column for row in values.values() for column in row} - set(columns)
    if unknown:
        raise ValueError(f"Unknown: {sorted(unknown)}. Expected some of {[*rows, *columns]}.")
    head = "".join(f"<th>{name}<small>{meaning}</small>" for name, meaning in columns.values())
    chance = values.get("chance", {})
    body = "".join(
        f"<tr><th scope=row>{name}<small>{meaning}</small>"
        + "".join(_cell(values[row].get(c), chance.get(c), row == "chance") for c in columns)
        for row, (name, meaning) in rows.items()
        if row in values
    )
    return f"<table><thead><tr><td>{head}<tbody>{body}</table>"


def _cell(value: float | None, chance: float | None, is_chance: bool) -> str:
    if value is None:
        return "<td>–"
    times = f"<small>{value / chance:.1f} × chance</small>" if chance and not is_chance else ""
    return f"<td>{value:.3f}{times}"


def _section(title: str, text: str, content: str) -> str:
    return f"<section><h2>{html.escape(title)}</h2><p>{html.escape(text)}</p>{content}</section>"


def _image(title: str, picture: Figure | np.ndarray) -> str:
    """A picture as an `img` element that carries its PNG."""
    png = io.BytesIO()
    if isinstance(picture, Figure):
        picture.savefig(png, format="png", dpi=160, bbox_inches="tight")
    else:
        imsave(png, picture, format="png")
    pixels = "" if isinstance(picture, Figure) else " class=pixels"
    data = base64.b64encode(png.getvalue()).decode()
    return f'<img{pixels} alt="{html.escape(title)}" src="data:image/png;base64,{data}">'


def _write_atomically(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def curves_picture(curves: dict[str, Series]) -> Figure:
    """One chart per entry: {title: {name: values}}.

    `step`, if given, holds the horizontal positions. A series of one value is a dashed level.
    """
    rows = -(-len(curves) // 2)
    figure = Figure(figsize=(10, 3.2 * rows), layout="constrained")
    charts = list(figure.subplots(rows, 2, squeeze=False).flat)
    for axes, (title, series) in zip(charts, curves.items(), strict=False):
        for i, (name, values) in enumerate((n, v) for n, v in series.items() if n != "step"):
            if len(values) == 1:
                axes.axhline(values[0], color=f"C{i}", linestyle="--", linewidth=1, label=name)
            else:
                steps = series.get("step", range(1, len(values) + 1))
                axes.plot(steps, values, color=f"C{i}", linewidth=1.6, label=name)
        axes.set_title(title, loc="left", fontsize=11, fontweight="bold")
        axes.set_xlabel("step" if "step" in series else "epoch")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
        axes.legend(frameon=False, fontsize=9)
    for axes in charts[len(curves) :]:
        axes.axis("off")
    return figure


def mask_picture(frames: np.ndarray, masked: np.ndarray) -> Figure:
    """Frames from left to right, masked patches faded to a light grey.

    Args:
        frames: [T, H, W, 3] in [0, 1].
        masked: [T, h, w] bool; the patch is [H / h, W / w] pixels.
    """
    hidden = _to_pixels(masked, frames)[..., None]
    grid = _image_grid(1, len(frames), frames[0])
    for t, axes in enumerate(grid[0]):
        axes.imshow(np.where(hidden[t], 0.7 + 0.15 * frames[t], frames[t]), vmin=0, vmax=1)
        axes.set_title(f"frame {t + 1}\n{masked[t].mean():.0%} masked", fontsize=8)
    return grid[0, 0].figure


def neighbours_picture(
    captions: Sequence[str],
    frames_of_best: Sequence[Sequence[np.ndarray]],
    correct: Sequence[Sequence[bool]],
) -> Figure:
    """The clips nearest to each caption, best first; right ones have a green frame and a tick.

    Args:
        captions: one per row.
        frames_of_best: for each caption its K best clips, each [T, H, W, 3] in [0, 1]; their frames
            are shown side by side.
        correct: for each caption and clip, whether the clip fits.
    """
    strips = [[_strip(clip) for clip in clips] for clips in frames_of_best]
    grid = _image_grid(len(captions), len(strips[0]), strips[0][0])
    for row, caption, best, flags in zip(grid, captions, strips, correct, strict=True):
        for rank, (axes, strip, right) in enumerate(zip(row, best, flags, strict=True), start=1):
            axes.imshow(strip, vmin=0, vmax=1)
            color = "#1a7f37" if right else "#c0392b"
            axes.spines[:].set(color=color, linewidth=2.5)
            axes.set_xlabel(f"{rank}. {'✓' if right else '✗'}", color=color, fontsize=9)
        row[0].set_title(f"“{caption}”", loc="left", fontsize=10)
    return grid[0, 0].figure


def similarity_picture(
    frames: np.ndarray, similarity: dict[str, np.ndarray], query: tuple[int, int, int]
) -> Figure:
    """Cosine of one patch's token with every token over space and time, a row per encoder.

    Args:
        frames: [T, H, W, 3] in [0, 1].
        similarity: {encoder: [T, h, w]}. The colours of a row span its own range, which stands
            above it: an encoder whose tokens are all alike has cosines near 1 everywhere.
        query: (t, y, x) of the patch; it is outlined and left out of the range.
    """
    grid = _image_grid(1 + len(similarity), len(frames), frames[0])
    for t, axes in enumerate(grid[0]):
        axes.imshow(frames[t], vmin=0, vmax=1)
        axes.set_title(f"frame {t + 1}", fontsize=8)
    for row, (name, cosines) in zip(grid[1:], similarity.items(), strict=True):
        others = np.delete(cosines.ravel(), np.ravel_multi_index(query, cosines.shape))
        colors = Normalize(others.min(), others.max(), clip=True)
        for axes, frame, heat in zip(row, frames, _to_pixels(cosines, frames), strict=True):
            axes.imshow(frame.mean(axis=-1), cmap="gray", vmin=0, vmax=1)
            axes.imshow(heat, cmap="inferno", norm=colors, alpha=0.75)
        span = f"cosine {others.min():.2f} (dark) to {others.max():.2f} (bright)"
        row[0].set_title(f"{name}: {span}", loc="left", fontsize=10)
    (t, y, x), (_, h, w) = query, cosines.shape
    height, width = frames.shape[1] / h, frames.shape[2] / w
    for axes in grid[:, t]:
        corner = (x * width - 0.5, y * height - 0.5)
        axes.add_patch(Rectangle(corner, width, height, fill=False, edgecolor="cyan", linewidth=2))
    return grid[0, 0].figure


def _image_grid(rows: int, columns: int, image: np.ndarray) -> np.ndarray:
    """Bare axes [rows, columns] on a page-wide figure for images as large as this one."""
    height, gap = 10 / columns * image.shape[0] / image.shape[1], 0.45  # inches
    figure = Figure(figsize=(10, rows * height + (rows - 1) * gap))
    grid = figure.subplots(rows, columns, squeeze=False)
    figure.subplots_adjust(0, 0, 1, 1, wspace=0.06, hspace=gap / height)
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[])
    return grid


def _strip(clip: np.ndarray) -> np.ndarray:
    """Frames [T, H, W, 3] side by side with white lines between: one image."""
    return np.hstack(list(np.pad(clip, ((0, 0), (0, 0), (1, 1), (0, 0)), constant_values=1)))


def _to_pixels(patches: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """Values of patches [T, h, w] at every pixel [T, H, W] of the frames."""
    _, height, width, _ = frames.shape
    frame_count, h, w = patches.shape
    if frame_count != len(frames) or height % h or width % w:
        raise ValueError(f"Patches {patches.shape} do not tile frames {frames.shape}.")
    return patches.repeat(height // h, axis=1).repeat(width // w, axis=2)
