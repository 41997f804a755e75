"""What to write: a folder of videos, or a CSV or JSONL table, as a list of clips.

A table has the column `path` (or `file`) and, where known, `caption`, `label` (class ids with
spaces or semicolons between), `start` and `end` (seconds). JSONL may also hold lists: `captions`
of strings, `prompts` of as many strings that they answer ("" for none), and `label` of integers.
Other columns, such as view counts, are for `read_table`. Clips of one file may overlap.

Every path, relative or absolute, must lie in `root`, by default the folder of the table: a table
from a stranger cannot name other files. Pass `root="/"` to allow all local files. Folder, table
and root may be remote (see `data/remote.py`); a table names remote files where its root is remote.
"""

import csv
import io
import json
import math
import os
import posixpath
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from keras_videoprism.data.remote import (
    File,
    exists,
    is_remote,
    join,
    list_files,
    read_text,
    write_file,
)
from keras_videoprism.data.schema import check_prompts, stable_clip_id

VIDEO_SUFFIXES = frozenset(
    ".mp4 .m4v .mov .mkv .webm .avi .mpg .mpeg .ts .flv .ogv .wmv .3gp .gif".split()
)
IMAGE_SUFFIXES = frozenset(".png .jpg .jpeg .webp .bmp .tif .tiff".split())
MAX_TEXT = 2**17  # characters of a caption or path; the bound that Python's csv has
MAX_LABEL = 2**31 - 1  # batches hold int32


class Row(NamedTuple):
    """One clip to write.

    `path` is the file, a `str` where it is remote; `name` the same relative to the root with
    forward slashes; `start` and `end` are seconds, None for the whole file; `prompts` are empty, or
    hold what each caption stands behind, such as a question whose answer it is.
    """

    path: Path | str
    name: str
    captions: tuple[str, ...] = ()
    labels: tuple[int, ...] = ()
    start: float | None = None
    end: float | None = None
    prompts: tuple[str, ...] = ()

    @property
    def clip_id(self) -> int:
        """See `stable_clip_id`."""
        return stable_clip_id(self.name, self.start, self.end)


def read_manifest(path: File, root: File | None = None) -> list[Row]:
    """Lists the clips of a folder or of a CSV or JSONL table.

    Args:
        path: a folder (its `captions.csv` is used where there is one; otherwise all videos and
            images in it and below, sorted by name), or a `.csv` or `.jsonl` file.
        root: folder that relative paths start from and that every path must lie in. Default:
            the folder itself, or the folder of the table.

    Returns:
        The clips in the order of the table. Whether the files exist is for the writer to find.

    Raises:
        ValueError: no such path, folder without videos, no clip, no path column, a path or link
            out of the root, a value that cannot be read, a clip listed twice. The line is named.
        OSError: a remote path cannot be reached.
    """
    return [row for row, _ in read_table(path, root)]


def read_table(path: File, root: File | None = None) -> list[tuple[Row, dict[str, Any]]]:
    """`read_manifest` with all columns of the table: (row, values by column) of each clip.

    Values are as in the table: strings in a CSV file. A folder without a table has no columns.
    """
    is_folder = os.path.isdir(path) if not is_remote(path) else _suffix(path) not in _READERS
    table = join(path, "captions.csv") if is_folder else os.fspath(path)
    root = os.path.dirname(table) if root is None else root
    if is_folder and not exists(table):
        return [(row, {}) for row in _folder_rows(path, root)]
    rows: list[tuple[Row, dict[str, Any]]] = []
    seen: set[tuple[str, ...]] = set()
    for line, record in _records(table):
        try:
            row = _row(record, root)
        except ValueError as error:
            raise ValueError(f"{table}, line {line}: {error}") from error
        # What makes the clip id, too.
        key = (row.name, *("" if t is None else f"{t:.6f}" for t in (row.start, row.end)))
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


def list_videos(folder: File) -> list[str]:
    """Paths of all videos and images in a local or remote folder and below, sorted by name.

    Raises:
        ValueError: there is none.
        OSError: a remote folder cannot be reached.
    """
    suffixes = VIDEO_SUFFIXES | IMAGE_SUFFIXES
    names = [name for name in list_files(folder) if _suffix(name) in suffixes]
    paths = [join(folder, name) for name in names if not posixpath.basename(name).startswith(".")]
    if not paths:
        raise ValueError(f"{folder}: no video or image in this folder")
    return paths


