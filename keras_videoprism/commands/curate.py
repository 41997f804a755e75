"""The commands `curate` and `corpus-report`, and what they ask of a model."""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_videoprism.commands.cli import Commands, add_command, list_failed


def add_commands(commands: Commands) -> None:
    """The commands that clean a corpus and tell what is in it."""
    _add_curate(commands)
    _add_corpus_report(commands)


def clip_embedder(model: Any) -> Callable[[np.ndarray], np.ndarray]:
    """uint8 frames [T, H, W, 3] of a clip -> its embedding [D]."""
    from keras_videoprism.commands.embed import embed_clips

    return lambda frames: embed_clips(model, _clip(model, frames)[None])[0]


def frame_embedder(model: Any) -> Callable[[np.ndarray], np.ndarray]:
    """uint8 frames [T, H, W, 3] -> embeddings [t, D] of the t that the model takes, one by one."""
    from keras_videoprism.commands.embed import embed_clips

    return lambda frames: embed_clips(model, _clip(model, frames)[:, None])


def text_embedder(model: Any) -> Callable[[Sequence[str]], np.ndarray]:
    """n texts -> embeddings [n, D].

    Raises:
        ValueError: the model has no text tower, or no tokenizer.
    """
    from keras_videoprism.models import VideoPrismLvT
    from keras_videoprism.models.video_prism_lvt import MAX_CHARACTERS

    if not isinstance(model, VideoPrismLvT) or model.tokenizer is None:
        raise ValueError(
            "grounding needs a model with a text tower and a tokenizer, such as --preset "
            f"videoprism_lvt_b; received {type(model).__name__}."
        )

    def embed(text: str) -> np.ndarray:
        # One by one: each number of texts would be compiled anew.
        tokens = model.tokenizer([text[:MAX_CHARACTERS]])
        return np.asarray(model.predict_on_batch(tokens)["text_embeddings"])[0]

    return lambda texts: np.stack([embed(text) for text in texts])


def short_side(model: Any) -> int:
    """Pixels of the shorter side of decoded frames: enough for the model and to find faces."""
    encoder = getattr(model, "video_encoder", model)
    return 256 if model is None else max(256, *encoder.image_size)


def _clip(model: Any, frames: np.ndarray) -> np.ndarray:
    """The frames as `embed` gives them to the model: uint8 [t, h, w, 3]."""
    from keras_videoprism.commands.embed import fit_frames

    encoder = getattr(model, "video_encoder", model)
    return fit_frames(frames, encoder.position_shape[0], encoder.image_size)


def _add_curate(commands: Commands) -> None:
    command = add_command(
        commands,
        "curate",
        _curate,
        "Clean a table of clips: drop those that a limit finds at fault, and near-duplicates of "
        "benchmark clips and of earlier clips. What is dropped is listed with the reason and the "
        "value. Values at a limit stay.",
    )
    command.add_argument("input", metavar="IN", help="folder, CSV or JSONL table, here or remote")
    command.add_argument("output", metavar="OUT.jsonl", help="table to write")
    command.add_argument("--root", help="folder that all paths of IN lie in")
    command.add_argument("--min-duration", type=float, help="seconds")
    command.add_argument("--max-duration", type=float, help="seconds")
    command.add_argument("--min-short-side", type=int, help="pixels")
    command.add_argument("--min-frame-rate", type=float, help="frames per second")
    command.add_argument("--max-frame-rate", type=float, help="frames per second")
    for name in ("min", "max"):
        command.add_argument(
            f"--{name}",
            action="append",
            default=[],
            metavar="COLUMN=NUMBER",
            help=f"{name}imum of another column, such as views",
        )
    command.add_argument(
        "--against",
        nargs="+",
        default=[],
        metavar="BENCH",
        help="folders or tables of benchmarks: what looks like their clips is dropped",
    )
    command.add_argument("--keep-duplicates", action="store_true", help="drop no near-duplicates")
    command.add_argument("--no-talking-heads", action="store_true", help="drop videos of faces")
    command.add_argument("--preset", help="a model; it also helps to find duplicates")
    command.add_argument(
        "--max-static", type=float, help="likeness of a clip's frames: mean cosine; needs --preset"
    )
    command.add_argument(
        "--min-grounding", type=float, help="cosine of video and caption; needs --preset"
    )


