"""The record: one clip as a `tf.train.Example`.

| feature | type | meaning |
|---|---|---|
| schema_version | int64 | version of this table |
| clip_id | int64 | stable id of the clip (`stable_clip_id`) |
| frames | bytes list, T >= 1 | JPEG images, one per frame; an image is a clip with T = 1 |
| timestamps | float list, T | seconds from the start of the source file |
| captions | bytes list, >= 0 | UTF-8 texts |
| prompts | bytes list, or left out | what each caption answers, as many as captions |
| labels | int64 list, >= 0 | class ids: one, or several for a multi-label clip |
| source, file | bytes | name of the data set; source file relative to its root |
| height, width | int64 | size of every frame in pixels |
"""

import hashlib
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from PIL import Image

from keras_videoprism.data.example import Example

Tensor = Any

SCHEMA_VERSION = 1

VERSION = "schema_version"
CLIP_ID = "clip_id"
FRAMES = "frames"
TIMESTAMPS = "timestamps"
CAPTIONS = "captions"
PROMPTS = "prompts"
LABELS = "labels"
SOURCE = "source"
FILE = "file"
HEIGHT = "height"
WIDTH = "width"

JPEG_QUALITY = 95


def stable_clip_id(file: str, start: float | None = None, end: float | None = None) -> int:
    """63-bit hash of a clip: the same on every machine, in every run and for every shard count.

    Args:
        file: source file relative to its root, with forward slashes.
        start, end: part of the file in seconds; None for the whole file.
    """
    part = ("" if time is None else f"{time:.6f}" for time in (start, end))
    key = "\n".join((file, *part)).encode()
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big") >> 1


