"""What was found in a record folder, as JSON for programs and as one HTML page for people.

The page needs nothing else: no script, no network. All text of records is escaped.
"""

import json
import os
from collections import Counter
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from keras_videoprism.data.atomic import atomic_path

MAX_ROWS = 1000  # of the table of records
MAX_BARS = 24
BAR, HEIGHT = 6, 36  # pixels
COLOURS = ("blue", "orange", "green")  # of the corpora

Values = Sequence[tuple[Any, int]]  # pairs of a value and how often it occurs
Bar = tuple[str, list[float]]  # name, and share of each corpus

STYLE = """
body { font: 15px/1.4 sans-serif; margin: 2em auto; max-width: 70em; color: #222 }
table { border-collapse: collapse; margin-bottom: 1em }
th, td { text-align: left; vertical-align: bottom; padding: .2em .8em }
tr { border-bottom: 1px solid #ddd }
.bad { color: #b00020; font-weight: bold }
"""


def write_report(report: dict[str, Any], folder: str | os.PathLike[str]) -> None:
    """Write `report.json` and `report.html`.

    Args:
        report: `folder`; `num_records`; `record_anomalies`, a list of dicts with the fields of
            `Anomaly`. With TensorFlow Data Validation also `features`, from `summarize`; `others`,
            such features of other corpora by name; `feature_anomalies` and `distances`, lists of
            dicts with the fields of `FeatureAnomaly` and `Distance`.
        folder: made where it is missing; older reports in it are replaced.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    files = {"report.json": json.dumps(report, indent=1), "report.html": html_page(report)}
    for name, content in files.items():
        with atomic_path(folder / name) as temporary:
            temporary.write_text(content + "\n", encoding="utf-8")


def html_page(report: dict[str, Any]) -> str:
    """The page of a report (see `write_report`)."""
    title = f"Records of {escape(str(report['folder']))}"
    sections = [_records(report)]
    if "features" in report:
        sections += [_feature_anomalies(report), _distances(report), _features(report)]
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title><style>{STYLE}</style></head>
<body><h1>{title}</h1>
{"".join(sections)}
</body></html>"""


def _records(report: dict[str, Any]) -> str:
    anomalies = report["record_anomalies"]
    rows = [[a["shard"], a["record"], a["file"], a["reason"]] for a in anomalies[:MAX_ROWS]]
    text = f"{report['num_records']} records were read; {len(anomalies)} anomalies."
    return _section("Records", text, ("shard", "record", "file", "what is wrong"), rows)


def _feature_anomalies(report: dict[str, Any]) -> str:
    rows = [[a["feature"], a["kind"], a["reason"]] for a in report["feature_anomalies"]]
    text = f"{len(rows)} anomalies of the corpus as a whole."
    return _section("Features against the schema", text, ("feature", "kind", "reason"), rows)


def _distances(report: dict[str, Any]) -> str:
    rows = [
        [d["comparison"], d["feature"], d["measure"], f"{d['value']:.3f}", d["threshold"]]
        for d in report["distances"]
    ]
    high = [d["value"] > d["threshold"] for d in report["distances"]]
    text = f"{sum(high)} of {len(high)} distances from other corpora are above their threshold."
    columns = ("comparison", "feature", "measure", "distance", "threshold")
    return _section("Drift and skew", text, columns, rows, high)


def _features(report: dict[str, Any]) -> str:
    corpora = {"this corpus": report["features"], **report["others"]}
    rows = []
    for name, feature in report["features"].items():
        svg = _svg(histogram([corpus[name]["values"] for corpus in corpora.values()]))
        numbers = [feature["clips"], feature["missing"], *_range(feature["values"])]
        cells = "".join(f"<td>{escape(str(cell))}</td>" for cell in (name, *numbers))
        rows.append(f"<tr>{cells}<td>{svg}</td></tr>")
    head = _head(("feature", "clips", "missing", "lowest", "mean", "highest", "shares"))
    legend = "; ".join(f"{colour}: {name}" for colour, name in zip(COLOURS, corpora, strict=False))
    return f"<h2>Features</h2><p>{legend}.</p><table>{head}{''.join(rows)}</table>"


def _range(values: Values) -> list[str]:
    """Lowest value, mean and highest value of numbers."""
    if not values or isinstance(values[0][0], str):
        return ["", "", ""]
    mean = sum(value * count for value, count in values) / sum(count for _, count in values)
    return [str(values[0][0]), f"{mean:.4g}", str(values[-1][0])]


def histogram(corpora: Sequence[Values]) -> list[Bar]:
    """At most 24 bars: equal ranges of numbers, or the most frequent names.

    Args:
        corpora: the sorted values of one feature in each corpus.

    Returns:
        The name of each bar, and its share of all values in each corpus.
    """
    totals = [sum(count for _, count in values) or 1 for values in corpora]
    bars = []
    for name, low, high in _ranges(corpora):
        within = [[count for value, count in of if low <= value <= high] for of in corpora]
        shares = [sum(counts) / total for counts, total in zip(within, totals, strict=True)]
        bars.append((name, shares))
    return bars


def _ranges(corpora: Sequence[Values]) -> list[tuple[str, Any, Any]]:
    """Name, first and last value of each bar."""
    counts: Counter[Any] = Counter()
    for values in corpora:
        counts.update(dict(values))
    if not counts or isinstance(next(iter(counts)), str):
        return [(name, name, name) for name, _ in counts.most_common(MAX_BARS)]
    low, high = min(counts), max(counts)
    width = (high - low) // MAX_BARS + 1
    starts = range(low, high + 1, width)
    if width == 1:
        return [(str(start), start, start) for start in starts]
    return [(f"{start} to {start + width - 1}", start, start + width - 1) for start in starts]


def _svg(bars: list[Bar]) -> str:
    """Bars in the ratio of their shares, the highest full; pointing at one shows its share."""
    highest = max((share for _, shares in bars for share in shares), default=0.0) or 1.0
    rects, left = [], 0
    for name, shares in bars:
        for colour, share in zip(COLOURS, shares, strict=False):
            tall = share / highest * HEIGHT
            rects.append(
                f'<rect fill="{colour}" x="{left}" y="{HEIGHT - tall:.2f}" '
                f'width="{BAR}" height="{tall:.2f}">'
                f"<title>{escape(name)}: {share:.1%}</title></rect>"
            )
            left += BAR
        left += 2
    return f'<svg width="{left}" height="{HEIGHT}">{"".join(rects)}</svg>'


def _section(
    title: str,
    text: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    bad: Sequence[bool] = (),
) -> str:
    """A heading, a sentence and, where there are rows, a table."""
    flags = bad or [False] * len(rows)
    body = []
    for row, flag in zip(rows, flags, strict=True):
        cells = "".join(f"<td>{escape(str(cell))}</td>" for cell in row)
        body.append(f'<tr class="bad">{cells}</tr>' if flag else f"<tr>{cells}</tr>")
    table = f"<table>{_head(columns)}{''.join(body)}</table>" if rows else ""
    return f"<h2>{title}</h2><p>{text}</p>{table}"


def _head(columns: Sequence[str]) -> str:
    return f"<tr>{''.join(f'<th>{column}</th>' for column in columns)}</tr>"
