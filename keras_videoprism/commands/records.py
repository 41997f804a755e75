"""The commands that write and check records; they need neither keras nor a model."""

import argparse
import shlex
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from keras_videoprism.commands.cli import SOME_FAILED, Commands, add_command, list_failed

NOT_CHECKED = (
    "Not checked, since TensorFlow Data Validation is not installed here: the distributions of "
    "the features, the schema, drift and skew. `make records-env` makes an environment that has "
    "it; where glibc is 2.39 or newer, so does `pip install keras-videoprism[validation]`."
)


def add_commands(commands: Commands) -> None:
    """The commands over records."""
    _add_write_records(commands)
    _add_validate_records(commands)


def _add_validate_records(commands: Commands) -> None:
    command = add_command(
        commands,
        "validate-records",
        _validate_records,
        "Check every record of a folder: checksums, schema, images, times, texts, labels, ids. "
        "With TensorFlow Data Validation also the corpus as a whole, against a schema and against "
        "other corpora.",
    )
    command.add_argument("folder", help="record folder")
    command.add_argument("--num-classes", type=int, help="labels must lie below it")
    command.add_argument("--require-caption", action="store_true", help="list clips without one")
    command.add_argument(
        "--schema", type=Path, metavar="FILE", help="as written to --report of a good corpus"
    )
    command.add_argument(
        "--against", metavar="FOLDER", help="records of an earlier corpus, for drift"
    )
    command.add_argument(
        "--serving", metavar="FOLDER", help="records as the model will see, for skew"
    )
    command.add_argument(
        "--report",
        type=Path,
        metavar="DIR",
        help="folder for report.html, report.json and the schema of this corpus",
    )


def _validate_records(options: argparse.Namespace) -> int:
    from keras_videoprism.data.validation.report import write_report

    has_tfdv = find_spec("tensorflow_data_validation") is not None
    features = _check_features(options) if has_tfdv else {}
    report = _check_records(options) | features
    if options.report:
        write_report(report, options.report)
    status = _print_report(report)
    if has_tfdv:
        return status
    print(NOT_CHECKED, file=sys.stderr)
    return SOME_FAILED if options.schema or options.against or options.serving else status


def _check_records(options: argparse.Namespace) -> dict[str, Any]:
    """What is wrong with single records; keys as in `write_report`."""
    from keras_videoprism.commands.progress import progress_bar
    from keras_videoprism.data.validation.validate import validate_records

    with progress_bar("validate records") as progress:
        found = validate_records(
            options.folder, options.num_classes, options.require_caption, progress
        )
    return {
        "folder": str(options.folder),
        "num_records": found.num_records,
        "record_anomalies": [anomaly._asdict() for anomaly in found.anomalies],
        "statistics": found.statistics,
    }


def _check_features(options: argparse.Namespace) -> dict[str, Any]:
    """What is wrong with the corpus as a whole; keys as in `write_report`."""
    from keras_videoprism.data.validation.anomalies import find_anomalies, infer_schema
    from keras_videoprism.data.validation.statistics import (
        SCHEMA_FILE,
        generate_statistics,
        load_schema,
        save_schema,
        summarize,
    )

    schema = load_schema(options.schema or SCHEMA_FILE)
    statistics = generate_statistics(options.folder)
    others = {
        name: generate_statistics(folder)
        for name, folder in (("previous", options.against), ("serving", options.serving))
        if folder
    }
    anomalies, distances = find_anomalies(statistics, schema, **others)
    if options.report:
        save_schema(infer_schema(statistics), options.report / SCHEMA_FILE.name)
    return {
        "features": summarize(statistics),
        "others": {name: summarize(other) for name, other in others.items()},
        "feature_anomalies": [anomaly._asdict() for anomaly in anomalies],
        "distances": [distance._asdict() for distance in distances],
    }


def _print_report(report: dict[str, Any]) -> int:
    """Numbers to stdout, what is wrong to stderr; the exit status."""
    print(f"{report['num_records']} records, {len(report['record_anomalies'])} anomalies.")
    for name, values in report["statistics"].items():
        print(name, *(f"{key} {value:.4g}" for key, value in values.items()), sep="\t")
    if "features" in report:
        print(f"{len(report['features'])} features, {len(report['feature_anomalies'])} anomalies.")
    for d in report.get("distances", []):
        measured = f"{d['measure']} {d['value']:.4f}"
        print(d["comparison"], d["feature"], measured, f"limit {d['threshold']:g}", sep="\t")
    failed = [
        (f"{a['shard']} record {a['record']} ({a['file']})", a["reason"])
        for a in report["record_anomalies"]
    ]
    failed += [
        (f"feature {a['feature']}", a["reason"]) for a in report.get("feature_anomalies", [])
    ]
    return list_failed(failed)


def _add_write_records(commands: Commands) -> None:
    command = add_command(
        commands,
        "write-records",
        _write_records,
        "Decode videos and images to TFRecords. IN is a folder (its captions.csv is used where "
        "there is one) or a CSV or JSONL table with path, and perhaps caption, label, start and "
        "end in seconds.",
    )
    command.add_argument("input", metavar="IN", help="folder or table, here or remote")
    command.add_argument("output", metavar="OUT", help="record folder to make")
    command.add_argument("--root", help="folder that all paths of a table lie in")
    command.add_argument("--shards", type=int, default=8, help="number of record files")
    command.add_argument("--fps", type=float, help="frames kept per second of video")
    command.add_argument("--num-frames", type=int, help="frames kept per clip, spread uniformly")
    command.add_argument("--short-side", type=int, help="length of the short side in pixels")
    command.add_argument("--require-caption", action="store_true", help="skip clips without one")
    command.add_argument("--source", default="clips", help="name of the data set")
    command.add_argument(
        "--beam",
        metavar="OPTIONS",
        help="write by Apache Beam with its own options in one string, such as "
        '"--runner=FlinkRunner --flink_master=host:8081"; "" takes the cores of this machine',
    )


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
            beam_options=None if options.beam is None else shlex.split(options.beam),
            progress=progress,
        )
    print(f"{report.written} clips written to {options.output}.")
    return list_failed(report.skipped)
