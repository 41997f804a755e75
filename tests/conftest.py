"""Fixtures that several folders of tests share."""

import csv
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 220)}


def write_video(path: Path, frames: np.ndarray, fps: int = 8, codec: str = "libx264") -> Path:
    """Encodes uint8 frames [T, H, W, 3] as H.264 (or as another codec)."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


def moving_square(colour: tuple[int, int, int], step: int, num_frames: int = 12) -> np.ndarray:
    """uint8 [T, 48, 64, 3]: a square of 16 pixels that moves by `step` pixels a frame."""
    frames = np.full((num_frames, 48, 64, 3), 40, np.uint8)
    for index, frame in enumerate(frames):
        left = (24 + step * index) % 48
        frame[16:32, left : left + 16] = colour
    return frames


@contextmanager
def _unallocated() -> Iterator[None]:
    import keras

    with keras.StatelessScope(initialize_variables=False):
        yield
    # Keras remembers such variables, and would allocate them all in the next compiled step.
    keras.utils.clear_session(free_memory=False)


@pytest.fixture
def no_weights() -> Callable[[], AbstractContextManager]:
    """Context in which a model of any size is built without memory."""
    return _unallocated


@pytest.fixture(scope="session")
def video_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six MP4 files with captions.csv; the label is the colour (0 to 2). Not to be written to."""
    folder = tmp_path_factory.mktemp("videos")
    rows = []
    for label, (name, colour) in enumerate(COLOURS.items()):
        for direction, step in (("left", -3), ("right", 3)):
            file = f"{name}_{direction}.mp4"
            write_video(folder / file, moving_square(colour, step))
            rows.append((file, f"A {name} square, moving {direction}!", label))
    with (folder / "captions.csv").open("w", newline="", encoding="utf-8") as table:
        csv.writer(table).writerows([("file", "caption", "label"), *rows])
    return folder


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """A bucket of an S3 server on this machine, `s3://videos`. Write to a folder of your own."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", "http://{}:{}".format(*server.get_host_and_port()))
        patch.setenv("AWS_ACCESS_KEY_ID", "nobody")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "none")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        boto3.client("s3").create_bucket(Bucket="videos")
        yield "s3://videos"
    server.stop()


@pytest.fixture(scope="session")
def golden() -> Callable[[str], tuple[dict, dict]]:
    """Function: name of a file in tests/golden -> (weights, arrays of the cases)."""

    def load(name: str) -> tuple[dict, dict]:
        with np.load(Path(__file__).parent / "golden" / f"{name}.npz", allow_pickle=False) as file:
            arrays = dict(file)
        weights = {key for key in arrays if key.startswith("weights/")}
        cases = {key: arrays[key] for key in arrays.keys() - weights}
        return {key.removeprefix("weights/"): arrays[key] for key in weights}, cases

    return load


@pytest.fixture(scope="session")
def run() -> Callable[..., Any]:
    """run(function, *arrays): its outputs as NumPy arrays.

    On JAX the function is compiled, which takes a quarter of the time of the same ops one by one.
    """
    import keras

    def run(function: Callable, *arrays: Any) -> Any:
        if keras.backend.backend() == "jax":
            import jax

            function = jax.jit(function)
        return keras.tree.map_structure(keras.ops.convert_to_numpy, function(*arrays))

    return run


@pytest.fixture(scope="session")
def video_prism(golden):
    """`VideoPrism` of the golden arrays: patch 6, grid (4, 4, 4), width 32, all weights random."""
    from keras_videoprism.converters import from_flax

    return from_flax(golden("encoder")[0])


@pytest.fixture(scope="session")
def video_prism_lvt(golden):
    """`VideoPrismLvT` of the golden arrays: the same sizes, vocabulary 50."""
    from keras_videoprism.converters import from_flax

    return from_flax(golden("video_text")[0])


@pytest.fixture(scope="session")
def random_videos() -> Callable[..., np.ndarray]:
    """Function: shape [B, T, H, W] -> float32 noise [B, T, H, W, 3], always the same."""
    return lambda *shape: np.random.default_rng(0).random((*shape, 3), np.float32)


@pytest.fixture(scope="session")
def text_tower() -> Any:
    """A small two-tower model of random weights with a tokenizer. Not to be trained."""
    from keras_videoprism.data import Tokenizer
    from keras_videoprism.models import VideoPrismLvT

    tokenizer = Tokenizer(Path(__file__).parent / "golden" / "test_spm.model", max_length=16)
    model = VideoPrismLvT(
        patch_size=8,
        position_shape=(4, 3, 3),
        hidden_dim=16,
        num_spatial_layers=1,
        num_temporal_layers=1,
        num_heads=2,
        mlp_dim=64,
        num_auxiliary_layers=1,
        vocabulary_size=tokenizer.vocabulary_size,
        num_text_layers=1,
    )
    model.tokenizer = tokenizer
    return model


@pytest.fixture(scope="session")
def write_corpus() -> Callable[..., Path]:
    """write_corpus(folder, change, every, edit): a folder of 60 small clips.

    In one of `every` clips the arguments of `change` stand in for the clean ones, and `edit` is
    called with the features of the record.
    """
    import tensorflow as tf

    from keras_videoprism.data.schema import encode_clip

    def record(number: int, change: dict, edit: Callable) -> bytes:
        clip = {
            "frames": np.full((4, 16, 24, 3), 90, np.uint8),
            "timestamps": np.arange(4) / 2,
            "captions": [("a red star", "two blue rings turn around")[number % 2]],
            "labels": [number % 5],
            "source": ("web", "studio")[number % 2],
        }
        encoded = encode_clip(**{**clip, **change}, file=f"{number}.mp4", clip_id=number)
        example = tf.train.Example.FromString(encoded)
        edit(example.features.feature)
        return example.SerializeToString()

    def write(
        folder: Path,
        change: dict | None = None,
        every: int = 60,
        edit: Callable = lambda features: None,
    ) -> Path:
        with tf.io.TFRecordWriter(str(folder / "s.tfrecord")) as writer:
            for number in range(60):
                if number % every == every // 2:
                    writer.write(record(number, change or {}, edit))
                else:
                    writer.write(record(number, {}, lambda features: None))
        summary = {
            "schema_version": 1,
            "num_captioned": 60,
            "num_labelled": 60,
            "max_labels_per_clip": 1,
            "num_classes": 5,
            "shards": [{"file": "s.tfrecord", "num_clips": 60}],
        }
        (folder / "dataset.json").write_text(json.dumps(summary))
        return folder

    return write
