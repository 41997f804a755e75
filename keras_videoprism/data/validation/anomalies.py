"""Where a corpus is not what it should be, by a schema and by other corpora."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from keras_videoprism.data.validation.statistics import Schema, Statistics, load_schema, summarize

# Their range is a decision, unlike that of lengths and times: a value outside is an anomaly.
BOUNDED = ("num_frames", "height", "width", "num_captions", "label")


class FeatureAnomaly(NamedTuple):
    """A feature that is not as the schema says: its name, TFDV's name of the anomaly, and why."""

    feature: str
    kind: str
    reason: str


class Distance(NamedTuple):
    """How far a feature's distribution is from that of another corpus.

    `comparison` is drift (from an earlier corpus) or skew (from the one that is served);
    `measure` is L_INFTY, the largest difference of two frequencies, or JENSEN_SHANNON_DIVERGENCE
    in bits. A value above the threshold is an anomaly too.
    """

    feature: str
    comparison: str
    measure: str
    value: float
    threshold: float


def infer_schema(statistics: Statistics) -> Schema:
    """A schema that a corpus fulfils, to be read, edited and held against later ones.

    It says what the package's own schema says, and of this corpus which features no clip lacks,
    the sources, and the ranges of frames, sizes, captions and labels.
    """
    import tensorflow_data_validation as tfdv
    from tensorflow_metadata.proto.v0 import schema_pb2

    inferred = tfdv.infer_schema(statistics, infer_feature_shape=False)
    found = {feature.name: feature for feature in inferred.feature}
    summaries = summarize(statistics)
    sources = [domain for domain in inferred.string_domain if domain.name == "source"]
    schema = schema_pb2.Schema(string_domain=sources)
    for general in load_schema().feature:
        feature = schema.feature.add()
        feature.CopyFrom(found[general.name])
        feature.MergeFrom(general)
        values = [value for value, _ in summaries[general.name]["values"]]
        if general.name in BOUNDED and values:
            feature.int_domain.min, feature.int_domain.max = min(values), max(values)
    return schema


def find_anomalies(
    statistics: Statistics,
    schema: Schema | None = None,
    *,
    previous: Statistics | None = None,
    serving: Statistics | None = None,
) -> tuple[list[FeatureAnomaly], list[Distance]]:
    """Hold the statistics of a corpus against a schema and against those of other corpora.

    Args:
        statistics: from `generate_statistics`.
        schema: from `infer_schema` or `load_schema`; None for what holds for every corpus. Its
            comparators have the thresholds of drift and skew.
        previous: an earlier corpus, for drift.
        serving: a corpus like the one that the model will see, for skew.

    Returns:
        The anomalies, drift and skew included, and all distances that were measured.
    """
    import tensorflow_data_validation as tfdv

    found = tfdv.validate_statistics(
        statistics,
        schema or load_schema(),
        previous_statistics=previous,
        serving_statistics=serving,
    )
    return sorted(_anomalies(found)), sorted(_distances(found))


def _anomalies(found: Any) -> Iterator[FeatureAnomaly]:
    infos = [*found.anomaly_info.values(), found.dataset_anomaly_info]
    for info in infos:
        for reason in info.reason:
            kind = type(info).Type.Name(reason.type)
            yield FeatureAnomaly(".".join(info.path.step), kind, reason.description)


def _distances(found: Any) -> Iterator[Distance]:
    for info in found.drift_skew_info:
        for comparison in ("drift", "skew"):
            for measured in getattr(info, f"{comparison}_measurements"):
                measure = type(measured).Type.Name(measured.type)
                name = ".".join(info.path.step)
                yield Distance(name, comparison, measure, measured.value, measured.threshold)
