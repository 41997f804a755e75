"""The command line: `python -m keras_videoprism --help`."""

import argparse
import inspect
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from keras_videoprism.commands import caption_cli, cli, curate, records
from keras_videoprism.commands.cli import DONE, WRONG_CALL, Commands, add_command, add_run_options
from keras_videoprism.commands.evaluate import cli as evaluation


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns 0 when all was done, 1 when some inputs failed, 2 for a bad call."""
    options = parser().parse_args(arguments)
    try:
        return options.run(options)
    except (ValueError, OSError, ImportError) as error:
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
    _add_demo_localisation(commands)
    records.add_commands(commands)
    _add_pretrain(commands)
    _add_lit(commands)
    _add_probe(commands)
    cli.add_commands(commands)
    caption_cli.add_commands(commands)
    evaluation.add_commands(commands)
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


def _add_demo_localisation(commands: Commands) -> None:
    command = add_command(
        commands,
        "demo-localisation",
        _demo_localisation,
        "Render clips with boxes, and longer ones with moves, as AVA and ActivityNet have.",
    )
    command.add_argument("output", metavar="DIR", type=Path, help="folder to make")
    command.add_argument("--train", type=int, default=400, help="training clips of each part")
    command.add_argument("--test", type=int, default=100, help="test clips of each part")
    command.add_argument("--seed", type=int, default=0, help="seed of all that is drawn")


def _demo_localisation(options: argparse.Namespace) -> int:
    from keras_videoprism.commands.progress import progress_bar
    from keras_videoprism.data.demo_localisation import render_demo_localisation

    with progress_bar("render video files") as progress:
        render_demo_localisation(
            options.output,
            num_train=options.train,
            num_test=options.test,
            seed=options.seed,
            progress=progress,
        )
    return DONE


def _add_pretrain(commands: Commands) -> None:
    command = add_command(
        commands,
        "pretrain",
        _pretrain,
        "Train stage 1 (contrast of videos and captions) or stage 2 (masked distillation).",
    )
    command.add_argument("stage", type=int, choices=(1, 2))
    command.add_argument("records", nargs="+", help="record folders")
    command.add_argument("--output", type=Path, required=True, help="preset folder to write")
    command.add_argument(
        "--preset",
        help="size of the model, e.g. videoprism_lvt_b (stage 1) or videoprism_b (stage 2)",
        required=True,
    )
    command.add_argument("--teacher", help="stage 2: the preset folder of stage 1")
    command.add_argument("--tokenizer", type=Path, help="stage 1: SentencePiece model")
    command.add_argument("--init", action="store_true", help="start from the preset's weights")
    command.add_argument(
        "--init-from",
        metavar="SOURCE",
        help="stage 1: start from KerasHub's CLIP, SigLIP or ViT (name or folder)",
    )
    command.add_argument(
        "--freeze-spatial", action="store_true", help="do not train the spatial encoder"
    )
    command.add_argument("--steps", type=int, required=True)
    command.add_argument("--batch-size", type=int, default=64)
    command.add_argument(
        "--micro-batches", type=int, default=1, help="parts of a batch, for memory"
    )
    command.add_argument("--learning-rate", type=float, default=5e-4, help="peak (Table 10)")
    command.add_argument("--warmup-steps", type=int, help="default: a tenth of the steps")
    command.add_argument("--weights", nargs="+", type=float, help="how often each folder is drawn")
    command.add_argument(
        "--order",
        choices=("alternate", "mixed", "sequential"),
        default="alternate",
        help="draw a folder for each step (default) or each clip, or take one after the other",
    )
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
    add_run_options(command)
    _add_alternatives(command)
    _add_watching(command)


def _add_alternatives(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("alternatives of the paper's ablations")
    # Left out, the default of the function that takes it holds.
    add = partial(group.add_argument, default=argparse.SUPPRESS)
    add("--attention", choices=("factorized", "joint"), help="default: that of the preset")
    add("--contrast", choices=("softmax", "sigmoid"), help="stage 1: loss; default softmax")
    add(
        "--autoencoding-weight",
        type=float,
        help="stage 1: weight of masked autoencoding; default 0",
    )
    add("--mask", choices=("bevt", "tube"), help="stage 2: default bevt")
    add("--num-masked-frames", type=int, help="stage 2: frames of a bevt mask; default: any")
    add("--no-shuffle", dest="shuffle", action="store_false", help="stage 2: tokens in place")
    add(
        "--no-global",
        dest="global_distillation",
        action="store_false",
        help="stage 2: no loss of the global embedding",
    )
    add("--loss-on", choices=("all", "masked", "visible"), help="stage 2: tokens; default all")


def _add_watching(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("memory, and what the run shows")
    add = partial(group.add_argument, default=argparse.SUPPRESS)
    add("--dtype", help="such as mixed_bfloat16; default: that of the preset")
    add("--remat", action="store_true", help="compute each block again: less memory, more time")
    add("--probe", nargs=2, metavar="RECORDS", help="labelled: train and test a frozen probe")
    add("--probe-classes", type=int, help="number of classes of the probe")
    add("--probe-every", type=int, help="steps between probes; default 1000")
    add(
        "--peak-flops",
        type=lambda text: text if text == "measured" else float(text),
        help="that all devices could do a second, for MFU; or `measured`",
    )


def _pretrain(options: argparse.Namespace) -> int:
    from keras_videoprism.commands.pretrain import pretrain

    pretrain(**{name: vars(options)[name] for name in vars(options).keys() - {"command", "run"}})
    return DONE


def _add_lit(commands: Commands) -> None:
    command = add_command(
        commands,
        "lit",
        _lit,
        "Train text tower and pooler of stage 1 for a locked encoder of stage 2.",
    )
    command.add_argument("records", nargs="+", help="record folders with captions, as one data set")
    command.add_argument("--encoder", required=True, help="preset of stage 2; it stays as it is")
    command.add_argument("--towers", required=True, help="preset of stage 1, or of `lit`")
    command.add_argument("--output", type=Path, required=True, help="preset folder to write")
    command.add_argument("--steps", type=int, required=True)
    command.add_argument("--batch-size", type=int, default=64)
    command.add_argument("--micro-batches", type=int, default=1, help="parts of a batch")
    command.add_argument("--frames", type=int, default=8, help="frames of a clip")
    command.add_argument("--image-size", type=int, help="pixels; default: native size")
    command.add_argument("--sampling", default="uniform", help="uniform or random_segment")
    command.add_argument("--learning-rate", type=float, default=5e-4, help="peak")
    command.add_argument("--warmup-steps", type=int, help="default: a tenth of the steps")
    command.add_argument(
        "--cache",
        type=Path,
        metavar="DIR",
        help="encode all clips once and keep the tokens here; training reads them",
    )
    command.add_argument("--cache-dtype", default="float32", help="float32 or float16")
    add_run_options(command)


def _lit(options: argparse.Namespace) -> int:
    from keras_videoprism.commands.lit import lit
    from keras_videoprism.commands.progress import progress_bar

    names = inspect.signature(lit).parameters.keys() - {"progress"}
    arguments = {name: value for name, value in vars(options).items() if name in names}
    if options.cache is None:
        lit(**arguments)
        return DONE
    with progress_bar("encode clips") as progress:
        lit(**arguments, progress=progress)
    return DONE


def _add_probe(commands: Commands) -> None:
    command = add_command(
        commands,
        "probe",
        _probe,
        "Train a MAP head on a frozen encoder and score it on other records.",
    )
    command.add_argument("train", help="record folder with labels")
    command.add_argument("test", help="record folder with labels")
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
