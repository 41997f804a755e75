"""A folder of videos -> an index of their windows; a sentence or a video -> the nearest windows."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile

import keras
import numpy as np

from keras_videoprism.commands.embed import Embeddings, embed, embed_clips, read_clip
from keras_videoprism.evaluation.retrieval import cosine_similarity
from keras_videoprism.models import VideoPrismLvT


class Hit(NamedTuple):
    """A window of a file: start and end in seconds, and the cosine to what was asked."""

    file: str
    start: float
    end: float
    score: float


def build_index(
    model: VideoPrismLvT,
    files: Sequence[str | Path],
    output: str | Path,
    window: float = 5.0,
    stride: float | None = None,
    progress: Callable[[int, int], None] | None = None,
    save_every: int = 20,
    **embed_args: Any,
) -> Embeddings:
    """Embed the windows of files and write them as npz.

    Files that an older index at `output` has are kept and not done again. What is done is written
    every `save_every` files: an interrupted call loses no more and goes on when called again.

    Args:
        model: see `embed`.
        files: videos and images.
        output: npz file to write or to add to.
        window, stride: seconds; see `embed`.
        progress: called with (files done, files in all).
        **embed_args: other arguments of `embed`.

    Returns:
        The whole index. `failed` tells of this call.

    Raises:
        ValueError: the older index has vectors of another width, or is damaged.
    """
    index = load_index(output) if Path(output).exists() else None
    width = model.video_encoder.hidden_dim
    if index is not None and index.embeddings.shape[1] != width:
        raise ValueError(
            f"{output} has vectors of width {index.embeddings.shape[1]}, the model {width}: it was "
            "made by another model. Give a new name."
        )
    known = set(index.files) if index is not None else set()
    todo = [file for file in files if str(file) not in known]
    index = index or Embeddings(np.zeros((0, width), "float32"), [], np.zeros((0, 2)), [])
    for first in range(0, len(todo), save_every):
        part = todo[first : first + save_every]
        done = len(files) - len(todo) + first

        def report(number: int, _: int, done: int = done) -> None:
            if progress is not None:
                progress(done + number, len(files))

        found = embed(model, part, progress=report, window=window, stride=stride, **embed_args)
        index = _join(index, found)
        index.save(output)
    return index


def load_index(path: str | Path) -> Embeddings:
    """Read what `build_index` wrote.

    Raises:
        ValueError: no such file, or no index.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            index = Embeddings(file["embeddings"], file["files"].tolist(), file["times"], [])
    except (OSError, KeyError, ValueError, EOFError, BadZipFile) as error:
        raise ValueError(f"{path} is no index of build_index: {error}") from error
    if not len(index.embeddings) == len(index.files) == len(index.times):
        raise ValueError(f"{path} is no index of build_index: its arrays differ in length.")
    return index


def search(model: VideoPrismLvT, index: Embeddings, query: str | Path, top_k: int = 5) -> list[Hit]:
    """The windows nearest to a sentence (str) or to a video or image file (Path), best first."""
    if isinstance(query, Path):
        encoder = model.video_encoder
        clip = read_clip(query, encoder.position_shape[0], encoder.image_size)
        vector = embed_clips(model, clip[None])
    else:
        vector = keras.ops.convert_to_numpy(model.encode_text([query]))
    scores = cosine_similarity(vector, index.embeddings)[0]
    best = np.argsort(-scores, kind="stable")[:top_k]
    times = index.times.tolist()
    return [Hit(index.files[i], times[i][0], times[i][1], float(scores[i])) for i in best]


def _join(first: Embeddings, second: Embeddings) -> Embeddings:
    return Embeddings(
        np.concatenate([first.embeddings, second.embeddings]),
        [*first.files, *second.files],
        np.concatenate([first.times, second.times]),
        [*first.failed, *second.failed],
    )
