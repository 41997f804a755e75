"""Checkpoints: all that the next step of a run depends on, in files that are checked.

A checkpoint is one safetensors file. It holds the variables of the model (its counters among them),
the optimizer and the metrics; and in its header, as JSON, the step, the curves and the settings of
the run, with a SHA-256 of it all. Frozen parts that come from elsewhere may be left out. Learning
rates, masks and the order of the clips are functions of the step, so that there is no other state.
"""

import hashlib
import json
import logging
import os
import signal
import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from keras_videoprism.training.devices import is_first_process, to_host

_LOGGER = logging.getLogger(__name__)
_MAX_LISTED = 10  # variables in a message

Curves = dict[str, list[float]]
Settings = dict[str, Any]


class Progress(NamedTuple):
    """Number of steps done, and what was logged: of each name one value per epoch."""

    step: int
    curves: Curves


def save_checkpoint(
    folder: str | Path,
    model: keras.Model,
    progress: Progress,
    settings: Settings | None = None,
    keep: int = 3,
    frozen: Sequence[keras.layers.Layer] = (),
) -> Path:
    """Write a checkpoint; it appears whole or not at all.

    Args:
        folder: folder of the run's checkpoints.
        model: compiled.
        progress: where the run is.
        settings: what must be the same when the run goes on.
        keep: number of checkpoints that stay, this one included.
        frozen: parts of the model that are not saved.

    Returns:
        The file.

    Raises:
        OSError: it cannot be written; the others stay as they are.
    """
    folder = Path(folder)
    path = folder / f"step-{progress.step:08d}.safetensors"
    temporary = folder / ".unfinished"  # of a killed run: overwritten by the next
    variables = variables_of(model, frozen)
    run = json.dumps(
        {**progress._asdict(), "settings": settings or {}, "variables": _shapes(variables)},
        default=str,
    )
    arrays = {name: _array(variable) for name, variable in variables.items()}
    if not is_first_process():
        return path
    metadata = {"run": run, "sha256": _digest(run, sorted(arrays.items()))}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_file(arrays, temporary, metadata)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except (OSError, SafetensorError) as error:
        raise OSError(
            f"the checkpoint {path} cannot be written: {error}. Those before it are whole: free "
            "space and start the same run again."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
    _keep_last(keep, path)
    return path


def load_checkpoint(
    folder: str | Path,
    model: keras.Model,
    settings: Settings | None = None,
    force: bool = False,
    frozen: Sequence[keras.layers.Layer] = (),
) -> Progress:
    """Set the variables to those of the newest checkpoint that is whole.

    Args:
        folder: folder of the run's checkpoints; it need not exist.
        model: compiled.
        settings: as in `save_checkpoint`.
        force: other settings are logged, not refused.
        frozen: as in `save_checkpoint`.

    Returns:
        Where the run was; step 0 without a checkpoint.

    Raises:
        ValueError: none is whole, or the newest is of another model or of other settings.
    """
    found = checkpoints_in(folder)
    for path in reversed(found):
        try:
            run = _read_run(path)
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            _LOGGER.warning("%s is damaged (%s); the one before it is taken.", path, error)
            continue
        variables = variables_of(model, frozen)
        _check_settings(path, run["settings"], settings or {}, force)
        _check_shapes(path, run["variables"], _shapes(variables))
        with safe_open(path, framework="numpy") as file:
            for name, variable in variables.items():
                variable.assign(file.get_tensor(name))
        return Progress(run["step"], run["curves"])
    if found:
        raise ValueError(f"no checkpoint in {folder} is whole; remove it to begin again.")
    return Progress(0, {})


def checkpoints_in(folder: str | Path) -> list[Path]:
    """The files of a folder's checkpoints, the newest last."""
    return sorted(Path(folder).glob("step-*.safetensors"))


def variables_of(
    model: keras.Model, frozen: Sequence[keras.layers.Layer] = ()
) -> dict[str, keras.Variable]:
    """All variables that a step reads or writes, by names that are the same in each process.

    Those of the `frozen` parts are left out.
    """
    left_out = {id(variable) for layer in frozen for variable in layer.variables}
    of_model = [variable for variable in model.variables if id(variable) not in left_out]
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    variables, counts = {}, Counter[str]()
    for variable in (*of_model, *model.optimizer.variables, *model.metrics_variables):
        # Keras numbers models and optimizers of a process; and a path may occur twice.
        path = variable.path.replace(model.name, "model").replace(model.optimizer.name, "optimizer")
        counts[path] += 1
        variables[f"{path}#{counts[path]}"] = variable
    return variables


def _shapes(variables: dict[str, keras.Variable]) -> dict[str, str]:
    return {name: f"{v.dtype} {list(v.shape)}" for name, v in variables.items()}


def _array(variable: keras.Variable) -> np.ndarray:
    array = np.ascontiguousarray(to_host(variable)).reshape(variable.shape)
    # What NumPy has no type for, such as bfloat16, fits into float32 without loss.
    return array.astype("float32") if array.dtype.kind == "V" else array


def _digest(run: str, arrays: Iterable[tuple[str, np.ndarray]]) -> str:
    digest = hashlib.sha256(run.encode())
    for name, array in arrays:
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.data)
    return digest.hexdigest()


def _read_run(path: Path) -> dict[str, Any]:
    """The JSON of a checkpoint that is whole; one array at a time is in memory."""
    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
        arrays = ((name, file.get_tensor(name)) for name in sorted(file.keys()))
        if _digest(metadata["run"], arrays) != metadata["sha256"]:
            raise ValueError("its SHA-256 is another")
    return json.loads(metadata["run"])


