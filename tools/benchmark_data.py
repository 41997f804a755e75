"""The sides of the benchmarks that read or write files: ours, and bare decoding of the same files;
locked-image tuning, and the probe of a frozen encoder, from videos and from tokens that were
computed once.

Videos are synthetic: textures of several scales that slide, so that JPEG and H.264 have about as
much to do as with filmed ones.
"""

import os
import shutil
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

READER, AUGMENTED = "read_records", "read_records, random crops"
BARE_READER, TRAINING = "tf.io decode alone", "training step of the demo"
WRITER, MANY = "write_records", "write_records, 10 x the clips"
BARE_WRITER = "PyAV decode alone"

LIT_VIDEOS, LIT_TOKENS = "LiT, videos", "LiT, cached tokens"
PROBE_VIDEOS, PROBE_TOKENS = "probe, videos", "probe, cached tokens"

TURNS = 3
ONCE = (TRAINING, MANY)

VIDEO_SIZE = (360, 640)  # pixels, of the writer's files
VIDEO_FPS, VIDEO_SECONDS = 30, 10
NUM_DIFFERENT = 8  # files; the others are copies
LIT_TEXT_LENGTH = 28  # tokens, as in examples/demo.py
LIT_CLIPS: dict[str, Any] = {"num_frames": 8, "image_size": (40, 40)}
WARM_UP = 8  # batches: until then buffers fill