def write_table(path: File, clips: Sequence[tuple[Row, dict[str, Any]]]) -> None:
    """Write clips as JSONL that `read_table` reads; columns that a row does not know are kept.

    Paths in the folder of the table are written relative to it, others absolute: then pass `root`
    to read the table. The file appears whole or not at all.
    """
    folder = os.path.dirname(path if is_remote(path) else os.path.abspath(path))
    with write_file(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for row, record in clips:
            file.write(json.dumps(_record(row, record, folder), ensure_ascii=False) + "\n")


def _record(row: Row, record: dict[str, Any], folder: str) -> dict[str, Any]:
    """The line of a row: its values first, then the columns that only the table knows."""
    path = os.fspath(row.path) if is_remote(row.path) else os.path.abspath(row.path)
    values: dict[str, Any] = {
        "path": path.removeprefix(f"{folder}/"),
        "captions": list(row.captions),
        "prompts": list(row.prompts),
        "label": list(row.labels),
        "start": row.start,
        "end": row.end,
    }
    known = {**values, "file": None, "caption": None}
    others = {name: value for name, value in record.items() if name and name not in known}
    return {name: value for name, value in values.items() if value not in (None, [])} | others


def _folder_rows(folder: File, root: File) -> list[Row]:
    paths = list_videos(folder)
    if not is_remote(folder):
        paths = [_linked_inside(path, root) for path in paths]
    return sorted((_row({"path": path}, root) for path in paths), key=lambda row: row.name)


def _linked_inside(path: str, root: File) -> str:
    """The absolute path; nobody has named it, so that a link must not lead out of the root."""
    base = os.path.realpath(root)
    if os.path.commonpath([base, os.path.realpath(path)]) != base:
        raise ValueError(f"{path} is a link out of the folder {base}; remove it or pass `root`")
    return os.path.abspath(path)


def _suffix(path: File) -> str:
    return os.path.splitext(path)[1].lower()


def _records(table: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number, values by column) of each line that is not blank."""
    if _suffix(table) not in _READERS:
        raise ValueError(f"{table}: expected a folder, a .csv or a .jsonl file")
    if not exists(table):
        raise ValueError(f"{table}: no such file or folder")
    try:
        text = read_text(table).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise ValueError(f"{table}: not UTF-8 text: {error}") from error
    yield from _READERS[_suffix(table)](table, text)


def _csv_records(table: str, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        for record in reader:
            if any(record.pop(None, ())):
                reason = "more values than columns; a text with commas needs quotes"
                raise ValueError(f"{table}, line {reader.line_num}: {reason}")
            yield reader.line_num, record
    except csv.Error as error:  # line_num is still that of the record before
        raise ValueError(f"{table}, line {reader.line_num + 1}: {error}") from error


def _jsonl_records(table: str, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(io.StringIO(text, newline=None), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{table}, line {number}: not JSON: {error}") from error
        if not isinstance(record, dict):
            raise ValueError(f"{table}, line {number}: not a JSON object: {line[:80].strip()!r}")
        yield number, record


_READERS = {".csv": _csv_records, ".jsonl": _jsonl_records}


def _row(record: dict[str, Any], root: File) -> Row:
    value = record.get("path") or record.get("file")
    if not value:
        columns = ", ".join(str(column) for column in record)
        raise ValueError(f"no value in column `path` or `file`; the columns are {columns}")
    path, name = _resolve(_text("path", value), root)
    start, end = _seconds(record, "start"), _seconds(record, "end")
    if end is not None and end <= (start or 0.0):
        raise ValueError(f"end must be after start, received start={start}, end={end}")
    captions = _captions(record)
    labels = _labels(record.get("label"))
    return Row(path, name, captions, labels, start, end, _prompts(record, len(captions)))


def _resolve(value: str, root: File) -> tuple[Path | str, str]:
    """(path, name relative to the root); `..` is resolved by text, links are left alone."""
    separator = "/" if is_remote(root) else os.sep
    base = _absolute(os.fspath(root))
    prefix = base.rstrip(separator) + separator
    is_full = is_remote(value) or os.path.isabs(value)
    path = _absolute(value if is_full else prefix + value)
    if not path.startswith(prefix):
        raise ValueError(f"the path {value!r} is outside the folder {base}; pass `root`")
    name = path.removeprefix(prefix).replace(os.sep, "/")
    return path if is_remote(path) else Path(path), name


def _absolute(path: str) -> str:
    """The path without `.`, `..` and doubled slashes."""
    if not is_remote(path):
        return os.path.abspath(path)
    scheme, _, rest = path.partition("://")
    return f"{scheme}://{posixpath.normpath(rest)}"


def _text(column: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{column} must be text, received {value!r}")
    if len(value) > MAX_TEXT:
        raise ValueError(f"{column} has {len(value)} characters, more than {MAX_TEXT}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{column} is not Unicode text: {value!r}") from None
    if "\0" in value:
        raise ValueError(f"{column} holds a zero byte: {value!r}")
    return value


def _captions(record: dict[str, Any]) -> tuple[str, ...]:
    several = record.get("captions") or []
    if not isinstance(several, list):
        raise ValueError(f"captions must be a list of strings, received {several!r}")
    texts = [_text("caption", text) for text in (record.get("caption"), *several) if text]
    return tuple(text.strip() for text in texts if text.strip())


def _prompts(record: dict[str, Any], num_captions: int) -> tuple[str, ...]:
    several = record.get("prompts") or []
    if not isinstance(several, list):
        raise ValueError(f"prompts must be a list of strings (JSONL), received {several!r}")
    check_prompts(len(several), num_captions, "the captions that are not blank")
    return tuple(_text("prompt", text).strip() for text in several)


def _labels(value: Any) -> tuple[int, ...]:
    if value is None:
        return ()
    parts = value if isinstance(value, list) else re.split(r"[;\s]+", str(value).strip())
    try:
        labels = tuple(int(str(part)) for part in parts if str(part))
    except ValueError:
        raise ValueError(f"label must be integers, received {value!r}") from None
    if any(not 0 <= label <= MAX_LABEL for label in labels):
        raise ValueError(f"label must not be negative or above {MAX_LABEL}, received {value!r}")
    return labels


def _seconds(record: dict[str, Any], column: str) -> float | None:
    value = record.get(column)
    if value is None or value == "":
        return None
    try:
        seconds = float(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{column} must be seconds, received {value!r}") from None
    if not math.isfinite(seconds) or seconds < 0:
        raise ValueError(f"{column} must be seconds from the first frame, received {value!r}")
    return seconds
