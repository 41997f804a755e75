"""What to write: a folder of videos, or a CSV or JSONL table, as a list of clips.

A table has the column `path` (or `file`) and, where known, `caption`, `label` (class ids with
spaces or semicolons between), `start` and `end` (seconds). JSONL may also hold lists: `captions`
of strings and `label` of integers. Other columns, such as view counts, are for `read_table`.

Every path, relative or absolute, must lie in `root`, by default the folder of the table: a table
from a stranger cannot name other files. Pass `root="/"` to allow them all.
"""

import csv
import json
import math
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from keras_videoprism.data.atomic import atomic_path

VIDEO_SUFFIXES = frozenset(
    ".mp4 .m4v .mov .mkv .webm .avi .mpg .mpeg .ts .flv .ogv .wmv .3gp .gif".split()
)
IMAGE_SUFFIXES = frozenset(".png .jpg .jpeg .webp .bmp .tif .tiff".split())


class Row(NamedTuple):
    """One clip to write.

    `path` is the file, `name` the same relative to the root with forward slashes; `start` and
    `end` are seconds, None for the whole file.
    """

    path: Path
    name: str
    captions: tuple[str, ...] = ()
    labels: tuple[int, ...] = ()
    start: float | None = None
    end: float | None = None


def read_manifest(
    path: str | os.PathLike[str], root: str | os.PathLike[str] | None = None
) -> list[Row]:
    """Lists the clips of a folder or of a CSV or JSONL table.

    Args:
        path: a folder (its `captions.csv` is used where there is one; otherwise all videos and
            images in it and below, sorted by name), or a `.csv` or `.jsonl` file.
        root: folder that relative paths start from and that every path must lie in. Default:
            the folder itself, or the folder of the table.

    Returns:
        The clips in the order of the table. Whether the files exist is for the writer to find.

    Raises:
        ValueError: no such path, folder without videos, no clip, no path column, a path outside
            the root, a value that cannot be read, a clip listed twice. The line is named.
    """
    return [row for row, _ in read_table(path, root)]


def read_table(
    path: str | os.PathLike[str], root: str | os.PathLike[str] | None = None
) -> list[tuple[Row, dict[str, Any]]]:
    """`read_manifest` with all columns of the table: (row, values by column) of each clip.

    Values are as in the table: strings in a CSV file. A folder without a table has no columns.
    """
    path = Path(path)
    table = path / "captions.csv" if path.is_dir() else path
    root = Path(root) if root is not None else table.parent
    if path.is_dir() and not table.exists():
        return [(row, {}) for row in _folder_rows(path, root)]
    rows: list[tuple[Row, dict[str, Any]]] = []
    seen: set[tuple[Any, ...]] = set()
    for line, record in _records(table):
        try:
            row = _row(record, root)
        except ValueError as error:
            raise ValueError(f"{table}, line {line}: {error}") from error
        key = (row.name, row.start, row.end)
        if key in seen:
            raise ValueError(
                f"{table}, line {line}: {row.name} (start {row.start}, end {row.end}) is listed "
                "twice; give several captions of a clip as the list `captions` in a JSONL table"
            )
        seen.add(key)
        rows.append((row, record))
    if not rows:
        raise ValueError(f"{table}: the table lists no clip")
    return rows


def write_table(path: str | os.PathLike[str], clips: Sequence[tuple[Row, dict[str, Any]]]) -> None:
    """Write clips as JSONL that `read_table` reads; columns that a row does not know are kept.

    Paths in the folder of the table are written relative to it, others absolute: then pass `root`
    to read the table. The file appears whole or not at all.
    """
    folder = Path(path).absolute().parent
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for row, record in clips:
            file.write(json.dumps(_record(row, record, folder), ensure_ascii=False) + "\n")


