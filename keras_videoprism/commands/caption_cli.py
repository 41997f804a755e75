"""The commands that describe videos: `train-captioner`, `caption` and `ask`."""

import argparse
import inspect
from pathlib import Path

from keras_videoprism.commands.cli import (
    DONE,
    Commands,
    add_command,
    add_run_options,
    list_failed,
)


def add_commands(commands: Commands) -> None:
    """`train-captioner`, `caption` and `ask`."""
    _add_train_captioner(commands)
    caption = add_command(
        commands, "caption", _caption, "A caption of each file by a frozen language model."
    )
    caption.add_argument("files", nargs="+", metavar="FILE", help="videos or images")
    caption.add_argument("--prompt", default="", help="text that the captions go on with")
    caption.add_argument("--beams", type=int, default=1, help="1 takes the likeliest token")
    ask = add_command(commands, "ask", _ask, "The answer to a question about a file.")
    ask.add_argument("file", metavar="FILE", help="a video or image")
    ask.add_argument("question", help="such as 'what is the dog doing?'")
    ask.add_argument(
        "--candidates", nargs="+", default=[], metavar="ANSWER", help="choose one of these"
    )
    for command in (caption, ask):
        command.add_argument("--preset", required=True, help="of the video encoder")
        command.add_argument("--language-model", required=True, help="KerasHub preset or folder")
        command.add_argument(
            "--resampler", required=True, type=Path, metavar="R.keras", help="trained for both"
        )
        command.add_argument("--max-tokens", type=int, default=32, help="of an answer")


def _add_train_captioner(commands: Commands) -> None:
    command = add_command(
        commands,
        "train-captioner",
        _train_captioner,
        "Train the resampler between a frozen encoder and a frozen language model (Appendix G).",
    )
    command.add_argument("records", nargs="+", help="record folders with captions")
    command.add_argument("--preset", required=True, help="of the video encoder")
    command.add_argument("--language-model", required=True, help="KerasHub preset or folder")
    command.add_argument("--output", type=Path, required=True, help="folder to make")
    command.add_argument("--steps", type=int, required=True)
    command.add_argument("--batch-size", type=int, default=256)
    command.add_argument(
        "--frames",
        nargs="+",
        type=int,
        help="frames of a clip, for all or for each folder; 1 for images; default: native number",
    )
    command.add_argument("--weights", nargs="+", type=float, help="how often each folder is drawn")
    command.add_argument("--image-size", type=int, help="pixels; default: native size")
    command.add_argument("--text-length", type=int, default=64, help="tokens of prompt and answer")
    command.add_argument("--num-latents", type=int, default=256, help="tokens of a video")
    command.add_argument(
        "--layers", dest="num_layers", type=int, default=1, help="of the resampler"
    )
    command.add_argument("--learning-rate", type=float, default=5e-4, help="peak")
    command.add_argument("--warmup-steps", type=int, help="default: a twentieth of the steps")
    add_run_options(command)


def _train_captioner(options: argparse.Namespace) -> int:
    from keras_videoprism.commands.train_captioner import train_captioner

    names = inspect.signature(train_captioner).parameters
    train_captioner(**{name: vars(options)[name] for name in names})
    return DONE


def _caption(options: argparse.Namespace) -> int:
    from keras_videoprism.commands.caption import caption_files, load_captioner
    from keras_videoprism.commands.progress import progress_bar

    captioner = load_captioner(options.preset, options.language_model, options.resampler)
    with progress_bar("caption") as progress:
        found, failed = caption_files(
            captioner, options.files, options.prompt, options.beams, options.max_tokens, progress
        )
    for file, text in found:
        print(file, text, sep="\t")
    return list_failed(failed)


def _ask(options: argparse.Namespace) -> int:
    from keras_videoprism.commands.caption import ask, load_captioner
    from keras_videoprism.data.video import VideoError

    captioner = load_captioner(options.preset, options.language_model, options.resampler)
    try:
        answer = ask(
            captioner,
            options.file,
            options.question,
            candidates=options.candidates,
            max_tokens=options.max_tokens,
        )
    except VideoError as error:
        return list_failed([(options.file, error.reason(options.file))])
    print(answer)
    return DONE
