"""The commands `evaluate`, `list-tasks` and `videoglue-report`."""

import argparse
import inspect
from pathlib import Path

from keras_videoprism.commands.cli import DONE, SOME_FAILED, Commands, add_command


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


def _evaluate(options: argparse.Namespace) -> int:
    from keras_videoprism.commands.evaluate.run import evaluate
    from keras_videoprism.commands.evaluate.tasks import Recipe

    names = {*inspect.signature(evaluate).parameters, *Recipe._fields}
    given = {name: value for name, value in vars(options).items() if name in names}
    if "views" in given:
        given["views"] = (*given["views"],)
    result = evaluate(**given)
    print(_summary(result))
    print(f"Page: {options.output / 'result.html'}")
    return SOME_FAILED if result["excluded"] else DONE


def _summary(result: dict) -> str:
    """The number, the paper's, chance, and what was left out."""
    metrics, headline = result["metrics"], result["headline"]
    lines = [f"{result['title']}, {result['method']}, {result['preset']}:"]
    lines += [f"  {name}: {100 * value:.1f} %" for name, value in metrics.items()]
    lines += [
        f"  {headline} of {row['model']}, {row['method']}: {row['value']} % ({row['source']})"
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

    table = Table("task", "data set", "metric", "files in the data folder")
    for name, task in TASKS.items():
        table.add_row(name, task.title, task.headline, ", ".join(task.files))
    Console().print(table)
    return DONE