def _curate(options: argparse.Namespace) -> int:
    from keras_videoprism import presets
    from keras_videoprism.commands.progress import progress_bar
    from keras_videoprism.data import read_manifest, read_table, write_table
    from keras_videoprism.data.curation.curate import curate

    if not options.output.lower().endswith(".jsonl"):
        raise ValueError(f"OUT must be a .jsonl file, received {options.output}.")
    needs_model = options.max_static is not None or options.min_grounding is not None
    if needs_model and options.preset is None:
        raise ValueError("--max-static and --min-grounding need a model: give --preset.")
    table_filters = _table_filters(options)
    clips = read_table(options.input, options.root)
    against = [row for bench in options.against for row in read_manifest(bench)]
    model = presets.from_preset(options.preset) if options.preset else None
    with progress_bar("curate") as progress:
        found = curate(
            clips,
            against=against,
            table_filters=table_filters,
            frame_filters=_frame_filters(options, model),
            embed=clip_embedder(model) if model else None,
            keep_duplicates=options.keep_duplicates,
            short_side=short_side(model),
            progress=progress,
        )
    for row, fault in found.dropped:
        part = "" if row.start is None and row.end is None else f" [{row.start}, {row.end}]"
        value = f"{fault.value:.4g}" if isinstance(fault.value, float) else fault.value
        print(f"{row.name}{part}", fault.reason, value, sep="\t")
    if not found.kept:
        list_failed(found.failed)
        raise ValueError(f"no clip is left; {options.output} was not written.")
    write_table(options.output, found.kept)
    print(f"{len(found.kept)} of {len(clips)} clips kept in {options.output}.")
    return list_failed(found.failed)


def _table_filters(options: argparse.Namespace) -> list[Any]:
    from keras_videoprism.data.curation.filters import column_filter, header_filter

    names = ("min_duration", "max_duration", "min_short_side", "min_frame_rate", "max_frame_rate")
    limits = {name: getattr(options, name) for name in names}
    filters = [column_filter(_limits(options.min), _limits(options.max))]
    if any(limit is not None for limit in limits.values()):  # else no file need be opened
        filters.append(header_filter(**limits))
    return filters


def _frame_filters(options: argparse.Namespace, model: Any) -> list[Any]:
    from keras_videoprism.data.curation.filters import (
        grounding_filter,
        static_filter,
        talking_head_filter,
    )

    filters = []
    if options.no_talking_heads:
        filters.append(talking_head_filter())
    if options.max_static is not None:
        filters.append(static_filter(frame_embedder(model), options.max_static))
    if options.min_grounding is not None:
        filters.append(grounding_filter(text_embedder(model), options.min_grounding))
    return filters


def _add_corpus_report(commands: Commands) -> None:
    command = add_command(
        commands,
        "corpus-report",
        _corpus_report,
        "What is in a corpus, as report.json and report.html: durations, words, nouns and verbs, "
        "people, motion and grounding (Table 8 and Figure 5 of the paper).",
    )
    command.add_argument("input", metavar="IN", help="folder, CSV or JSONL table, here or remote")
    command.add_argument("output", metavar="OUT_DIR", type=Path, help="folder to write to")
    command.add_argument("--root", help="folder that all paths of IN lie in")
    command.add_argument("--preset", help="a model with a text tower, for the grounding score")
    command.add_argument("--wordnet", type=Path, help="folder of WordNet; default: nltk's own")
    command.add_argument("--sample", type=int, help="measure so many clips, drawn at random")
    command.add_argument("--seed", type=int, default=0, help="of the draw")


def _corpus_report(options: argparse.Namespace) -> int:
    from keras_videoprism import presets
    from keras_videoprism.commands.progress import progress_bar
    from keras_videoprism.data import read_manifest
    from keras_videoprism.data.atomic import atomic_folder
    from keras_videoprism.data.curation.corpus import describe_corpus
    from keras_videoprism.data.curation.corpus_page import corpus_page

    rows = read_manifest(options.input, options.root)
    wordnet, reasons = _wordnet(options.wordnet)
    model = presets.from_preset(options.preset) if options.preset else None
    with progress_bar("corpus report") as progress:
        report = describe_corpus(
            rows,
            embed=clip_embedder(model) if model else None,
            embed_texts=text_embedder(model) if model else None,
            short_side=short_side(model),
            wordnet=wordnet,
            sample=options.sample,
            seed=options.seed,
            reasons=reasons,
            progress=progress,
        )
    with atomic_folder(options.output) as folder:
        text = json.dumps(report, indent=2, ensure_ascii=False)
        (folder / "report.json").write_text(text + "\n", encoding="utf-8")
        (folder / "report.html").write_text(corpus_page(report), encoding="utf-8")
    print(f"{report['measured']} clips described in {options.output / 'report.html'}.")
    return list_failed([(file, reason) for file, reason in report["failed"]])


def _wordnet(folder: Path | None) -> tuple[Any, dict[str, str]]:
    """A reader, or why there is none; a folder that was named must hold WordNet."""
    from keras_videoprism.data.curation.captions import open_wordnet

    try:
        return open_wordnet(folder), {}
    except (ValueError, ImportError) as error:
        if folder is not None:
            raise
        return None, dict.fromkeys(("noun/verb ratio", "clips with people"), str(error))


def _limits(values: Sequence[str]) -> dict[str, float]:
    """["views=1000"] -> {"views": 1000.0}."""
    limits = {}
    for value in values:
        column, _, number = value.rpartition("=")
        try:
            limits[column] = float(number)
        except ValueError:
            raise ValueError(f"expected COLUMN=NUMBER, received {value!r}") from None
        if not column:
            raise ValueError(f"expected COLUMN=NUMBER, received {value!r}")
    return limits
