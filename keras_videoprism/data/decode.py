"""Decoding in a child process, so that no file can take the job down or hold it up.

The child is `python -m keras_videoprism.data.decode`. It reads one request a line as JSON and
answers with a line of JSON and, where that tells a size, so many bytes: the frames, or a record. It
is killed at a time limit and started again for the next file.
"""

import json
import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar

import numpy as np

from keras_videoprism.data.manifest import Row
from keras_videoprism.data.schema import encode_clip
from keras_videoprism.data.video import Video, VideoError, read_video

Result = TypeVar("Result")

TIME_LIMIT = 300.0  # seconds a file
MEMORY_LIMIT = 6 * 2**30  # bytes of address space of the child; frames are at most 1.6 GB


class Decoder:
    """`read_video` in a child process. Not for several threads at once.

    Args:
        time_limit: seconds for one file.
        memory_limit: bytes of address space of the child, where the system can limit it.

    Example:
        with Decoder() as decode:
            video = decode("a.mp4", num_frames=16)
    """

    def __init__(self, time_limit: float = TIME_LIMIT, memory_limit: int = MEMORY_LIMIT):
        self.time_limit = time_limit
        self.memory_limit = memory_limit
        self._child: subprocess.Popen | None = None

    def __call__(self, path: str | os.PathLike[str], **options: Any) -> Video:
        """As `read_video(path, **options)`.

        Raises:
            VideoError: as `read_video`; or the file took too long, too much memory, or killed the
                decoder.
        """
        answer, content = self._ask({"path": os.fspath(path), "options": options})
        frames = np.frombuffer(content, np.uint8).reshape(answer["shape"])
        return Video(frames, np.array(answer["timestamps"]))

    def encode(
        self, path: str | os.PathLike[str], clip: dict[str, Any], **options: Any
    ) -> bytearray:
        """`encode_clip` of the frames; `clip` are its other arguments.

        Raises:
            VideoError: as above.
        """
        return self._ask({"path": os.fspath(path), "options": options, "clip": clip})[1]

    def close(self) -> None:
        """End the child process; the next call starts another."""
        if self._child is not None:
            self._child.kill()
            self._child.communicate()
            self._child = None

    def __enter__(self) -> "Decoder":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _started(self) -> subprocess.Popen:
        if self._child is None or self._child.poll() is not None:
            self.close()
            self._child = subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", "keras_videoprism.data.decode", str(self.memory_limit)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=os.environ | {"PYTHONPATH": _python_path()},
            )
        return self._child

    def _ask(self, request: dict[str, Any]) -> tuple[dict[str, Any], bytearray]:
        """The child's answer, and the bytes behind it."""
        if not self.time_limit > 0:
            raise ValueError(f"time_limit must be positive, received {self.time_limit}")
        child = self._started()
        expired = threading.Event()

        def expire() -> None:
            expired.set()
            child.kill()

        timer = threading.Timer(self.time_limit, expire)
        timer.start()
        try:
            answer, content = _exchange(child, request)
        except (EOFError, BrokenPipeError) as error:
            self.close()
            reason = f"not decoded within {self.time_limit:g} s"
            if not expired.is_set():
                reason = f"the decoder died of it (exit status {child.returncode})"
            raise VideoError(f"{request['path']}: {reason}") from error
        finally:
            timer.cancel()
        if "error" in answer:
            raise VideoError(answer["error"])
        return answer, content


def _exchange(child: Any, request: dict[str, Any]) -> tuple[dict[str, Any], bytearray]:
    child.stdin.write(json.dumps(request).encode() + b"\n")
    child.stdin.flush()
    line = child.stdout.readline()
    if not line.endswith(b"\n"):
        raise EOFError
    answer = json.loads(line)
    content = bytearray(answer.get("size", 0))
    view = memoryview(content)
    while view:
        count = child.stdout.readinto(view)
        if not count:
            raise EOFError
        view = view[count:]
    return answer, content


class Decoders:
    """Several `Decoder`s, each with a thread.

    Args:
        number: how many.
        time_limit: seconds for one file.
    """

    def __init__(self, number: int, time_limit: float = TIME_LIMIT):
        self._number = number
        self._decoders = [Decoder(time_limit) for _ in range(number)]
        self._idle = SimpleQueue[Decoder]()
        for decoder in self._decoders:
            self._idle.put(decoder)
        self._pool = ThreadPoolExecutor(number)

    def map(
        self, work: Callable[[Decoder, Row], Result], rows: Iterable[Row]
    ) -> Iterator[Result | VideoError]:
        """`work(decoder, row)` of each row, or why there is none, in order.

        At most two results for each decoder are held, which bounds the memory.
        """

        def run(row: Row) -> Result | VideoError:
            decoder = self._idle.get()
            try:
                return work(decoder, row)
            except VideoError as error:
                return error
            finally:
                self._idle.put(decoder)

        ahead: deque[Future] = deque()
        for row in rows:
            ahead.append(self._pool.submit(run, row))
            if len(ahead) == 2 * self._number:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()

    def __enter__(self) -> "Decoders":
        return self

    def __exit__(self, *exception: object) -> None:
        self._pool.shutdown(cancel_futures=True)
        for decoder in self._decoders:
            decoder.close()


def decode_each(
    rows: Iterable[Row], time_limit: float = TIME_LIMIT, **options: Any
) -> Iterator[Video | VideoError]:
    """The video of each row, or why there is none, in order; decoded ahead on all cores.

    Args:
        rows: clips, from `read_manifest`.
        time_limit: seconds for one file.
        **options: of `read_video`.
    """

    def decode(decoder: Decoder, row: Row) -> Video:
        return decoder(row.path, start=row.start, end=row.end, num_threads=1, **options)

    with Decoders(os.cpu_count() or 1, time_limit) as decoders:
        yield from decoders.map(decode, rows)


def _python_path() -> str:
    """The package may be run from a checkout: let the child find the same one."""
    root = str(Path(__file__).parents[2])
    return os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))


def _serve(memory_limit: int) -> None:
    """The child's loop."""
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (memory_limit, memory_limit))
    except (ImportError, ValueError, OSError):
        pass  # not every system has such limits; those of `read_video` hold in any case
    for line in sys.stdin.buffer:
        request = json.loads(line)
        try:
            answer, content = _answer(**request)
        except VideoError as error:
            answer, content = {"error": str(error)}, b""
        except MemoryError:
            reason = f"more than {memory_limit / 2**30:.1f} GiB of memory needed"
            answer, content = {"error": f"{request['path']}: {reason}"}, b""
        sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n")
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()


def _answer(
    path: str, options: dict[str, Any], clip: dict[str, Any] | None = None
) -> tuple[dict[str, Any], Any]:
    video = read_video(path, **options)
    if clip is not None:
        record = encode_clip(video.frames, video.timestamps, **clip)
        return {"size": len(record)}, record
    content = np.ascontiguousarray(video.frames).data.cast("B")
    shape, times = video.frames.shape, video.timestamps.tolist()
    return {"size": len(content), "shape": shape, "timestamps": times}, content


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
