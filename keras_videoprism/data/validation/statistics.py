"""Statistics of a record folder by TensorFlow Data Validation (TFDV), and as plain numbers.

A Beam pipeline turns shards into rows of small features and counts these, on this machine or on a
cluster. `make records-env` makes an environment that has TFDV.
"""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keras_videoprism.data.atomic import atomic_path
from keras_videoprism.data.index import open_records
from keras_videoprism.data.validation.clip_features import feature_batches

Statistics = Any  # tensorflow_metadata's DatasetFeatureStatisticsList
Schema = Any  # tensorflow_metadata's Schema

SCHEMA_FILE = Path(__file__).with_name("schema.pbtxt")
LOCAL = ("--runner=FnApiRunner",)  # Beam's default may want to download another one
MAX_VALUES = 10_000  # different ones of a feature; further ones are not counted


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


def save_schema(schema: Schema, path: str | os.PathLike[str]) -> None:
    """Write a schema as text, to a folder that is made where it is missing."""
    from google.protobuf import text_format

    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        temporary.write_text(text_format.MessageToString(schema), encoding="utf-8")


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
    # The schema says that values are counted one by one.
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
    """Statistics as plain numbers.

    Returns:
        By feature: `clips`, the number of those that have it; `missing`, of those that do not;
        `values`, sorted pairs of a value and how often it occurs (the most frequent 10,000).
    """
    (dataset,) = statistics.datasets
    return {
        feature.path.step[0]: _summary(feature, dataset.num_examples)
        for feature in dataset.features
    }


def _summary(feature: Any, num_clips: int) -> dict[str, Any]:
    stats = feature.string_stats
    clips = stats.common_stats.num_non_missing
    value = int if feature.type == feature.INT else str
    counts = [(value(of.label), int(of.sample_count)) for of in stats.rank_histogram.buckets]
    return {"clips": clips, "missing": num_clips - clips, "values": sorted(counts)}
