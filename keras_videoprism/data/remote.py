"""Files here and on other machines: `gs://`, `s3://` and whatever else stands before `://`.

TensorFlow's file systems serve the schemes that they know: gs, and with tensorflow-io (which needs
TensorFlow before 2.18) s3, hdfs, az and others. fsspec serves the rest. Both are imported when a
path needs them: local files need neither. Remote paths are text, since `pathlib` would take one
slash of `://` away.

A remote file is read in ranges of bytes. A range that comes short is an error, never a short
result, and an operation that fails is tried three times.
"""

import errno
import io
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO

from keras_videoprism.data.atomic import atomic_path

File = str | os.PathLike[str]

BLOCK_SIZE = 2**20  # bytes that an open remote file fetches at once
WAITS = (0.5, 2.0)  # seconds before the second and the third try
TIME_LIMIT = 60.0  # seconds of one try, and one more
MIN_SPEED = 2**20  # for so many bytes; where fsspec's file system is asynchronous, as most are

_SCHEME = re.compile(r"[a-zA-Z][\w+.-]+(?=://)")  # two letters at least: C:// is a drive
_CORE_SCHEMES = {"file", "gs", "ram"}  # of TensorFlow without tensorflow-io
_TENSORFLOW_NOT_FOUND = 5  # tf.errors.NOT_FOUND
_TENSORFLOW_DENIED = 7  # tf.errors.PERMISSION_DENIED


def is_remote(path: File) -> bool:
    """Whether a path names its file system, as `s3://bucket/a.mp4` does.

    Raises:
        ValueError: a `Path` made of such a name.
    """
    if isinstance(path, os.PathLike) and re.match(r"\w{2,}:/[^/]", os.fspath(path)):
        raise ValueError(f"{path}: pass a remote path as text; pathlib has removed a slash of it")
    return bool(_SCHEME.match(os.fspath(path)))


def known_to_tensorflow(path: File) -> bool:
    """Whether TensorFlow's own operations can open a path."""
    scheme = _SCHEME.match(os.fspath(path))
    return scheme is None or _knows_scheme(scheme[0])


def join(folder: File, name: str) -> str:
    """The path of `name` in a folder."""
    if is_remote(folder):
        return f"{os.fspath(folder).rstrip('/')}/{name}"
    return os.path.join(folder, name)


def size(path: File) -> int:
    """Bytes of a file.

    Raises:
        OSError: it cannot be reached; FileNotFoundError where there is no such file.
    """
    if not is_remote(path):
        return os.path.getsize(path)

    def ask(files: Any, name: str) -> dict[str, Any]:
        files.invalidate_cache()
        return _call(files, "info", name)

    info = _attempt(path, ask)
    if info["type"] != "file":
        raise FileNotFoundError(errno.ENOENT, "this is a folder, not a file", path)
    if info["size"] is None:
        raise OSError(errno.EIO, "the server does not tell the size of the file", path)
    return info["size"]


def exists(path: File) -> bool:
    """Whether there is a file, not a folder, at a path.

    Raises:
        OSError: a remote path cannot be reached.
    """
    if not is_remote(path):
        return os.path.isfile(path)
    try:
        size(path)
    except FileNotFoundError:
        return False
    return True


def read_range(path: File, start: int, length: int) -> bytes:
    """`length` bytes of a file from byte `start` on.

    Raises:
        OSError: the file cannot be reached or has fewer bytes.
    """
    if length == 0:
        return b""
    if not is_remote(path):
        with open(path, "rb") as file:
            file.seek(start)
            return _whole(file.read(length), length, path)

    def fetch(files: Any, name: str) -> bytes:
        content = _call(files, "cat_file", name, start=start, end=start + length, length=length)
        return _whole(content, length, path)

    return _attempt(path, fetch)


def read_text(path: File) -> str:
    """A whole file of UTF-8 text.

    Raises:
        OSError: it cannot be reached.
        UnicodeDecodeError: it is not UTF-8.
    """
    return read_range(path, 0, size(path)).decode("utf-8")


def open_binary(path: File, block_size: int = BLOCK_SIZE) -> BinaryIO:
    """Opens a file for reading and seeking.

    Args:
        path: local or remote file.
        block_size: bytes that a remote file fetches at once.

    Raises:
        OSError: it cannot be reached; so do all reads of a remote file that come short.
    """
    if not is_remote(path):
        return open(path, "rb")
    return io.BufferedReader(_RemoteFile(path), block_size)


def list_files(folder: File) -> list[str]:
    """Names of all files in a folder and below, relative to it, with forward slashes, sorted.

    Links to other folders are not followed. A remote folder that does not exist may look empty.

    Raises:
        OSError: the folder cannot be reached.
    """
    if not is_remote(folder):
        paths = (path for path in Path(folder).rglob("*") if not path.is_dir())
        return sorted(path.relative_to(folder).as_posix() for path in paths)

    def ask(files: Any, name: str) -> list[str]:
        files.invalidate_cache()
        prefix = name.rstrip("/") + "/"
        found = _call(files, "find", prefix)
        return [path.removeprefix(prefix) for path in found if path.startswith(prefix)]

    return sorted(name for name in _attempt(folder, ask) if name and not name.endswith("/"))


def upload(local: File, path: File) -> None:
    """Copies a local file to a path, over what is there, and checks its size.

    Object stores (s3, gs, az) and local folders show a file when it is whole. Elsewhere a part
    may stay when the copy fails.

    Raises:
        OSError: it could not be copied.
    """
    length = os.path.getsize(local)
    if not is_remote(path):
        with atomic_path(path) as temporary:
            shutil.copyfile(local, temporary)
        return

    def put(files: Any, name: str) -> None:
        _call(files, "put_file", os.fspath(local), name, length=length)
        stored = _call(files, "info", name)["size"]
        if stored != length:
            raise OSError(errno.EIO, f"{stored} bytes arrived of {length}")

    _attempt(path, put)