def encode_jpeg(frame: np.ndarray) -> bytes:
    """uint8 RGB frame [H, W, 3] -> JPEG at quality 95 with full-resolution colour."""
    file = io.BytesIO()
    Image.fromarray(frame).save(file, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return file.getvalue()


def decode_jpegs(images: Tensor, box: tuple[Tensor, Tensor]) -> Tensor:
    """A part of JPEG images of one size; only that part is decoded.

    Args:
        images: strings [T].
        box: begin and size, each int32 [2] (vertical, horizontal) in pixels.

    Returns:
        uint8 RGB [T, *size, 3].
    """
    import tensorflow as tf

    window = tf.concat(box, 0)

    def decode(image: Tensor) -> Tensor:
        # The default transform differs between machines; this one does not.
        return tf.io.decode_and_crop_jpeg(image, window, channels=3, dct_method="INTEGER_ACCURATE")

    signature = tf.TensorSpec([None, None, 3], tf.uint8)
    return tf.map_fn(decode, images, fn_output_signature=signature)


def check_prompts(num_prompts: int, num_captions: int, place: str) -> None:
    """ValueError unless there is no prompt, or one for each caption."""
    if num_prompts not in (0, num_captions):
        raise ValueError(
            f"{place}: {num_prompts} prompts but {num_captions} captions; give each caption one, "
            "which may be empty, or none at all"
        )


def encode_clip(
    frames: np.ndarray,
    timestamps: np.ndarray,
    *,
    file: str,
    source: str,
    clip_id: int,
    captions: Sequence[str] = (),
    prompts: Sequence[str] = (),
    labels: Sequence[int] = (),
) -> bytes:
    """Serialises one clip.

    Args:
        frames: uint8 [T, H, W, 3], T >= 1.
        timestamps: seconds [T].
        file: source file relative to its root.
        source: name of the data set.
        clip_id: see `stable_clip_id`.
        captions: texts of the clip.
        prompts: what each caption stands behind, such as a question; none, or one each.
        labels: class ids of the clip.

    Returns:
        The bytes of a `tf.train.Example`.

    Raises:
        ValueError: frames are not uint8 [T, H, W, 3], there is not one timestamp per frame, or not
            one prompt per caption.
    """
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or not frames.size:
        raise ValueError(
            f"{file}: frames must be uint8 [T, H, W, 3] with T >= 1, "
            f"received {frames.dtype} {list(frames.shape)}"
        )
    if len(timestamps) != len(frames):
        raise ValueError(f"{file}: {len(frames)} frames but {len(timestamps)} timestamps")
    check_prompts(len(prompts), len(captions), file)
    example = Example()
    feature = example.features.feature
    feature[VERSION].int64_list.value[:] = [SCHEMA_VERSION]
    feature[CLIP_ID].int64_list.value[:] = [clip_id]
    feature[FRAMES].bytes_list.value[:] = [encode_jpeg(frame) for frame in frames]
    feature[TIMESTAMPS].float_list.value[:] = timestamps
    feature[CAPTIONS].bytes_list.value[:] = [caption.encode() for caption in captions]
    if prompts:  # a clip without them has the bytes that it always had
        feature[PROMPTS].bytes_list.value[:] = [prompt.encode() for prompt in prompts]
    feature[LABELS].int64_list.value[:] = labels
    feature[SOURCE].bytes_list.value[:] = [source.encode()]
    feature[FILE].bytes_list.value[:] = [file.encode()]
    feature[HEIGHT].int64_list.value[:] = [frames.shape[1]]
    feature[WIDTH].int64_list.value[:] = [frames.shape[2]]
    return example.SerializeToString(deterministic=True)


def parse_clip(serialized: Tensor) -> dict[str, Tensor]:
    """One serialised clip -> its features, inside a TensorFlow graph.

    Args:
        serialized: scalar string.

    Returns:
        Dict by feature name: `frames`, `captions` and `prompts` string vectors (JPEGs stay
        encoded), `timestamps` and `labels` vectors, all others scalars.
    """

    import tensorflow as tf

    def scalar(dtype: Any) -> Any:
        return tf.io.FixedLenFeature([], dtype)

    def vector(dtype: Any) -> Any:
        return tf.io.FixedLenSequenceFeature([], dtype, allow_missing=True)

    features = {
        VERSION: scalar(tf.int64),
        CLIP_ID: scalar(tf.int64),
        FRAMES: vector(tf.string),
        TIMESTAMPS: vector(tf.float32),
        CAPTIONS: vector(tf.string),
        PROMPTS: vector(tf.string),
        LABELS: vector(tf.int64),
        SOURCE: scalar(tf.string),
        FILE: scalar(tf.string),
        HEIGHT: scalar(tf.int64),
        WIDTH: scalar(tf.int64),
    }
    return tf.io.parse_single_example(serialized, features)


# Kind of each feature of `Example`; those of _LISTS have any number of values, all others one.
_KINDS = {
    VERSION: "int64_list",
    CLIP_ID: "int64_list",
    FRAMES: "bytes_list",
    TIMESTAMPS: "float_list",
    CAPTIONS: "bytes_list",
    PROMPTS: "bytes_list",
    LABELS: "int64_list",
    SOURCE: "bytes_list",
    FILE: "bytes_list",
    HEIGHT: "int64_list",
    WIDTH: "int64_list",
}
_LISTS = {FRAMES, TIMESTAMPS, CAPTIONS, PROMPTS, LABELS}


def parse_record(record: bytes) -> dict[str, Any]:
    """One serialised clip -> its features, checked, without TensorFlow.

    Returns:
        Dict by feature name: `frames`, `captions` and `prompts` (bytes), `timestamps` and `labels`
        are lists, all others single values.

    Raises:
        ValueError: not a clip, another schema version (both are named), a feature is missing, or
            there is not one timestamp for each frame, or not one prompt for each caption.
    """
    try:
        features = Example.FromString(record).features.feature
    except DecodeError as error:
        raise ValueError(f"not a tf.train.Example: {error}") from error
    clip = {name: list(getattr(features[name], kind).value) for name, kind in _KINDS.items()}
    if clip[VERSION] != [SCHEMA_VERSION]:
        raise ValueError(
            f"the record has schema version {clip[VERSION][0] if clip[VERSION] else 'none'}, this "
            f"package reads version {SCHEMA_VERSION}; write the records again with `write_records`"
        )
    wrong = [name for name in _KINDS if name not in _LISTS and len(clip[name]) != 1]
    if wrong:
        raise ValueError(f"the record must have one value of each of {wrong}")
    num_frames, num_times = len(clip[FRAMES]), len(clip[TIMESTAMPS])
    if num_frames == 0 or num_frames != num_times:
        raise ValueError(f"the record has {num_frames} frames and {num_times} timestamps")
    check_prompts(len(clip[PROMPTS]), len(clip[CAPTIONS]), "the record")
    return {name: value if name in _LISTS else value[0] for name, value in clip.items()}
