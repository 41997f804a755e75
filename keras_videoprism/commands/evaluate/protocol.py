"""What a task is, and how a head for it is trained and tested."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from keras_videoprism.commands.evaluate.loaders import Data
from keras_videoprism.data.annotations.segments import WINDOW_SECONDS


class Recipe(NamedTuple):
    """How a head is trained and tested (VideoGLUE, Tables 10 to 12, and its public configuration).

    fps: of the frames that are stored, so that successive ones have the data set's stride; None
    spreads the frames over the clip. views: (windows in time, crops in space) to test with.
    """

    epochs: int = 50
    batch_size: int = 256
    frozen_rate: float = 1e-4
    finetune_rate: float = 1e-4
    warmup_share: float = 0.05
    weight_decay: float = 1e-5
    dropout: float = 0.5
    label_smoothing: float = 0.1
    layer_decay: float = 1.0
    fps: float | None = None
    train_sampling: str = "random_window"
    test_sampling: str = "window"
    views: tuple[int, int] = (4, 3)
    flip: bool = True
    augment: str | None = "inception"  # of clips to train on, see `data.sample.CROPS`
    strong: bool = False  # RandAugment, mixup and CutMix, where the whole encoder is trained
    num_frames: int | None = None  # of the paper; None: of the encoder
    # Temporal localisation: seconds of a window and from one to the next, time steps of a video,
    # width of the detector, rate of the classifier of videos.
    window: float = WINDOW_SECONDS
    window_step: float = WINDOW_SECONDS
    temporal_scale: int = 100
    detector_dim: int = 256
    classifier_rate: float = 1e-3


class Task(NamedTuple):
    """A row of Table 12.

    kind: what is done: `classify`, `zero_shot`, `retrieve`, `choose`, `boxes`, `segments`, or, with
    a language model, `caption` or `answer`.
    files: annotation files that must be there. load: function of them. headline: the metric that
    stands for the task. multi_label: several classes a clip. left_out: names of background classes
    that the metric does not count. loss: "cross_entropy" or "equalization". shots: (question,
    answer) pairs that the paper puts before each question.
    """

    title: str
    kind: str
    headline: str
    files: tuple[str, ...]
    load: Callable[[Path, Path], Data]
    recipe: Recipe = Recipe()
    multi_label: bool = False
    left_out: tuple[str, ...] = ()
    loss: str = "cross_entropy"
    shots: Sequence[tuple[str, str]] = ()
