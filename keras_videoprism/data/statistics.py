"""Statistics of a record folder by TensorFlow Data Validation (TFDV), and the same as plain numbers.

A Beam pipeline turns shards into rows of small features and counts these, on this machine or on a
cluster. `make records-env` makes an environment that has TFDV.
"""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keras_videoprism.data.clip_features import feature_batches
from keras_videoprism.data.index import open_records

Statistics = Any  # tensorflow_metadata's DatasetFeatureStatisticsList
Schema = Any  # tensorflow_metadata's Schema

SCHEMA_FILE = Path(__file__).with_name("schema.pbtxt")
LOCAL = ("--runner=FnApiRunner",)  # Beam's default may want to download another one
MAX_VALUES = 10_000  # classes and sources that are counted one by one


def load_schema(path: str | os.PathLike[str] = SCHEMA_FILE) -> Schema:
    """Read what TFDV expects of a corpus.

    Args:
        path: a `Schema` of tensorflow_metadata as text; the default holds for every corpus.

    Raises:
        ValueError: not such a file.
    """
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2

    try:
        return text_format.Parse(Path(path).read_text(encoding="utf-8"), schema_pb2.Schema())
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not a schema of TensorFlow Data Validation: {error}") from error


def generate_statistics(
    folder: str | os.PathLike[str],
    *,
    output: str | os.PathLike[str] | None = None,
    beam_options: Sequence[str] = LOCAL,
) -> Statistics:
    """Count the features of all clips of a record folder (see `clip_features`).

    Args:
        folder: a record folder.
        output: file to write the statistics to, which the workers of a cluster must see too;
            None for a temporary one.
        beam_options: Beam's options, as on its command line.

    Returns:
        Statistics that `find_anomalies` and TFDV's own functions take.

    Raises:
        ValueError: the folder itself is wrong (see `open_records`).
    """
    import apache_beam as beam
    import tensorflow_data_validation as tfdv
    from apache_beam.options.pipeline_options import PipelineOptions

    shards = open_records(folder).files
    # The schema says which integers are names: these are counted, not averaged.
    options = tfdv.StatsOptions(schema=load_schema(), num_rank_histogram_buckets=MAX_VALUES)
    with tempfile.TemporaryDirectory() as temporary:
        path = os.fspath(output or Path(temporary) / "statistics.pb")
        with beam.Pipeline(options=PipelineOptions(list(beam_options))) as pipeline:
            (
                pipeline
                | "shards" >> beam.Create(shards)
                | "spread" >> beam.Reshuffle()
                | "features" >> beam.FlatMap(feature_batches)
                | "count" >> tfdv.GenerateStatistics(options)
                | "write" >> tfdv.WriteStatisticsToBinaryFile(path)
            )
        return tfdv.load_stats_binary(path)


def summarize(statistics: Statistics) -> dict[str, dict[str, Any]]:
    """Statistics as plain numbers, for a report.

    Returns:
        By feature: `clips` that have it and `missing`, the number of those that do not; for
        numbers `min`, `mean`, `median`, `max` and `histogram`, a list of [low, high, count]; for
        names `unique` and `top`, a list of [name, count].
    """
    (dataset,) = statistics.datasets
    return {
        feature.path.step[0]: _summary(feature, dataset.num_examples)
        for feature in dataset.features
    }


def _summary(feature: Any, num_clips: int) -> dict[str, Any]:
    kind = feature.WhichOneof("stats")
    stats = getattr(feature, kind)
    clips = stats.common_stats.num_non_missing
    summary = {"clips": clips, "missing": num_clips - clips}
    if not clips:
        return summary
    if kind == "string_stats":
        ranks = stats.rank_histogram.buckets
        top = [[bucket.label, int(bucket.sample_count)] for bucket in ranks]
        return summary | {"unique": stats.unique, "top": top}
    (histogram,) = [h for h in stats.histograms if h.type == h.STANDARD]
    bars = [[b.low_value, b.high_value, round(b.sample_count)] for b in histogram.buckets]
    numbers = {name: getattr(stats, name) for name in ("min", "mean", "median", "max")}
    return summary | numbers | {"histogram": bars}
