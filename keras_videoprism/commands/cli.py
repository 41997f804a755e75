"""What the commands of the command line share, and those that use a model.

Heavy modules are imported by the commands that need them, so that `--help` answers at once.
"""

import argparse
import inspect
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

Commands = Any  # what add_subparsers returns; argparse has no public name for it
DONE, SOME_FAILED, WRONG_CALL = 0, 1, 2


def add_command(commands: Commands, name: str, run: Callable, text: str) -> argparse.ArgumentParser:
    """A command that calls `run` with its options."""
    command = commands.add_parser(
        name,
        help=text,
        description=text,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    command.set_defaults(run=run)
    return command


def add_run_options(command: argparse.ArgumentParser) -> None:
    """Of a training run that can be killed and goes on."""
    command.add_argument("--seed", type=int, default=0)
    command.add_argument(
        "--max-bad-records", type=int, default=100, help="damaged ones to replace in each folder"
    )
    command.add_argument("--save-every", type=int, default=1000, help="steps between checkpoints")
    command.add_argument("--keep", type=int, default=3, help="checkpoints that stay")
    command.add_argument(
        "--force", action="store_true", help="go on with other arguments, such as more steps"
    )


def list_failed(failed: list[tuple[str, str]]) -> int:
    """Print what failed; the exit status of a command over many inputs."""
    if not failed:
        return DONE
    print(f"{len(failed)} failed:", file=sys.stderr)
    for file, reason in failed:
        print(f"  {file}: {reason}", file=sys.stderr)
    return SOME_FAILED


def add_commands(commands: Commands) -> None:
    """The commands that use, convert and publish a model, or plan its training."""
    for add in (_add_embed, _add_classify, _add_index, _add_search, _add_convert, _add_publish):
        add(commands)
    _add_plan(commands)


def _add_embed(commands: Commands) -> None:
    command = add_command(
        commands,
        "embed",
        _embed,
        "One embedding per video or image file, or per window of it, as arrays `embeddings` "
        "[n, D], `files` [n] and `times` [n, 2] in seconds.",
    )
    command.add_argument("files", nargs="+", metavar="FILE", help="here or remote")
    command.add_argument("--preset", required=True, help="name or folder of a model")
    command.add_argument("--output", required=True, metavar="E.npz", type=Path)
    command.add_argument("--window", type=float, help="seconds; default: each file as one clip")
    _add_clip_options(command)


def _add_clip_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--stride", type=float, help="seconds; default: the window")
    command.add_argument("--num-frames", type=int, help="default: the model's native number")
    command.add_argument("--image-size", type=int, help="pixels; default: native size")
    command.add_argument("--sampling", default="uniform", help="uniform or endpoints")
    command.add_argument("--resize-method", default="lanczos3", help="filter of the resizing")
    command.add_argument("--no-crop", dest="crop", action="store_false", help="squeeze instead")


def _clip_options(options: argparse.Namespace) -> dict[str, Any]:
    size = options.image_size
    names = ("window", "stride", "num_frames", "sampling", "resize_method", "crop")
    arguments = {name: getattr(options, name) for name in names}
    return {**arguments, "image_size": (size, size) if size else None}


def _embed(options: argparse.Namespace) -> int:
    from keras_videoprism import presets
    from keras_videoprism.commands.embed import embed
    from keras_videoprism.commands.progress import progress_bar

    model = presets.from_preset(options.preset)
    with progress_bar("embed") as progress:
        result = embed(model, options.files, progress=progress, **_clip_options(options))
    result.save(options.output)
    print(f"{len(result.files)} embeddings written to {options.output}.")
    return list_failed(result.failed)


def _add_classify(commands: Commands) -> None:
    command = add_command(
        commands,
        "classify",
        _classify,
        "The most likely classes of each file: by prompts of their names (a two-tower model), or "
        "by a trained classifier, whose class names are given in the order of its labels.",
    )
    command.add_argument("files", nargs="+", metavar="FILE", help="here or remote")
    command.add_argument("--preset", required=True, help="name or folder of a model")
    command.add_argument("--classes", nargs="+", metavar="NAME", help="names of the classes")
    command.add_argument("--classes-file", type=Path, help="a text file, one name a line")
    command.add_argument("--templates", default="kinetics", help="prompts: kinetics or video")
    command.add_argument("--top", type=int, default=3, help="classes to show for each file")


def _classify(options: argparse.Namespace) -> int:
    from keras_videoprism import presets
    from keras_videoprism.commands.classify import classify_files
    from keras_videoprism.commands.progress import progress_bar

    names = options.classes
    if options.classes_file:
        lines = options.classes_file.read_text(encoding="utf-8").splitlines()
        names = [line.strip() for line in lines if line.strip()]
    if not names:
        raise ValueError("give the class names by --classes or --classes-file.")
    model = presets.from_preset(options.preset)
    with progress_bar("classify") as progress:
        found, failed = classify_files(model, options.files, names, options.templates, progress)
    for file, probabilities in found:
        best = (-probabilities).argsort()[: options.top]
        print(file, *(f"{names[i]} {probabilities[i]:.3f}" for i in best), sep="\t")
    return list_failed(failed)


def _add_index(commands: Commands) -> None:
    command = add_command(
        commands, "index", _index, "Embed the windows of all videos below a folder, for `search`."
    )
    command.add_argument("folder", help="of videos, here or remote")
    command.add_argument("--preset", required=True, help="name or folder of a two-tower model")
    command.add_argument(
        "--output", required=True, metavar="INDEX.npz", type=Path, help="made, or added to"
    )
    command.add_argument("--window", type=float, default=5.0, help="seconds")
    _add_clip_options(command)


def _index(options: argparse.Namespace) -> int:
    from keras_videoprism.commands.progress import progress_bar
    from keras_videoprism.commands.search import build_index
    from keras_videoprism.data.manifest import list_videos
    from keras_videoprism.models import VideoPrismLvT

    files = list_videos(options.folder)
    model = VideoPrismLvT.from_preset(options.preset)
    with progress_bar("index") as progress:
        index = build_index(
            model, files, options.output, progress=progress, **_clip_options(options)
        )
    print(f"{options.output} has {len(index.files)} windows of {len(set(index.files))} files.")
    return list_failed(index.failed)


def _add_search(commands: Commands) -> None:
    command = add_command(
        commands, "search", _search, "The windows of an index that are nearest to a sentence."
    )
    command.add_argument("index", metavar="INDEX.npz", type=Path)
    command.add_argument("text", nargs="?", help="a sentence")
    command.add_argument("--video", type=Path, help="a video or image file instead")
    command.add_argument("--preset", required=True, help="the model that made the index")
    command.add_argument("--top", type=int, default=5, help="windows to show")


def _search(options: argparse.Namespace) -> int:
    from keras_videoprism.commands.search import load_index, search
    from keras_videoprism.models import VideoPrismLvT

    if (options.text is None) == (options.video is None):
        raise ValueError("give either a sentence or --video.")
    index = load_index(options.index)
    model = VideoPrismLvT.from_preset(options.preset)
    for hit in search(model, index, options.video or options.text, options.top):
        print(f"{hit.score:.3f}\t{hit.start:.1f}-{hit.end:.1f} s\t{hit.file}")
    return DONE


def _add_convert(commands: Commands) -> None:
    command = add_command(
        commands,
        "convert",
        _convert,
        "Read a checkpoint of any known library and write it for another. Outputs are compared.",
    )
    command.add_argument("source", help="name, address, folder or official npz file")
    command.add_argument("output", metavar="DIR", type=Path, help="folder to make")
    command.add_argument(
        "--to", default="keras_videoprism", help="keras_videoprism, transformers or keras_hub"
    )


def _convert(options: argparse.Namespace) -> int:
    from keras_videoprism.commands.convert import convert

    difference = convert(options.source, options.output, options.to)
    print(f"{options.output} written; largest difference of outputs {difference:.1e}.")
    return DONE


def _add_publish(commands: Commands) -> None:
    command = add_command(
        commands,
        "publish",
        _publish,
        "Check a preset folder, write its model card and upload it to Kaggle or Hugging Face.",
    )
    command.add_argument("folder", type=Path)
    command.add_argument("address", help="kaggle://owner/model/keras/variant or hf://owner/model")
    command.add_argument("--licence", default="", help="SPDX identifier, such as apache-2.0")
    command.add_argument("--training-data", default="", help="a sentence: trained on what")
    command.add_argument("--metrics", type=Path, help="JSON file: name -> number")
    command.add_argument("--dry-run", action="store_true", help="do all but the upload")


def _publish(options: argparse.Namespace) -> int:
    from keras_videoprism.commands.publish import publish

    metrics = json.loads(options.metrics.read_text(encoding="utf-8")) if options.metrics else {}
    card = publish(
        options.folder,
        options.address,
        options.licence,
        options.training_data,
        metrics,
        options.dry_run,
    )
    print(card if options.dry_run else f"{options.folder} is uploaded to {options.address}.")
    return DONE


def _add_plan(commands: Commands) -> None:
    command = add_command(
        commands,
        "plan",
        _plan,
        "Memory, operations, traffic and least time of a training step on devices that are not "
        "here. The step is compiled for simulated devices, without making the model (JAX).",
    )
    command.add_argument("--stage", type=int, choices=(1, 2), required=True)
    command.add_argument("--preset", required=True, help="size by name, e.g. videoprism_g")
    command.add_argument("--batch", type=int, required=True, help="clips of all devices together")
    command.add_argument("--devices", type=int, default=1, help="how many to simulate")
    command.add_argument("--mesh", help="e.g. data=64,model=4; default: all for data")
    command.add_argument(
        "--shard-over-data", action="store_true", help="split variables over data too (FSDP)"
    )
    command.add_argument("--micro-batches", type=int, default=1, help="parts of a batch")
    command.add_argument("--remat", action="store_true", help="compute activations again")
    command.add_argument(
        "--dtype", default="mixed_bfloat16", help="Keras policy; mixed: variables in float32"
    )
    command.add_argument("--frames", type=int, default=8, help="frames of a clip")
    command.add_argument("--image-size", type=int, help="pixels; default: native size")
    command.add_argument("--output", metavar="PLAN.json", type=Path, help="write all of it here")


def _plan(options: argparse.Namespace) -> int:
    os.environ.setdefault("KERAS_BACKEND", "jax")
    from rich.console import Console

    from keras_videoprism.commands.plan import parse_mesh, plan
    from keras_videoprism.commands.plan_tables import plan_tables

    arguments = vars(options)
    names = [name for name in inspect.signature(plan).parameters if name != "mesh"]
    mesh = parse_mesh(options.mesh) if options.mesh else None
    result = plan(**{name: arguments[name] for name in names}, mesh=mesh)
    Console().print(plan_tables(result))
    return DONE