@contextmanager
def write_file(path: File) -> Iterator[Path]:
    """A local name to write to; the file becomes `path`, here or elsewhere, after the block.

    Raises:
        OSError: it could not be written.
    """
    if not is_remote(path):
        with atomic_path(path) as temporary:
            yield temporary
        return
    with tempfile.TemporaryDirectory() as folder:
        temporary = Path(folder) / "file"
        yield temporary
        upload(temporary, path)


def remove(path: File) -> None:
    """Removes a file, if it is there.

    Raises:
        OSError: it could not be removed.
    """
    if not is_remote(path):
        Path(path).unlink(missing_ok=True)
    elif exists(path):
        _attempt(path, lambda files, name: _call(files, "rm_file", name))


class _RemoteFile(io.RawIOBase):
    """A remote file as a stream without a buffer: each read is one range."""

    def __init__(self, path: File):
        self._path = path
        self._size = size(path)
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        position = offset + (0, self._position, self._size)[whence]
        if position < 0:
            raise OSError(errno.EINVAL, f"there is no byte {position}", self._path)
        self._position = position
        return position

    def readinto(self, buffer: Any) -> int:
        length = max(0, min(len(buffer), self._size - self._position))
        buffer[:length] = read_range(self._path, self._position, length)
        self._position += length
        return length


class _TensorFlowFiles:
    """TensorFlow's file systems, under fsspec's names for what they do."""

    async_impl = False

    def __init__(self) -> None:
        import tensorflow as tf

        self._gfile = tf.io.gfile

    def invalidate_cache(self) -> None:
        pass  # TensorFlow's own cache is a matter of seconds

    def info(self, path: str) -> dict[str, Any]:
        stat = self._gfile.stat(path)
        return {"size": stat.length, "type": "directory" if stat.is_directory else "file"}

    def cat_file(self, path: str, start: int, end: int) -> bytes:
        with self._gfile.GFile(path, "rb") as file:
            file.seek(start)
            return file.read(end - start)

    def find(self, path: str) -> list[str]:
        folders = self._gfile.walk(path)
        return [join(folder, name) for folder, _, names in folders for name in names]

    def put_file(self, local: str, path: str) -> None:
        self._gfile.makedirs(path.rpartition("/")[0])
        self._gfile.copy(local, path, overwrite=True)

    def rm_file(self, path: str) -> None:
        self._gfile.remove(path)


@cache
def _knows_scheme(scheme: str) -> bool:
    """Whether TensorFlow has a file system for a scheme; loads tensorflow-io where that can be."""
    if find_spec("tensorflow") is None:
        return False
    if scheme in _CORE_SCHEMES:
        return True
    if find_spec("tensorflow_io") is None:
        return False
    import tensorflow as tf

    if tuple(int(part) for part in tf.__version__.split(".")[:2]) >= (2, 18):
        return False  # tensorflow-io would warn, and its plugins would be missing
    import tensorflow_io  # noqa: F401  (registers its schemes)

    return scheme in tf.io.gfile.get_registered_schemes()


def _file_system(path: str) -> tuple[Any, str]:
    """What serves a path, and its name there."""
    if known_to_tensorflow(path):
        return _TensorFlowFiles(), path
    if "::" in path:  # fsspec would open the file behind it, which may be any
        raise OSError(errno.EINVAL, "a remote path may not hold `::`", path)
    try:
        from fsspec.core import url_to_fs

        return url_to_fs(path)
    except (ImportError, ValueError) as error:
        advice = "pip install 'keras-videoprism[remote]' serves s3:// and gs://"
        raise OSError(errno.EPROTONOSUPPORT, f"{error}; {advice}", path) from error


def _attempt(path: File, work: Callable[[Any, str], Any]) -> Any:
    """work(file system, name there), tried again after an error that may pass."""
    path = os.fspath(path)
    files, name = _file_system(path)
    for wait in (*WAITS, None):
        try:
            return work(files, name)
        except Exception as error:  # each file system has its own
            code, reason = getattr(error, "error_code", None), _reason(error)
            if isinstance(error, FileNotFoundError) or code == _TENSORFLOW_NOT_FOUND:
                message = f"no such file, folder or bucket ({reason})"
                raise FileNotFoundError(errno.ENOENT, message, path) from error
            if isinstance(error, PermissionError) or code == _TENSORFLOW_DENIED:
                raise PermissionError(errno.EACCES, f"access denied ({reason})", path) from error
            if wait is None:
                message = f"failed {len(WAITS) + 1} times, at last with: {reason}"
                raise OSError(errno.EIO, message, path) from error
        time.sleep(wait)


def _call(files: Any, method: str, *arguments: Any, length: int = 0, **options: Any) -> Any:
    """A method of a file system that moves `length` bytes; not for ever, if it is asynchronous."""
    if not files.async_impl:
        return getattr(files, method)(*arguments, **options)
    from fsspec.asyn import sync

    coroutine, limit = getattr(files, f"_{method}"), TIME_LIMIT + length / MIN_SPEED
    return sync(files.loop, coroutine, *arguments, timeout=limit, **options)


def _whole(content: bytes, length: int, path: File) -> bytes:
    if len(content) != length:
        message = f"{len(content)} bytes came of {length}; the file is truncated or being changed"
        raise OSError(errno.EIO, message, os.fspath(path))
    return content


def _reason(error: Exception) -> str:
    """Why, on one line."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(text.split())
