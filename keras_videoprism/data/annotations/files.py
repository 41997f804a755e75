"""Reading annotation files, with errors that name file and line."""

import csv
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from keras_videoprism.data.manifest import Row

File = str | Path


def read_json(file: File) -> Any:
    """Content of a JSON file."""
    try:
        return json.loads(Path(file).read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise ValueError(f"{file}: not JSON: {error}") from error


def read_csv(file: File, columns: Sequence[str] | None = None) -> list[dict[str, str]]:
    """Lines of a CSV file as dicts; `columns` name those of a file without header."""
    with Path(file).open(encoding="utf-8-sig", newline="") as lines:
        return list(csv.DictReader(lines, fieldnames=columns))


def rows_of(file: File, entries: Iterable[Any], row: Callable[[Any], Row | None]) -> list[Row]:
    """`row` of each entry, without those that give None.

    Raises:
        ValueError: an entry lacks a value or has a wrong one (its number is named), or no row.
    """
    rows = []
    for number, entry in enumerate(entries, 1):
        try:
            found = row(entry)
        except (KeyError, ValueError, TypeError, IndexError) as error:
            reason = f"no value {error}" if isinstance(error, KeyError) else error
            raise ValueError(f"{file}, entry {number}: {reason}; received {entry!r}") from error
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
    if start is not None and end is not None and not 0 <= start < end:
        raise ValueError(f"needs 0 <= start < end, has start={start}, end={end}")
    texts = tuple(text.strip() for text in captions if text.strip())
    return Row(Path(videos) / name, name, texts, tuple(labels), start, end)
