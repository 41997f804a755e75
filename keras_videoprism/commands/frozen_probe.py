"""What a frozen probe reads from the encoder while it is trained."""

import csv
from pathlib import Path
from typing import Any

from keras_videoprism.commands.probe import extract, forward_of, labelled, probe_features
from keras_videoprism.data import open_records
from keras_videoprism.models import VideoPrism
from keras_videoprism.training.callbacks import begin_table
from keras_videoprism.training.checkpoints import Counting
from keras_videoprism.training.devices import to_host

COLUMNS = ["step", "probe"]


class FrozenProbe(Counting):
    """Every n steps, trains a probe on the frozen encoder and scores it (section 3.1).

    A loss that falls says little of what can be read from the tokens; this does. The first score,
    before the first step, is that of the untrained encoder: the one to beat. Scores go to a CSV
    file with the columns `step` and `probe`: top-1 accuracy, or mean average precision.

    Args:
        path: the CSV file; a run that goes on appends.
        encoder: what `fit` trains, alone or as a part.
        train_records, test_records: record folders with labels. All their clips are in memory as
            tokens: take some thousand at most.
        num_classes: number of classes.
        every: number of steps between probes.
        multi_label: several classes a clip; None: where a clip of the folders has several, or none.
        num_frames, image_size: of the clips; default native.
        epochs: of the probe.
        seed: of the probe.

    Raises:
        ValueError: labels are missing or do not fit, when `fit` begins.
    """

    def __init__(
        self,
        path: str | Path,
        encoder: VideoPrism,
        train_records: str | Path,
        test_records: str | Path,
        num_classes: int,
        every: int = 1000,
        multi_label: bool | None = None,
        num_frames: int | None = None,
        image_size: tuple[int, int] | None = None,
        epochs: int = 15,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if every < 1:
            raise ValueError(f"every must be at least 1; received {every}.")
        self.path, self.every = Path(path), every
        self._forward = forward_of(encoder)
        folders = (train_records, test_records)
        if multi_label is None:
            multi_label = not all(open_records(folder).has_single_labels for folder in folders)
        classes = num_classes if multi_label else None
        self._batches = [
            labelled(encoder, records, classes, num_frames=num_frames, image_size=image_size)
            for records in folders
        ]
        self._settings: dict[str, Any] = {
            "num_classes": num_classes,
            "num_heads": encoder.num_heads,
            "epochs": epochs,
            "seed": seed,
            "verbose": 0,
        }
        self._last: int | None = None  # step of the last score

    def on_train_begin(self, logs: dict | None = None) -> None:
        self.step = int(to_host(self.model.step))
        if self._last is None:  # not again when the same run calls `fit` again
            begin_table(self.path, COLUMNS, self.step)
            with self.path.open(newline="", encoding="utf-8") as file:
                self._last = max((int(row["step"]) for row in csv.DictReader(file)), default=-1)
        self._score_if_due()

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        super().on_train_batch_begin(batch, logs)
        self._score_if_due()

    def on_train_end(self, logs: dict | None = None) -> None:
        self._score_if_due()

    def _score_if_due(self) -> None:
        if self.step % self.every or self.step == self._last:
            return
        _ = self.model  # on JAX, asking for it brings the weights of the encoder up to date
        train, test = (extract(self._forward, batches) for batches in self._batches)
        score = probe_features(train, test, **self._settings)
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerow([self.step, score])
        self._last = self.step
