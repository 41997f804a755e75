"""Reading annotation files, with errors that name file and line."""

import csv
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from keras_videoprism.data.manifest import Row

File = str | Path
Found = TypeVar("Found")


def read_text(file: File) -> str:
    """Content of a text file."""
    try:
        return Path(file).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{file}: not UTF-8 text: {error}") from error


def read_json(file: File) -> Any:
    """Content of a JSON file."""
    try:
        return json.loads(read_text(file))
    except json.JSONDecodeError as error:
        raise ValueError(f"{file}: not JSON: {error}") from error


def pairs(file: File, content: Any) -> list[tuple[str, Any]]:
    """Keys and values of a JSON object of the file."""
    if not isinstance(content, dict):
        raise ValueError(f"{file}: has {content!r:.99} and no object; is it the right file?")
    return list(content.items())


def read_keys(file: File, *keys: str) -> list[Any]:
    """Values of these keys of the object in a JSON file."""
    content = dict(pairs(file, read_json(file)))
    for key in keys:
        if key not in content:
            raise ValueError(f"{file}: no {key!r} in it; is it the right file?")
    return [content[key] for key in keys]


def read_jsonl(file: File) -> Iterator[Any]:
    """The JSON value of each line that is not blank, one at a time: the file may be long."""
    number = 0
    with Path(file).open(encoding="utf-8-sig") as lines:
        try:
            for line in lines:
                number += 1
                if line.strip():
                    yield json.loads(line)
        except ValueError as error:
            raise ValueError(f"{file}, line {number}: not JSON in UTF-8: {error}") from error


def read_csv(
    file: File, columns: Sequence[str] | None = None, delimiter: str = ","
) -> list[dict[str, str]]:
    """Lines of a CSV file as dicts, without the values that a short line lacks.

    Args:
        file: the file.
        columns: names for a file without header.
        delimiter: what stands between two values.

    Raises:
        ValueError: a line cannot be read, or has more values than there are columns.
    """
    with Path(file).open(encoding="utf-8-sig", newline="") as lines:
        reader = csv.DictReader(lines, fieldnames=columns, delimiter=delimiter)
        entries = []
        try:
            for entry in reader:
                if None in entry:
                    raise ValueError(f"more values than the {len(reader.fieldnames or ())} columns")
                entries.append({key: value for key, value in entry.items() if value is not None})
        except (ValueError, csv.Error) as error:
            raise ValueError(f"{file}, line {reader.line_num}: {error}") from error
    return entries


def rows_of(file: File, entries: Iterable[Any], row: Callable[[Any], Found | None]) -> list[Found]:
    """`row` of each entry, without those that give None.

    Raises:
        ValueError: an entry lacks a value or has a wrong one (its number is named), or no row.
    """
    rows = []
    for number, entry in enumerate(entries, 1):
        try:
            found = row(entry)
        except (LookupError, ValueError, TypeError, AttributeError, OverflowError) as error:
            reason = f"no value {error}" if isinstance(error, KeyError) else error
            shown = repr(entry)
            shown = shown if len(shown) <= 500 else f"{shown[:500]}..."
            raise ValueError(f"{file}, entry {number}: {reason}; received {shown}") from error
        if found is not None:
            rows.append(found)
    if not rows:
        raise ValueError(f"{file}: no clip; is it the right file and split?")
    return rows


def clip(
    videos: File,
    name: str,
    captions: Iterable[str] = (),
    labels: Iterable[int] = (),
    start: float | None = None,
    end: float | None = None,
) -> Row:
    """A row; `name` must stay in the folder `videos`, and `end` follow `start`."""
    if ".." in Path(name).parts or Path(name).is_absolute():
        raise ValueError(f"the file {name!r} is outside of its folder")
    last = math.inf if end is None else end
    if not 0 <= (start or 0) < last or end == math.inf:
        raise ValueError(f"needs 0 <= start < end, has start={start}, end={end}")
    texts = tuple(text.strip() for text in captions if text.strip())
    return Row(Path(videos) / name, name, texts, tuple(labels), start, end)


def seconds(timestamp: str) -> float:
    """Seconds of `hours:minutes:seconds`."""
    match = re.fullmatch(r"(\d+):([0-5]\d):([0-5]\d(?:\.\d+)?)", timestamp)
    if not match:
        raise ValueError(f"expected a time such as 00:03:10.567, received {timestamp!r}")
    return 3600 * int(match[1]) + 60 * int(match[2]) + float(match[3])