def moving_texture(seed: int, num_frames: int, size: tuple[int, int]) -> Iterator[np.ndarray]:
    """uint8 frames [H, W, 3]."""
    rng = np.random.default_rng(seed)
    image = np.zeros((*size, 3))
    for scale in (4, 16, 64):
        cells = rng.normal(size=(size[0] // scale + 1, size[1] // scale + 1, 3))
        image += np.kron(cells, np.ones((scale, scale, 1)))[: size[0], : size[1]] * scale**0.5
    image = np.uint8(np.clip(128 + 12 * image, 0, 255))
    for t in range(num_frames):
        yield np.roll(image, (t, 2 * t), axis=(0, 1))


def prepare(stage: str, sizes: Namespace) -> None:
    """Makes what the sides of a stage read, in `sizes.folder`."""
    from keras_videoprism.data import read_manifest, write_records

    folder = Path(sizes.folder)
    if stage in ("lit", "probe"):
        prepare_lit(folder)
        return
    if stage == "writer":
        _render(folder / "videos", VIDEO_FPS * VIDEO_SECONDS, VIDEO_SIZE, sizes.clips)
        return
    _render(folder / "videos", sizes.frames, (sizes.size, sizes.size), sizes.clips)
    rows = read_manifest(folder / "videos")
    write_records(rows, folder / "records", num_frames=sizes.frames)


def _render(folder: Path, num_frames: int, size: tuple[int, int], clips: int) -> None:
    import av

    folder.mkdir()
    for number in range(clips):
        path = folder / f"{number:05d}.mp4"
        if number >= NUM_DIFFERENT:
            shutil.copy(folder / f"{number % NUM_DIFFERENT:05d}.mp4", path)
            continue
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=VIDEO_FPS, options={"preset": "fast"})
            stream.height, stream.width = size
            stream.pix_fmt = "yuv420p"
            for frame in moving_texture(number, num_frames, size):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
            container.mux(stream.encode())


def read_ours(sizes: Namespace, **options: Any) -> dict[str, float]:
    """Clips per second of `read_records`, shuffled."""
    from keras_videoprism.data import read_records

    reading = {"num_frames": sizes.frames, "image_size": sizes.size, "shuffle": True}
    dataset = read_records(
        Path(sizes.folder) / "records", batch_size=sizes.batch, repeat=True, **reading, **options
    )
    return _batch_rate(iter(dataset), sizes)


def read_bare(sizes: Namespace) -> dict[str, float]:
    """Clips per second of the same records, parsed, decoded whole and batched in order."""
    import tensorflow as tf

    from keras_videoprism.data.schema import FRAMES, parse_clip

    def decode(record: Any) -> Any:
        jpeg = partial(tf.io.decode_jpeg, channels=3, dct_method="INTEGER_ACCURATE")
        return tf.map_fn(jpeg, parse_clip(record)[FRAMES], fn_output_signature=tf.uint8)

    shards = sorted(map(str, Path(sizes.folder, "records").glob("*.tfrecord")))
    dataset = tf.data.TFRecordDataset(shards).repeat()
    dataset = dataset.map(decode, num_parallel_calls=tf.data.AUTOTUNE).batch(sizes.batch)
    return _batch_rate(iter(dataset.prefetch(tf.data.AUTOTUNE)), sizes)


def _batch_rate(batches: Iterator[Any], sizes: Namespace) -> dict[str, float]:
    """The median over `sizes.steps` rounds through all clips."""
    calls, seconds = max(sizes.clips // sizes.batch, 1), []
    for _ in range(WARM_UP):
        next(batches)
    for _ in range(sizes.steps):
        start = time.perf_counter()
        for _ in range(calls):
            next(batches)
        seconds.append((time.perf_counter() - start) / calls)
    step = float(np.median(seconds))
    return {"step_seconds": step, "clips_per_second": sizes.batch / step}


def train(sizes: Namespace, clips: int = 512, batch_size: int = 64, steps: int = 40) -> dict:
    """A stage-1 step of the demo, and which share of it `next(batches)` takes."""
    import keras

    from keras_videoprism import Stage1Model, VideoPrismLvT
    from keras_videoprism.data import read_manifest, read_records, write_records
    from keras_videoprism.data.demo_corpus import render_demo_corpus

    folder = Path(sizes.folder)
    render_demo_corpus(folder / "corpus", num_clips=2 * clips, num_stills=2, num_test=2)
    write_records(read_manifest(folder / "corpus" / "curated"), folder / "demo", short_side=40)
    model = VideoPrismLvT.from_preset("videoprism_lvt_tiny")
    reading = {"num_frames": 8, "image_size": 40, "tokenizer": model.tokenizer, "shuffle": True}
    reading |= {"repeat": True, "sampling": "random_segment"}
    dataset = read_records(folder / "demo", batch_size=batch_size, **reading)
    stage = Stage1Model(model)
    stage.compile(keras.optimizers.AdamW(1e-3))
    return _train(stage, dataset, batch_size, steps)


def prepare_lit(folder: Path, clips: int = 256) -> None:
    """Records of the demo, and what the encoder of the tiny model sees in each of its clips."""
    from keras_videoprism import VideoPrism
    from keras_videoprism.commands.features import cache_features
    from keras_videoprism.data import read_manifest, write_records
    from keras_videoprism.data.demo_corpus import render_demo_corpus

    render_demo_corpus(folder / "corpus", num_clips=2 * clips, num_stills=2, num_test=2)
    write_records(read_manifest(folder / "corpus" / "curated"), folder / "demo", short_side=40)
    encoder = VideoPrism.from_preset("videoprism_tiny")
    cache_features(encoder, folder / "demo", folder / "cache", **LIT_CLIPS)


def train_lit(sizes: Namespace, cached: bool, batch_size: int = 64, steps: int = 40) -> dict:
    """A LiT step of the demo's size, reading included."""
    import keras

    from keras_videoprism import Stage1Model, VideoPrism, VideoPrismLvT
    from keras_videoprism.commands.lit import lock_encoder
    from keras_videoprism.data import read_records

    model, folder = VideoPrismLvT.from_preset("videoprism_lvt_tiny"), Path(sizes.folder)
    lock_encoder(model, VideoPrism.from_preset("videoprism_tiny"))
    model.tokenizer.max_length = LIT_TEXT_LENGTH
    reading = {"tokenizer": model.tokenizer, "shuffle": True, "repeat": True, **LIT_CLIPS}
    features = folder / "cache" if cached else None
    dataset = read_records(folder / "demo", batch_size=batch_size, features=features, **reading)
    stage = Stage1Model(model, dropping_ratio=0.0)
    stage.compile(keras.optimizers.AdamW(1e-3))
    return _train(stage, dataset, batch_size, steps)


def train_probe(
    sizes: Namespace, cached: bool, batch_size: int = 64, epochs: int = 5
) -> dict[str, float]:
    """Seconds of an epoch of `evaluate`'s classifier on the frozen tiny encoder."""
    import keras

    from keras_videoprism import VideoPrism
    from keras_videoprism.commands.evaluate.cached import FeatureBatches, Head
    from keras_videoprism.commands.evaluate.encode import Clips
    from keras_videoprism.commands.evaluate.on_videos import video_batches
    from keras_videoprism.commands.evaluate.tasks import TASKS
    from keras_videoprism.commands.evaluate.training import Examples, Training, head_size
    from keras_videoprism.data.features import open_features
    from keras_videoprism.heads.adaptation import AdaptedVideoPrism
    from keras_videoprism.heads.classifier import AttentionClassifier

    folder = Path(sizes.folder)
    encoder = VideoPrism.from_preset("videoprism_tiny")
    features = open_features(folder / "cache")
    targets = np.random.default_rng(0).random((len(features.clip_ids), 16)) < 0.1
    examples = Examples(features.clip_ids, targets)
    head = AttentionClassifier(16, **head_size(encoder))
    adapted = AdaptedVideoPrism(encoder, head, "frozen")
    batches: Any = FeatureBatches(features, examples, batch_size, seed=0)
    model: keras.Model = Head(head)
    steps = len(batches)
    if not cached:
        model, training = adapted, Training(TASKS["demo_kinds"].recipe)
        read = folder / "demo", examples, Clips(**LIT_CLIPS), batch_size, training
        batches = video_batches(*read, augmented=False, mixed=False)
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    model.compile(keras.optimizers.AdamW(1e-3), loss=loss)
    model.fit(batches, epochs=1, steps_per_epoch=steps, verbose=0)
    start = time.perf_counter()
    model.fit(batches, epochs=epochs, steps_per_epoch=steps, verbose=0)
    step = (time.perf_counter() - start) / epochs / steps
    return {"step_seconds": step, "steps_per_second": 1 / step}


def _train(stage: Any, dataset: Any, batch_size: int, steps: int) -> dict[str, float]:
    """Seconds of a step after the first, and which share of it `next(batches)` takes."""
    batches = dataset.as_numpy_iterator()
    stage.train_on_batch(next(batches))
    waited, start = 0.0, time.perf_counter()
    for _ in range(steps):
        before = time.perf_counter()
        batch = next(batches)
        waited += time.perf_counter() - before
        stage.train_on_batch(batch)
    total = time.perf_counter() - start
    step = total / steps
    return {
        "step_seconds": step,
        "steps_per_second": 1 / step,
        "clips_per_second": batch_size / step,
        "waiting_share": waited / total,
    }


def write_ours(sizes: Namespace, times: int = 1) -> dict[str, float]:
    """Clips per second of `write_records`; its peak includes the largest decoder."""
    from keras_videoprism.data import read_manifest, write_records

    folder = Path(sizes.folder)
    rows = read_manifest(folder / "videos")
    rows = [row._replace(name=f"{turn}/{row.name}") for turn in range(times) for row in rows]
    write_records(rows[:8], folder / "warm", num_frames=sizes.frames, short_side=sizes.size)
    output = folder / f"records-{times}"
    start = time.perf_counter()
    write_records(rows, output, num_frames=sizes.frames, short_side=sizes.size)
    seconds = (time.perf_counter() - start) / len(rows)
    shutil.rmtree(folder / "warm")
    shutil.rmtree(output)
    return {"step_seconds": seconds, "clips_per_second": 1 / seconds}


def write_bare(sizes: Namespace) -> dict[str, float]:
    """Clips per second of a process for each core that decodes all frames and drops them."""
    files = sorted(Path(sizes.folder, "videos").iterdir())
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        list(pool.map(decode_all, files[:8]))
        start = time.perf_counter()
        list(pool.map(decode_all, files))
        seconds = (time.perf_counter() - start) / len(files)
    return {"step_seconds": seconds, "clips_per_second": 1 / seconds}


def decode_all(file: Path) -> int:
    """Number of frames of a file, decoded on one thread."""
    import av

    with av.open(str(file)) as container:
        container.streams.video[0].thread_type = "NONE"
        return sum(1 for _ in container.decode(video=0))


SIDES: dict[str, Callable[[Namespace], dict[str, float]]] = {
    READER: read_ours,
    AUGMENTED: partial(read_ours, augment=True, flip=True, sampling="random_segment"),
    BARE_READER: read_bare,
    TRAINING: train,
    LIT_VIDEOS: partial(train_lit, cached=False),
    LIT_TOKENS: partial(train_lit, cached=True),
    PROBE_VIDEOS: partial(train_probe, cached=False),
    PROBE_TOKENS: partial(train_probe, cached=True),
    WRITER: write_ours,
    MANY: partial(write_ours, times=10),
    BARE_WRITER: write_bare,
}


def measure(side: str, sizes: Namespace) -> dict[str, Any]:
    """One side in this process; bytes at the peak of it and of its largest child."""
    from benchmark import peak_bytes

    measured = SIDES[side](sizes)
    return {**measured, "peak_bytes": peak_bytes(children=True)}
