"""The commands that describe videos: `caption` and `ask`."""

import argparse
from pathlib import Path

from keras_videoprism.commands.cli import DONE, Commands, add_command, list_failed


def add_commands(commands: Commands) -> None:
    """`caption` and `ask`."""
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
