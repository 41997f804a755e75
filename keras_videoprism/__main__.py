"""The command line: `python -m keras_videoprism --help`."""

import argparse
import inspect
import sys
from collections.abc import Sequence
from pathlib import Path

from keras_videoprism.commands import cli, curate
from keras_videoprism.commands.cli import DONE, WRONG_CALL, Commands, add_command, list_failed


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns 0 when all was done, 1 when some inputs failed, 2 for a bad call."""
    options = parser().parse_args(arguments)
    try:
        return options.run(options)
    except (ValueError, OSError) as error:
        print(f"keras_videoprism {options.command}: {error}", file=sys.stderr)
        return WRONG_CALL


def parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    parser = argparse.ArgumentParser(
        prog="python -m keras_videoprism",
        description="Train, adapt and use VideoPrism video encoders.",
        epilog="Exit status: 0 all done, 1 some inputs failed (listed last), 2 wrong call.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_demo_corpus(commands)
    _add_write_records(commands)
    _add_validate_records(commands)
    _add_pretrain(commands)
    _add_probe(commands)
    cli.add_commands(commands)
    curate.add_commands(commands)
    return parser


def _add_demo_corpus(commands: Commands) -> None:
    command = add_command(
        commands,
        "demo-corpus",
        _demo_corpus,
        "Render short captioned video files: digits and shapes that move.",
    )
    command.add_argument("output", metavar="DIR", type=Path, help="folder to make")
    command.add_argument("--clips", type=int, default=4000, help="training clips")
    command.add_argument("--stills", type=int, default=6000, help="training images")
    command.add_argument("--test", type=int, default=512, help="test clips")
    command.add_argument("--seed", type=int, default=0, help="seed of all that is drawn")


def _demo_corpus(options: argparse.Namespace) -> int:
    from keras_videoprism.commands.progress import progress_bar
    from keras_videoprism.data.demo_corpus import render_demo_corpus

    with progress_bar("render video files") as progress:
        render_demo_corpus(
            options.output,
            num_clips=options.clips,
            num_stills=options.stills,
            num_test=options.test,
            seed=options.seed,
            progress=progress,
        )
    return DONE


def _add_write_records(commands: Commands) -> None:
    command = add_command(
        commands,
        "write-records",
        _write_records,
        "Decode videos and images to TFRecords. IN is a folder (its captions.csv is used where "
        "there is one) or a CSV or JSONL table with path, and perhaps caption, label, start and "
        "end in seconds.",
    )
    command.add_argument("input", metavar="IN", type=Path, help="folder or table")
    command.add_argument("output", metavar="OUT", type=Path, help="record folder to make")
    command.add_argument("--root", type=Path, help="folder that all paths of a table lie in")
    command.add_argument("--shards", type=int, default=8, help="number of record files")
    command.add_argument("--fps", type=float, help="frames kept per second of video")
    command.add_argument("--num-frames", type=int, help="frames kept per clip, spread uniformly")
    command.add_argument("--short-side", type=int, help="length of the short side in pixels")
    command.add_argument("--require-caption", action="store_true", help="skip clips without one")
    command.add_argument("--source", default="clips", help="name of the data set")


def _write_records(options: argparse.Namespace) -> int:
    from keras_videoprism.commands.progress import progress_bar
    from keras_videoprism.data import read_manifest, write_records

    rows = read_manifest(options.input, options.root)
    with progress_bar("write records") as progress:
        report = write_records(
            rows,
            options.output,
            num_shards=options.shards,
            fps=options.fps,
            num_frames=options.num_frames,
            short_side=options.short_side,
            require_caption=options.require_caption,
            source=options.source,
            progress=progress,
        )
    print(f"{report.written} clips written to {options.output}.")
    return list_failed(report.skipped)


def _add_validate_records(commands: Commands) -> None:
    command = add_command(
        commands,
        "validate-records",
        _validate_records,
        "Check every record of a folder: checksums, schema, images, times, texts, labels, ids. "
        "Distributions and drift are not checked.",
    )
    command.add_argument("folder", type=Path, help="record folder")
    command.add_argument("--num-classes", type=int, help="labels must lie below it")
    command.add_argument("--require-caption", action="store_true", help="list clips without one")


def _validate_records(options: argparse.Namespace) -> int:
    from keras_videoprism.commands.progress import progress_bar
    from keras_videoprism.data.validate import validate_records

    with progress_bar("validate records") as progress:
        found = validate_records(
            options.folder, options.num_classes, options.require_caption, progress
        )
    print(f"{found.num_records} records, {len(found.anomalies)} anomalies.")
    for name, values in found.statistics.items():
        print(name, *(f"{key} {value:.4g}" for key, value in values.items()), sep="\t")
    return list_failed(
        [(f"{a.shard} record {a.record} ({a.file})", a.reason) for a in found.anomalies]
    )


def _add_pretrain(commands: Commands) -> None:
    command = add_command(
        commands,
        "pretrain",
        _pretrain,
        "Train stage 1 (contrast of videos and captions) or stage 2 (masked distillation).",
    )
    command.add_argument("stage", type=int, choices=(1, 2))
    command.add_argument("records", nargs="+", type=Path, help="record folders, alternating")
    command.add_argument("--output", type=Path, required=True, help="preset folder to write")
    command.add_argument(
        "--preset",
        help="size of the model, e.g. videoprism_lvt_b (stage 1) or videoprism_b (stage 2)",
        required=True,
    )
    command.add_argument("--teacher", help="stage 2: the preset folder of stage 1")
    command.add_argument("--tokenizer", type=Path, help="stage 1: SentencePiece model")
    command.add_argument("--init", action="store_true", help="start from the preset's weights")
    command.add_argument("--steps", type=int, required=True)
    command.add_argument("--batch-size", type=int, default=64)
    command.add_argument(
        "--micro-batches", type=int, default=1, help="parts of a batch, for memory"
    )
    command.add_argument("--learning-rate", type=float, default=5e-4, help="peak (Table 10)")
    command.add_argument("--warmup-steps", type=int, help="default: a tenth of the steps")
    command.add_argument("--weights", nargs="+", type=float, help="how often each folder is drawn")
    command.add_argument(
        "--frames",
        nargs="+",
        type=int,
        default=[8],
        help="frames of a clip, for all or for each folder; 1 for images",
    )
    command.add_argument("--image-size", type=int, help="pixels; default: native size")
    command.add_argument(
        "--masking-ratio",
        type=float,
        help="dropped or masked tokens; default 0.5 (stage 1), 0.65 (stage 2)",
    )
    command.add_argument("--seed", type=int, default=0)


def _pretrain(options: argparse.Namespace) -> int:
    from keras_videoprism.commands.pretrain import pretrain

    arguments = vars(options)
    pretrain(**{name: arguments[name] for name in inspect.signature(pretrain).parameters})
    return DONE


def _add_probe(commands: Commands) -> None:
    command = add_command(
        commands,
        "probe",
        _probe,
        "Train a MAP head on a frozen encoder and score it on other records.",
    )
    command.add_argument("train", type=Path, help="record folder with labels")
    command.add_argument("test", type=Path, help="record folder with labels")
    command.add_argument("--preset", required=True, help="name or folder of an encoder")
    command.add_argument("--num-classes", type=int, required=True)
    command.add_argument("--multi-label", action="store_true", help="several classes per clip")
    command.add_argument("--epochs", type=int, default=30)
    command.add_argument("--seed", type=int, default=0)


def _probe(options: argparse.Namespace) -> int:
    from keras_videoprism import presets
    from keras_videoprism.commands.probe import probe

    model = presets.from_preset(options.preset)
    score = probe(
        getattr(model, "video_encoder", model),
        options.train,
        options.test,
        options.num_classes,
        multi_label=options.multi_label,
        epochs=options.epochs,
        seed=options.seed,
    )
    print(f"{'mean average precision' if options.multi_label else 'accuracy'}: {score:.4f}")
    return DONE


if __name__ == "__main__":
    sys.exit(main())