def _check_settings(path: Path, theirs: Settings, ours: Settings, force: bool) -> None:
    ours = json.loads(json.dumps(ours, default=str))  # as theirs were: tuples become lists
    differing = [
        f"  {name}: {theirs.get(name)!r} before, {ours.get(name)!r} now"
        for name in sorted(theirs | ours)
        if theirs.get(name) != ours.get(name)
    ]
    if not differing:
        return
    message = f"{path} is of a run with other settings:\n" + "\n".join(differing)
    if not force:
        raise ValueError(f"{message}\nUse the same, remove the folder, or force the change.")
    _LOGGER.warning("%s", message)


def _check_shapes(path: Path, theirs: dict[str, str], ours: dict[str, str]) -> None:
    differing = [
        f"  {name}: {theirs.get(name, 'nothing')} there, {ours.get(name, 'nothing')} in the model"
        for name in sorted(theirs | ours)
        if theirs.get(name) != ours.get(name)
    ]
    if differing:
        listed = "\n".join(differing[:_MAX_LISTED])
        raise ValueError(
            f"{path} is of another model: {len(differing)} of its variables differ, such as\n"
            f"{listed}\nName another folder or remove this one."
        )


def _keep_last(keep: int, newest: Path) -> None:
    """Remove all but the last checkpoints up to `newest`; later ones were found damaged."""
    found = checkpoints_in(newest.parent)
    for path in set(found) - set([path for path in found if path <= newest][-keep:]):
        path.unlink()


class Counting(keras.callbacks.Callback):
    """Counts steps and keeps curves over several calls of `fit`.

    Attributes:
        step: number of steps done.
        curves: what `fit` logged, one value for each whole epoch; "step" is the epoch's last.
    """

    def __init__(self, step: int = 0, curves: Curves | None = None) -> None:
        super().__init__()
        self.step, self.curves = step, dict(curves or {})
        self._first = self.step  # of this epoch

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self._first = self.step

    # Not at the end of a batch: for that, Keras would wait for each step.
    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        self.step = self._first + batch

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self.step += self.model.steps_per_execution  # the last batch of the epoch
        for name, value in {"step": self.step, **(logs or {})}.items():
            self.curves[name] = [*self.curves.get(name, []), float(value)]


class Checkpoint(Counting):
    """Lets a run that was killed go on as if nothing had happened.

    When it is made, it loads the newest whole checkpoint; then it saves every n steps and at the
    end. On SIGTERM the step in progress is finished and saved, and the process exits with the
    usual status, 143; a second SIGTERM acts at once.

    Args:
        folder: folder of the run's checkpoints.
        model: compiled; the one that `fit` trains.
        save_every: number of steps between checkpoints.
        keep: number of checkpoints that stay.
        settings, force: see `load_checkpoint`.
        frozen: parts of the model that do not change and come from elsewhere: not saved.

    Raises:
        ValueError: what `load_checkpoint` finds, or a number below 1.

    Example:
        stage.compile(optimizer)
        checkpoint = Checkpoint("run.checkpoints", stage)
        batches = read_records(..., repeat=True, start=checkpoint.step)
        stage.fit(batches, steps_per_epoch=1000 - checkpoint.step, callbacks=[checkpoint])
    """

    def __init__(
        self,
        folder: str | Path,
        model: keras.Model,
        save_every: int = 1000,
        keep: int = 3,
        settings: Settings | None = None,
        force: bool = False,
        frozen: Sequence[keras.layers.Layer] = (),
    ) -> None:
        if save_every < 1 or keep < 1:
            raise ValueError(
                f"save_every and keep must be at least 1; received {save_every} and {keep}."
            )
        super().__init__(*load_checkpoint(folder, model, settings, force, frozen))
        self.folder, self.save_every, self.keep = Path(folder), save_every, keep
        self.settings, self.frozen = settings, frozen
        self._saved = self.step
        # `fit` begins by a reset of the metrics, also in the middle of an epoch.
        self._metrics = [np.array(to_host(v)) for v in model.metrics_variables]
        self._terminated = False
        if self.step:
            _LOGGER.warning("%s: the run goes on after step %d.", folder, self.step)

    def on_train_begin(self, logs: dict | None = None) -> None:
        if threading.current_thread() is threading.main_thread():  # no other may set a handler
            self._handler = signal.signal(signal.SIGTERM, self._terminate) or signal.SIG_DFL

    def _terminate(self, *_: Any) -> None:
        self._terminated = True
        signal.signal(signal.SIGTERM, self._handler)

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        super().on_epoch_begin(epoch, logs)
        for variable, value in zip(self.model.metrics_variables, self._metrics, strict=False):
            variable.assign(value)
        self._metrics = []

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        super().on_train_batch_begin(batch, logs)
        if self._terminated or self.step - self._saved >= self.save_every:
            self._save()
        if self._terminated:
            _LOGGER.warning("SIGTERM: saved step %d in %s and stopped.", self.step, self.folder)
            raise SystemExit(128 + signal.SIGTERM)

    def on_train_end(self, logs: dict | None = None) -> None:
        self.model.reset_metrics()  # the next epoch begins so
        self._save()
        if signal.getsignal(signal.SIGTERM) == self._terminate:
            signal.signal(signal.SIGTERM, self._handler)

    def _save(self) -> None:
        if self.step > self._saved:
            # On JAX, asking for `self.model` puts the values of this step into its variables.
            progress = Progress(self.step, self.curves)
            options = self.settings, self.keep, self.frozen
            save_checkpoint(self.folder, self.model, progress, *options)
            self._saved = self.step
