"""Decoding in a child process, so that no file can take the job down or hold it up.

The child is `python -m keras_videoprism.data.decode`. It reads one request a line as JSON (path and
arguments of `read_video`) and answers with a line of JSON and, where that tells a shape, the raw
frames. It is killed at a time limit and started again for the next file.
"""

import json
import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from keras_videoprism.data.manifest import Row
from keras_videoprism.data.video import Video, VideoError, read_video

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
            return self._ask(child, {"path": os.fspath(path), **options})
        except (EOFError, BrokenPipeError) as error:
            self.close()
            reason = f"not decoded within {self.time_limit:g} s"
            if not expired.is_set():
                reason = f"the decoder died of it (exit status {child.returncode})"
            raise VideoError(f"{path}: {reason}") from error
        finally:
            timer.cancel()

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

    @staticmethod
    def _ask(child: Any, request: dict[str, Any]) -> Video:
        child.stdin.write(json.dumps(request).encode() + b"\n")
        child.stdin.flush()
        line = child.stdout.readline()
        if not line.endswith(b"\n"):
            raise EOFError
        answer = json.loads(line)
        if "error" in answer:
            raise VideoError(answer["error"])
        frames = np.empty(answer["shape"], np.uint8)
        view = frames.data.cast("B")
        while view:
            count = child.stdout.readinto(view)
            if not count:
                raise EOFError
            view = view[count:]
        return Video(frames, np.array(answer["timestamps"]))


def decode_each(
    rows: Iterable[Row], time_limit: float = TIME_LIMIT, **options: Any
) -> Iterator[Video | VideoError]:
    """The video of each row, or why there is none, in order.

    Some clips are decoded ahead, two for each core, which bounds the memory.

    Args:
        rows: clips, from `read_manifest`.
        time_limit: seconds for one file.
        **options: of `read_video`.
    """
    cores = os.cpu_count() or 1
    with ExitStack() as stack:
        decoders = [stack.enter_context(Decoder(time_limit)) for _ in range(cores)]
        pools = [stack.enter_context(ThreadPoolExecutor(1)) for _ in range(cores)]

        def decode(decoder: Decoder, row: Row) -> Video | VideoError:
            try:
                return decoder(row.path, start=row.start, end=row.end, **options)
            except VideoError as error:
                return error

        ahead: deque[Future] = deque()
        for index, row in enumerate(rows):
            ahead.append(pools[index % cores].submit(decode, decoders[index % cores], row))
            if len(ahead) == 2 * cores:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


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
    output = sys.stdout.buffer
    for line in sys.stdin.buffer:
        request = json.loads(line)
        path = request.pop("path")
        try:
            video = read_video(path, **request)
        except VideoError as error:
            output.write(json.dumps({"error": str(error)}).encode() + b"\n")
        except MemoryError:
            reason = f"{path}: more than {memory_limit / 2**30:.1f} GiB of memory needed"
            output.write(json.dumps({"error": reason}).encode() + b"\n")
        else:
            times = video.timestamps.tolist()
            answer = {"shape": video.frames.shape, "timestamps": times}
            output.write(json.dumps(answer).encode() + b"\n")
            output.write(np.ascontiguousarray(video.frames).data.cast("B"))
        output.flush()


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
