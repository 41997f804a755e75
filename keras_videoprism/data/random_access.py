"""Record folders -> a grain dataset of batches, without TensorFlow.

The twin of `read_records`, for training on JAX or torch where TensorFlow is not installed. Batch i
of a grain dataset can be had alone, so a checkpoint of its iterator is one number.
"""

import io
import os
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from PIL import Image

from keras_videoprism.data import schema
from keras_videoprism.data.index import check_batches, clip_options, open_records
from keras_videoprism.data.sample import CROPS, uniform
from keras_videoprism.data.tfrecord import read_record
from keras_videoprism.data.tokenize import Tokenizer

Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels, as Pillow has it
Rng = np.random.Generator

SAMPLINGS = ("uniform", "random_segment")


class RecordSource:
    """Clips by position: a random access source of grain.

    Args:
        folders: one or several folders made by `write_records`.

    Example:
        source = RecordSource("records")
        source[0]["captions"], len(source)
    """

    def __init__(self, folders: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]):
        self.index = open_records(folders)

    def __len__(self) -> int:
        return len(self.index.offsets)

    def __getitem__(self, position: int) -> dict[str, Any]:
        """Features of a clip, see `parse_record`; frames are JPEG images.

        Raises:
            ValueError: the record is damaged.
        """
        return schema.parse_record(read_record(*self.index.place(int(position))))


def grain_dataset(
    folders: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    batch_size: int,
    num_frames: int,
    image_size: int | tuple[int, int],
    tokenizer: Tokenizer | None = None,
    num_classes: int | None = None,
    sampling: str = "uniform",
    augment: bool = False,
    flip: bool = False,
    shuffle: bool = False,
    repeat: bool = False,
    drop_remainder: bool = True,
    caption: str = "random",
    seed: int = 0,
    process: tuple[int, int] = (0, 1),
) -> Any:
    """Batches as `read_records` gives them, with arguments of the same meaning.

    What is random differs from `read_records`; the uniform frames of the central crop agree with
    it within two levels of 255 where frames are resized, and exactly where they are not.

    Returns:
        `grain.MapDataset` of dicts of arrays. `fit` takes it as it is; `dataset[i]` is batch i,
        `dataset.to_iter_dataset()` decodes ahead and has iterators with a state.

    Raises:
        ValueError: see `read_records`; grain is not installed.
    """
    try:
        import grain
    except ImportError as error:
        raise ValueError(f"{error}: pip install 'keras-videoprism[grain]'") from error
    source = RecordSource(folders)
    check_batches(source.index, batch_size, repeat, drop_remainder, 0, process)
    needs_caption = tokenizer is not None
    clip = num_frames, image_size, num_classes, needs_caption, sampling, augment, flip, caption
    if sampling not in SAMPLINGS or not isinstance(augment, bool):
        raise ValueError(
            f"this reader has the samplings {SAMPLINGS} and augment=True or False, received "
            f"{sampling!r} and {augment!r}; `read_records` has the others"
        )
    load = partial(load_clip, **clip_options(source.index, *clip))
    dataset = grain.MapDataset.source(source).seed(seed)
    if shuffle:
        dataset = dataset.shuffle()
    dataset = dataset[process[0] :: process[1]].random_map(load)
    dataset = dataset.batch(batch_size, drop_remainder=drop_remainder)
    if tokenizer is not None:
        dataset = dataset.map(partial(_tokenize, tokenizer=tokenizer))
    return dataset.repeat() if repeat else dataset


def load_clip(
    clip: dict[str, Any],
    rng: Rng,
    *,
    num_frames: int,
    image_size: tuple[int, int],
    num_classes: int | None,
    single_label: bool,
    sampling: str,
    augment: str | None,
    flip: bool,
    caption: str | None,
) -> dict[str, Any]:
    """A clip -> one element of a batch, see `data.load.load_clip`; `rng` draws what is random."""
    frames = clip[schema.FRAMES]
    chosen = uniform(len(frames), num_frames)
    if sampling == "random_segment":
        chosen = _random_segment(len(frames), num_frames, rng)
    stored_size = clip[schema.HEIGHT], clip[schema.WIDTH]
    box = _central_box(stored_size, image_size)
    if augment:
        box = _random_box(stored_size, image_size, rng)
    videos = np.stack([_decode(frames[index], box, image_size) for index in chosen])
    if flip and rng.random() < 0.5:
        videos = videos[:, :, ::-1]
    element = {"videos": videos, "clip_id": np.int64(clip[schema.CLIP_ID])}
    if num_classes is not None:
        element["labels"] = np.isin(np.arange(num_classes), clip[schema.LABELS]).astype(np.float32)
    elif single_label:
        element["labels"] = np.int32(clip[schema.LABELS][0])
    if caption is not None:
        captions = clip[schema.CAPTIONS]
        number = rng.integers(len(captions)) if caption == "random" else 0
        element["caption"] = captions[number].decode()
    return element


def _random_segment(num_available: int, num_frames: int, rng: Rng) -> np.ndarray:
    """As `data.sample.random_segment`."""
    edges = np.arange(num_frames + 1) * num_available // num_frames
    lengths = np.maximum(edges[1:] - edges[:-1], 1)
    return edges[:-1] + (rng.random(num_frames) * lengths).astype(np.int64)


def _central_box(stored_size: tuple[int, int], image_size: tuple[int, int]) -> Box:
    """As `data.augment.central_box`."""
    scale = min(np.divide(stored_size, image_size))
    height, width = (
        int(np.clip(np.round(wanted * scale), 1, stored))
        for wanted, stored in zip(image_size, stored_size, strict=True)
    )
    top, left = (stored_size[0] - height) // 2, (stored_size[1] - width) // 2
    return left, top, left + width, top + height


def _random_box(stored_size: tuple[int, int], image_size: tuple[int, int], rng: Rng) -> Box:
    """A random box of 50 to 100 % of the area whose shape is near the wanted one."""
    height, width = stored_size
    area_range, aspect_range = CROPS["mild"]
    for _ in range(10):
        area = rng.uniform(*area_range) * height * width
        aspect = image_size[1] / image_size[0] * rng.uniform(*aspect_range)
        rows, columns = round((area / aspect) ** 0.5), round((area * aspect) ** 0.5)
        if 0 < rows <= height and 0 < columns <= width:
            top = int(rng.integers(height - rows + 1))
            left = int(rng.integers(width - columns + 1))
            return left, top, left + columns, top + rows
    return _central_box(stored_size, image_size)  # the stored frames have quite another shape


def _decode(image: bytes, box: Box, image_size: tuple[int, int]) -> np.ndarray:
    """JPEG image -> uint8 [height, width, 3], anti-aliased where it shrinks."""
    with Image.open(io.BytesIO(image), formats=("JPEG",)) as picture:
        part = picture.convert("RGB").crop(box)
        return np.asarray(part.resize(image_size[::-1], Image.Resampling.BILINEAR))


def _tokenize(batch: dict[str, Any], tokenizer: Tokenizer) -> dict[str, Any]:
    """Replaces the captions [B] of a batch by token ids and padding mask [B, L]."""
    captions = batch.pop("caption")
    return batch | tokenizer([str(caption) for caption in captions])
