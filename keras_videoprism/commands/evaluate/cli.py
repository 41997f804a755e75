"""The commands `evaluate`, `list-tasks` and `videoglue-report`."""

import argparse
import inspect
from pathlib import Path

from keras_videoprism.commands.cli import DONE, SOME_FAILED, Commands, add_command

# What the tasks of each kind need; a language model comes with a resampler.
VIDEO, TEXT, SPEECH = "video encoder", "text tower", "language model"
NEEDS = {
    "classify": VIDEO,
    "boxes": VIDEO,
    "segments": VIDEO,
    "retrieve": TEXT,
    "zero_shot": TEXT,
    "choose": TEXT,
    "caption": SPEECH,
    "answer": SPEECH,
}


def add_commands(commands: Commands) -> None:
    """The commands over the tasks of the paper."""
    _add_evaluate(commands)
    _add_report(commands)
    add_command(
        commands,
        "list-tasks",
        _list_tasks,
        "The tasks of `evaluate`, and the files that each reads.",
    )


def _add_evaluate(commands: Commands) -> None:
    command = add_command(
        commands,
        "evaluate",
        _evaluate,
        "Run a task of the paper by its protocol on your copy of the data, and print the paper's "
        "number beside the measured one.",
    )
    command.add_argument("task", help="see `list-tasks`")
    command.add_argument("--data", required=True, help="folder of the annotation files")
    command.add_argument("--preset", required=True, help="name or folder of a model")
    command.add_argument("--output", type=Path, required=True, help="folder for the results")
    # Left out, the default of the function holds.
    command.argument_default = argparse.SUPPRESS
    add = command.add_argument
    add("--method", help="frozen (default), mlap, adapter or finetune")
    add("--variant", help="of the classifier: paper (default), released or tensorflow")
    add("--videos", help="folder of the videos; default: `videos` in the data folder")
    add("--work", type=Path, help="folder for records and features, for several calls to share")
    add("--num-frames", type=int, help="default: the encoder's")
    add("--image-size", type=int, help="pixels; default: the encoder's")
    add("--views", nargs=2, type=int, metavar=("TIME", "SPACE"), help="default: the recipe's")
    add("--epochs", type=int, help="default: the recipe's")
    add("--batch-size", type=int, help="default: the recipe's")
    add("--learning-rates", nargs="+", type=float, help="of several, a held-back tenth chooses")
    add("--weight-decays", nargs="+", type=float)
    add("--through-encoder", action="store_true", help="augment; no cached features")
    add("--cache-dtype", help="float32 (default) or float16")
    add("--prompts", help="of zero-shot classes: kinetics (default) or video")
    add("--long-texts", help="truncate (default) or mean")
    add("--max-missing", type=float, help="share of clips that may be missing; default 0.05")
    add("--random-encoder", action="store_true", help="a baseline: random weights")
    add("--seed", type=int)
    _add_language(command)


def _add_language(command: argparse.ArgumentParser) -> None:
    add = command.add_argument_group("captions and answers").add_argument
    add("--language-model", help="KerasHub preset of a causal language model, or its folder")
    add("--resampler", help="file written by `train-captioner`, for this encoder and this model")
    add("--prompt", help="of captions: the text that they go on with; default: none")
    add("--shots", type=int, help="answered questions before each question; default 2")
    add("--choose-shots", action="store_true", help="draw them, not those that the paper prints")
    add(
        "--vocabulary",
        nargs="+",
        type=int,
        metavar="K",
        help="choose among the K most frequent answers of one token; of several K the validation "
        "questions choose. Default: the model says what it likes",
    )
    add("--wordnet", help="folder of WordNet, for WUPS; default: that of nltk")
    add("--beams", dest="num_beams", type=int, help="1 (default) takes the likeliest token")
    add("--max-tokens", type=int, help="of a caption or an answer; default 32")


def _evaluate(options: argparse.Namespace) -> int:
    from keras_videoprism.commands.evaluate.language import Language
    from keras_videoprism.commands.evaluate.protocol import Recipe
    from keras_videoprism.commands.evaluate.run import evaluate

    names = {*inspect.signature(evaluate).parameters, *Recipe._fields, *Language._fields}
    given = {name: value for name, value in vars(options).items() if name in names}
    if "views" in given:
        given["views"] = (*given["views"],)
    result = evaluate(**given)
    print(_summary(result))
    print(f"Page: {options.output / 'result.html'}")
    return SOME_FAILED if result["excluded"] else DONE


def _summary(result: dict) -> str:
    """The number, the paper's, chance, and what was left out."""
    from keras_videoprism.commands.result_page import unit

    metrics, headline = result["metrics"], result["headline"]
    lines = [f"{result['title']}, {result['method']}, {result['preset']}:"]
    lines += [f"  {name}: {100 * value:.1f}{unit(name)}" for name, value in metrics.items()]
    lines += [
        f"  {headline} of {row['model']}, {row['method']}: {row['value']}{unit(headline)} "
        f"({row['source']})"
        for row in result["paper"]
    ]
    lines += [
        f"  left out: {entry['count']}, {entry['reason']}, such as {entry['examples'][:3]}"
        for entry in result["excluded"]
    ]
    return "\n".join(lines)


def _add_report(commands: Commands) -> None:
    command = add_command(
        commands,
        "videoglue-report",
        _report,
        "What was measured beside what the paper prints, with the averages and the score of "
        "VideoGLUE where all tasks were measured, and the gains of Figure 2.",
    )
    command.add_argument("results", nargs="+", metavar="RESULT.json", help="written by `evaluate`")
    command.add_argument("--output", metavar="PAGE.html", type=Path, help="page to write")
    command.add_argument(
        "--model", default="VideoPrism-B", help="of Tables 13 to 16, to compare with"
    )


def _report(options: argparse.Namespace) -> int:
    from keras_videoprism.commands.videoglue import videoglue_report

    videoglue_report(options.results, options.output, model=options.model)
    if options.output:
        print(f"Page: {options.output}")
    return DONE


def _list_tasks(options: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.table import Table

    from keras_videoprism.commands.evaluate.tasks import TASKS

    table = Table("task", "data set", "metric", "needs", "files in the data folder")
    for name, task in TASKS.items():
        table.add_row(name, task.title, task.headline, NEEDS[task.kind], ", ".join(task.files))
    Console().print(table)
    return DONE
