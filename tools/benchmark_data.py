"""The sides of the reader's and the writer's benchmark: ours, and bare decoding of the same files.

Clips are synthetic: smooth textures that move, so that JPEG and H.264 have as much to do as with
real video.
"""

import tempfile
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

READER, CROPPED, BARE_READER = "read_records", "read_records, augmented", "tf.io decode alone"
WRITER, BARE_WRITER = "write_records", "PyAV decode alone"
WARM_UP = 8  # batches: until then buffers fill


def moving_texture(seed: int, num_frames: int, size: int) -> np.ndarray:
    """uint8 frames [T, H, W, 3]: noise of several scales that slides."""
    rng = np.random.default_rng(seed)
    image = np.zeros((size * 2, size * 2, 3))
    for scale in (4, 16, 64):
        cells = rng.normal(size=(2 * size // scale + 1, 2 * size // scale + 1, 3))
        image += np.kron(cells, np.ones((scale, scale, 1)))[: 2 * size, : 2 * size] * scale**0.5
    image = np.uint8(np.clip(128 + 12 * image, 0, 255))
    return np.stack([image[t : t + size, 2 * t : 2 * t + size] for t in range(num_frames)])


def records(folder: Path, sizes: Namespace) -> Path:
    """A record folder of `sizes.clips` clips."""
    from keras_videoprism.data import read_manifest, write_records

    write_records(
        read_manifest(videos(folder / "videos", sizes)),
        folder / "records",
        num_frames=sizes.frames,
        num_shards=4,
    )
    return folder / "records"


def videos(folder: Path, sizes: Namespace) -> Path:
    """A folder of `sizes.clips` H.264 files; every tenth is encoded, the others are copies."""
    import shutil

    import av

    folder.mkdir(parents=True)
    for number in range(sizes.clips):
        path = folder / f"{number:05d}.mp4"
        if number >= sizes.clips // 10 and number >= 1:
            shutil.copy(folder / f"{number % max(sizes.clips // 10, 1):05d}.mp4", path)
            continue
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=16)
            stream.width = stream.height = sizes.size
            stream.pix_fmt = "yuv420p"
            for frame in moving_texture(number, sizes.frames, sizes.size):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
            container.mux(stream.encode())
    return folder


def _our_reader(folder: Path, sizes: Namespace, **options: Any) -> Iterator[Any]:
    from keras_videoprism.data import read_records

    reading = {"num_frames": sizes.frames, "image_size": sizes.size, "shuffle": True}
    return iter(read_records(folder, batch_size=sizes.batch, repeat=True, **reading, **options))


def _bare_reader(folder: Path, sizes: Namespace) -> Iterator[Any]:
    import tensorflow as tf

    from keras_videoprism.data.schema import FRAMES, parse_clip

    def decode(record: Any) -> Any:
        frames = parse_clip(record)[FRAMES]
        jpeg = lambda image: tf.io.decode_jpeg(image, 3, dct_method="INTEGER_ACCURATE")  # noqa: E731
        return tf.map_fn(jpeg, frames, fn_output_signature=tf.uint8)

    dataset = tf.data.TFRecordDataset(sorted(map(str, folder.glob("*.tfrecord")))).repeat()
    dataset = dataset.map(decode, num_parallel_calls=tf.data.AUTOTUNE).batch(sizes.batch)
    return iter(dataset.prefetch(tf.data.AUTOTUNE))


def measure_readers(sizes: Namespace) -> dict[str, dict[str, Any]]:
    """Clips per second of each reader; they take turns, so that a busy machine slows all alike."""
    with tempfile.TemporaryDirectory() as folder:
        path = records(Path(folder), sizes)
        readers = {
            READER: _our_reader(path, sizes),
            CROPPED: _our_reader(path, sizes, augment=True, flip=True, sampling="random_segment"),
            BARE_READER: _bare_reader(path, sizes),
        }
        return _take_turns(
            {name: lambda batches=batches: next(batches) for name, batches in readers.items()},
            sizes,
            calls=max(sizes.clips // sizes.batch, 1),
            clips=sizes.batch,
        )


def _take_turns(
    calls_of: dict[str, Callable[[], Any]], sizes: Namespace, calls: int, clips: int
) -> dict[str, dict[str, Any]]:
    seconds: dict[str, list[float]] = {name: [] for name in calls_of}
    for _ in range(sizes.steps):
        for name, call in calls_of.items():
            for _ in range(WARM_UP):
                call()
            start = time.perf_counter()
            for _ in range(calls):
                call()
            seconds[name].append((time.perf_counter() - start) / (calls * clips))
    return {name: {"step_seconds": float(np.median(of))} for name, of in seconds.items()}