def _record(row: Row, record: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The line of a row: its values first, then the columns that only the table knows."""
    path = row.path.absolute()
    inside = path.is_relative_to(folder)
    values: dict[str, Any] = {
        "path": path.relative_to(folder).as_posix() if inside else str(path),
        "captions": list(row.captions),
        "label": list(row.labels),
        "start": row.start,
        "end": row.end,
    }
    known = {**values, "file": None, "caption": None}
    others = {name: value for name, value in record.items() if name and name not in known}
    return {name: value for name, value in values.items() if value not in (None, [])} | others


def _folder_rows(folder: Path, root: Path) -> list[Row]:
    files = (file for file in folder.rglob("*") if not file.name.startswith("."))
    suffixes = VIDEO_SUFFIXES | IMAGE_SUFFIXES
    rows = [
        _row({"path": file.absolute()}, root) for file in files if file.suffix.lower() in suffixes
    ]
    if not rows:
        raise ValueError(f"{folder}: no video or image in this folder")
    return sorted(rows, key=lambda row: row.name)


def _records(table: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number, values by column) of each line that is not blank."""
    readers = {".csv": _csv_records, ".jsonl": _jsonl_records}
    if table.suffix.lower() not in readers:
        raise ValueError(f"{table}: expected a folder, a .csv or a .jsonl file")
    if not table.is_file():
        raise ValueError(f"{table}: no such file or folder")
    try:
        yield from readers[table.suffix.lower()](table)
    except UnicodeDecodeError as error:
        raise ValueError(f"{table}: not UTF-8 text: {error}") from error


def _csv_records(table: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with table.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        try:
            for record in reader:
                yield reader.line_num, record
        except csv.Error as error:
            raise ValueError(f"{table}, line {reader.line_num}: {error}") from error


def _jsonl_records(table: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with table.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except json.JSONDecodeError as error:
                raise ValueError(f"{table}, line {number}: not JSON: {error}") from error
            if not isinstance(record, dict):
                raise ValueError(f"{table}, line {number}: not a JSON object: {line.strip()!r}")
            yield number, record


def _row(record: dict[str, Any], root: Path) -> Row:
    value = record.get("path") or record.get("file")
    if not value:
        columns = ", ".join(str(column) for column in record)
        raise ValueError(f"no value in column `path` or `file`; the columns are {columns}")
    path, name = _resolve(value, root)
    start, end = _seconds(record, "start"), _seconds(record, "end")
    if end is not None and end <= (start or 0.0):
        raise ValueError(f"end must be after start, received start={start}, end={end}")
    return Row(path, name, _captions(record), _labels(record.get("label")), start, end)


def _resolve(value: Any, root: Path) -> tuple[Path, str]:
    """(path, name relative to the root); `..` is resolved by text, links are left alone."""
    base = os.path.abspath(root)
    path = os.path.normpath(os.path.join(base, str(value)))
    if os.path.commonpath([base, path]) != base:
        raise ValueError(f"the path {str(value)!r} is outside the folder {base}; pass `root`")
    return Path(path), Path(os.path.relpath(path, base)).as_posix()


def _captions(record: dict[str, Any]) -> tuple[str, ...]:
    several = record.get("captions") or []
    if not isinstance(several, list):
        raise ValueError(f"captions must be a list of strings, received {several!r}")
    texts = [record.get("caption"), *several]
    return tuple(str(text).strip() for text in texts if text is not None and str(text).strip())


def _labels(value: Any) -> tuple[int, ...]:
    if value is None:
        return ()
    parts = value if isinstance(value, list) else re.split(r"[;\s]+", str(value).strip())
    try:
        labels = tuple(int(str(part)) for part in parts if str(part))
    except ValueError:
        raise ValueError(f"label must be integers, received {value!r}") from None
    if any(label < 0 for label in labels):
        raise ValueError(f"label must not be negative, received {value!r}")
    return labels


def _seconds(record: dict[str, Any], column: str) -> float | None:
    value = record.get(column)
    if value is None or value == "":
        return None
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{column} must be seconds, received {value!r}") from None
    if not math.isfinite(seconds) or seconds < 0:
        raise ValueError(f"{column} must be seconds from the first frame, received {value!r}")
    return seconds
