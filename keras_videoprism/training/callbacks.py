"""Callbacks of `fit`: a table of all that a run shows, and what must not go unseen."""

import csv
import math
import os
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import keras

from keras_videoprism.training.devices import peak_device_bytes, to_host
from keras_videoprism.training.flops import Work, step_work

Logs = dict[str, float]

# Signs of collapse (see `monitors`): for each log a bound, and whether it must be above it. The
# demo's untrained towers are not far from them: a rank of 3 and a cosine of 0.96. Trained, they
# have 9 and 0.07.
COLLAPSE = {
    "effective_rank": (2.0, True),
    "pair_cosine": (0.99, False),
}
ADVICE = "Lower the learning rate, warm up for longer or raise the batch size."


class StepLog(keras.callbacks.Callback):
    """Writes a row of a CSV file every n steps.

    Columns: `step`; the logs of the step; `learning_rate` of the next step; `seconds_per_step`;
    `clips_per_second`, `visible_tokens_per_second` and `flops_per_second` (see `flops`) of the
    whole batch; `mfu`, the share of `peak_flops`; `waiting_share`, the share of the time in which
    the step waited for its batch; the most memory that the process (`peak_host_bytes`) and its
    first device (`peak_device_bytes`) ever used. A column that nobody can fill is left out: on
    TensorFlow the compiled step fetches the batch, so that neither it nor the wait is seen.

    The loss and what `summaries` gives are means over the steps of the epoch so far, as Keras
    logs them; `batch_loss`, `gradient_norm`, `skipped_steps` and `temperature` are those of the
    step. `loss/<name>` is the mean of `batch_loss` over the steps of a source since the row before;
    it is empty where there were none. Speeds are means since the row before; the first step of a
    `fit`, which compiles, is not among them, but a later batch of another shape compiles too. A
    callback that looks at each step makes Keras wait for the end of each step, so the device does
    nothing while the step waits for data.

    A run that goes on appends; rows of steps after the one where it goes on are removed, so that
    the file is that of a run that was never stopped.

    Args:
        path: the CSV file.
        every: number of steps between rows.
        peak_flops: operations per second that all devices of the run could do; None for no `mfu`.
        sources: names of the sources, where each step trains on one of them.
        source_of: number of a step, from 0 on -> name of its source.
        on_row: called with each row.

    Raises:
        ValueError: the file has other columns.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        every: int = 50,
        peak_flops: float | None = None,
        sources: Sequence[str] = (),
        source_of: Callable[[int], str] | None = None,
        on_row: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        super().__init__()
        if every < 1:
            raise ValueError(f"every must be at least 1; received {every}.")
        self.path, self.every, self.peak_flops = Path(path), every, peak_flops
        self.on_row = on_row
        self.sources, self.source_of = tuple(sources), source_of
        self._losses: dict[str, list[float]] = defaultdict(list)  # of each source, as `_sums`
        self.columns: list[str] = []
        self._work: dict[tuple, Work] = {}  # of a step on batches of these shapes
        self._seen: dict[str, float] = {}  # of this step's batch
        self._sums: dict[str, float] = defaultdict(float)  # since the last row

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._stage = self.model  # asking for it during `fit` costs a copy of the state on JAX
        self._first = self._step = int(to_host(self._stage.step))
        self._ended: float | None = None
        if self._stage.train_function != self._watched:  # as it is after a `fit` that failed
            self._train_function = self._stage.train_function
            self._stage.train_function = self._watched

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        if self._ended is not None:
            self._ended = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        if self.source_of is not None:
            self._losses[self.source_of(self._step)].append((logs or {})["batch_loss"])
        self._step += 1
        if self._ended is not None:
            seconds = time.perf_counter() - self._ended
            for name, value in {"steps": 1, "seconds": seconds, **self._seen}.items():
                self._sums[name] += value
        if self._step % self.every == 0:
            self._write(logs or {})
            self._sums.clear()
            self._losses.clear()
        self._ended = time.perf_counter()

    def on_train_end(self, logs: Logs | None = None) -> None:
        self._stage.train_function = self._train_function

    def _watched(self, *arguments: Any) -> Any:
        """The step of `fit`, whose last argument is the batch or the iterator to ask for it."""
        *state, batches = arguments
        if isinstance(batches, list):  # torch: the batch is there
            self._see(batches[0], time.perf_counter() - (self._ended or math.nan))
        elif not hasattr(batches, "element_spec"):  # JAX; TensorFlow's iterator has a spec
            batches = _Watch(batches, self._see)
        return self._train_function(*state, batches)

    def _see(self, batch: Any, seconds: float) -> None:
        x, _, _ = keras.utils.unpack_x_y_sample_weight(batch)
        shapes = tuple(tuple(value.shape) for value in x.values())
        if shapes not in self._work:
            self._work[shapes] = step_work(self._stage, x)
        clips = x["clip_id"].shape[0]
        self._seen = {"waited": seconds, "clips": clips, **self._work[shapes]._asdict()}

    def _write(self, logs: Logs) -> None:
        row = {
            "step": self._step,
            **logs,
            **{f"loss/{name}": mean_or_empty(self._losses[name]) for name in self.sources},
            "learning_rate": float(self.model.optimizer.learning_rate),
            **rates(self._sums or self._seen, self.peak_flops),  # nan after the first step
            **peak_memory(),
        }
        if not self.columns:
            self.columns = list(row)
            begin_table(self.path, self.columns, self._first)
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, self.columns).writerow(row)
        if self.on_row is not None:
            self.on_row(row)


class _Watch:
    """An iterator that tells `see` each batch and the seconds that it took."""

    def __init__(self, batches: Iterator, see: Callable[[Any, float], None]) -> None:
        self.batches, self.see = batches, see

    def __next__(self) -> Any:
        start = time.perf_counter()
        batch = next(self.batches)
        self.see(batch, time.perf_counter() - start)
        return batch


def rates(sums: dict[str, float], peak_flops: float | None = None) -> Logs:
    """Speeds from sums over steps: `steps`, `seconds` and, where batches were seen, the others."""
    seconds = sums.get("seconds", math.nan)
    speeds = {"seconds_per_step": seconds / sums.get("steps", math.nan)}
    if "clips" not in sums:
        return speeds
    for name in ("clips", "visible_tokens", "flops"):
        speeds[f"{name}_per_second"] = sums[name] / seconds
    if peak_flops is not None:
        speeds["mfu"] = speeds["flops_per_second"] / peak_flops
    return {**speeds, "waiting_share": sums["waited"] / seconds}


def mean_or_empty(values: Sequence[float]) -> float | str:
    """The mean; an empty cell of a table for no values."""
    return sum(values) / len(values) if values else ""


def peak_memory() -> dict[str, int]:
    """Peak memory in bytes of this process and of its device, as far as they are known."""
    peaks = {}
    if os.name == "posix":
        import resource
        import sys

        unit = 1 if sys.platform == "darwin" else 1024
        peaks["peak_host_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    device = peak_device_bytes()
    return peaks if device is None else {**peaks, "peak_device_bytes": device}


def begin_table(path: Path, columns: list[str], step: int) -> None:
    """A CSV file with these columns, and with its earlier rows up to `step`.

    Raises:
        ValueError: the file has other columns.
    """
    rows = []
    if path.exists():
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            if reader.fieldnames and list(reader.fieldnames) != columns:
                differing = sorted({*columns} ^ {*reader.fieldnames})
                raise ValueError(
                    f"{path} has other columns than this run; {differing} are in one of the two. "
                    "Name another file or remove this one."
                )
            # A row that was cut off by a crash lacks values.
            rows = [row for row in reader if None not in row.values() and int(row["step"]) <= step]
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    temporary.replace(path)


class WarnOfCollapse(keras.callbacks.Callback):
    """Warns, once of each kind, when the logs say that embeddings collapse (see `COLLAPSE`).

    Args:
        after: number of steps without warnings, at least those of the warm-up: untrained towers
            give similar embeddings.
    """

    def __init__(self, after: int) -> None:
        super().__init__()
        self.after, self._warned = after, set[str]()

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._step = int(to_host(self.model.step))

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self._step += 1
        if self._step <= self.after:
            return
        for name, (bound, above) in COLLAPSE.items():
            value = (logs or {}).get(name, math.nan)
            broken = value < bound if above else value > bound
            if broken and name not in self._warned:
                self._warned.add(name)
                word = "below" if above else "above"
                warnings.warn(
                    f"step {self._step}: {name} is {value:.3f}, {word} {bound}: the embeddings "
                    f"collapse. {ADVICE}",
                    stacklevel=2,
                )


class StopWhenBroken(keras.callbacks.Callback):
    """Ends training when the gradients of many steps in a row are not finite.

    Single steps are skipped and counted; a run of them does not end by itself.

    Args:
        max_skipped: number of steps in a row.

    Raises:
        FloatingPointError: in `fit`, so that nobody takes the model for a trained one.
    """

    def __init__(self, max_skipped: int = 10) -> None:
        super().__init__()
        self.max_skipped, self._in_a_row = max_skipped, 0

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        finite = math.isfinite((logs or {}).get("gradient_norm", 0.0))
        self._in_a_row = 0 if finite else self._in_a_row + 1
        if self._in_a_row == self.max_skipped:
            raise FloatingPointError(
                f"the gradients of {self.max_skipped} steps in a row were not finite; none of them "
                f"changed the weights. {ADVICE} With float16, wrap the optimizer in a "
                "LossScaleOptimizer or use bfloat16."
            )
