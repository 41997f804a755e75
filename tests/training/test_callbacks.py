import csv
import time
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_videoprism.training.callbacks import (
    COLLAPSE,
    StepLog,
    StopWhenBroken,
    WarnOfCollapse,
    begin_table,
    rates,
)
from keras_videoprism.training.flops import step_work

SEES_BATCHES = keras.backend.backend() != "tensorflow"


def rows_of(path: Path) -> list[dict[str, float]]:
    with path.open(newline="") as file:
        return [{k: float(v or "nan") for k, v in row.items()} for row in csv.DictReader(file)]


def batches_of(batch: dict, seconds: float = 0.0):
    """The same batch again and again, each after some seconds."""
    while True:
        time.sleep(seconds)
        yield (batch,)


def fit(stage: keras.Model, batches, steps: int, *callbacks: keras.callbacks.Callback) -> None:
    if not stage.compiled:
        stage.compile(keras.optimizers.SGD(keras.optimizers.schedules.PolynomialDecay(0.1, 8, 0.0)))
    stage.fit(batches, steps_per_epoch=steps, shuffle=False, verbose=0, callbacks=callbacks)


@pytest.mark.backends
def test_rows_hold_the_logs_and_the_speed(stage1, batch, tmp_path):
    stage, path = stage1(), tmp_path / "run" / "steps.csv"
    fit(stage, batches_of(batch(4)), 6, StepLog(path, every=2, peak_flops=1e9))
    rows = rows_of(path)
    assert [row["step"] for row in rows] == [2, 4, 6]
    assert [row["learning_rate"] for row in rows] == pytest.approx([0.075, 0.05, 0.025])
    for name in ("loss", "temperature", "gradient_norm", "recall_at_1", "pair_cosine"):
        assert np.isfinite([row[name] for row in rows]).all(), name
    assert rows[0]["loss"] != rows[1]["loss"] and rows[-1]["skipped_steps"] == 0
    assert all(row["peak_host_bytes"] > 10**8 for row in rows)
    assert rows[0].keys() >= COLLAPSE.keys()
    assert ("mfu" in rows[0]) == SEES_BATCHES
    for row in rows if SEES_BATCHES else []:
        work = step_work(stage, batch(4))
        assert row["clips_per_second"] * row["seconds_per_step"] == pytest.approx(4)
        tokens = row["visible_tokens_per_second"] * row["seconds_per_step"]
        assert tokens == pytest.approx(work.visible_tokens)
        assert row["flops_per_second"] * row["seconds_per_step"] == pytest.approx(work.flops)
        assert row["mfu"] == pytest.approx(row["flops_per_second"] / 1e9)


@pytest.mark.backends
@pytest.mark.skipif(not SEES_BATCHES, reason="TensorFlow fetches the batch in the compiled step")
def test_waiting_for_data_is_found(stage1, batch, tmp_path):
    stage, clips = stage1(), batch(4)
    fit(stage, batches_of(clips), 8, StepLog(tmp_path / "fast.csv", every=8))
    (fast,) = rows_of(tmp_path / "fast.csv")
    wait = 2 * fast["seconds_per_step"]
    fit(stage, batches_of(clips, wait), 8, StepLog(tmp_path / "slow.csv", every=8))
    (slow,) = rows_of(tmp_path / "slow.csv")
    # A busy machine makes a wait longer, never shorter. Of seven steps after the first, one may
    # find a batch that Keras had fetched to look at it.
    assert slow["waiting_share"] * slow["seconds_per_step"] >= 0.99 * wait * 6 / 7
    assert fast["waiting_share"] < 0.5 * slow["waiting_share"]


def test_a_run_that_goes_on_appends(stage1, batch, tmp_path):
    path = tmp_path / "steps.csv"
    stage, batches = stage1(), batches_of(batch(4))
    fit(stage, batches, 3, StepLog(path, every=1))
    before = rows_of(path)
    assert np.isnan(before[0]["clips_per_second"]) and before[1]["clips_per_second"] > 0
    stage.step.assign(2)  # as if the last checkpoint were of this step
    log = StepLog(path, every=1)
    fit(stage, batches, 1, log)
    fit(stage, batches, 1, log)
    rows = rows_of(path)
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    np.testing.assert_equal(rows[:2], before[:2])
    assert rows[2]["loss"] != before[2]["loss"]  # the weights are those of another step


@pytest.mark.backends
def test_the_loss_of_each_source(stage1, batch, tmp_path):
    """Images and clips in turn; a row holds the mean of each, or nothing."""
    images = {**batch(4), "videos": batch(4)["videos"][:, :1]}
    order = ["clips", "images", "clips", "clips", "clips", "images"]
    batches = ((batch(4) if name == "clips" else images,) for name in order)
    each = StepLog(tmp_path / "each.csv", every=1)
    names = ("clips", "images", "never")
    log = StepLog(tmp_path / "log.csv", every=2, sources=names, source_of=lambda step: order[step])
    fit(stage1(), batches, 6, each, log)
    losses = [row["batch_loss"] for row in rows_of(each.path)]
    means = [row["loss"] for row in rows_of(each.path)]  # Keras', over the epoch so far
    np.testing.assert_allclose(means, np.cumsum(losses) / np.arange(1, 7), rtol=1e-5)
    found = [[row[f"loss/{name}"] for name in names] for row in rows_of(log.path)]
    nan = float("nan")
    expected = [
        [losses[0], losses[1], nan],
        [(losses[2] + losses[3]) / 2, nan, nan],
        [losses[4], losses[5], nan],
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert ",,," in log.path.read_text()


def test_stops_after_skipped_steps_in_a_row(stage1, batch, tmp_path):
    stage, whole, broken = stage1(), batch(4), batch(4)
    broken["videos"] = np.full_like(broken["videos"], np.nan)
    log = StepLog(tmp_path / "steps.csv", every=1)
    batches = ((clips,) for clips in [whole, broken, broken, whole] + 9 * [broken])
    with pytest.raises(FloatingPointError, match="of 3 steps in a row were not finite"):
        fit(stage, batches, 13, log, StopWhenBroken(max_skipped=3))
    assert [row["skipped_steps"] for row in rows_of(log.path)] == [0, 1, 2, 2, 3, 4, 5]
    stage.step.assign(0)  # the model still trains, and the callback still sees it
    fit(stage, batches_of(whole), 2, log)
    assert rows_of(log.path)[-1]["clips_per_second"] > 0


def test_begin_table(tmp_path):
    path = tmp_path / "folder" / "steps.csv"
    begin_table(path, ["step", "loss"], 0)
    assert path.read_text() == "step,loss\n"
    with path.open("a") as file:
        file.write("10,0.5\r\n20,0.25\r\n30,0.2\r\n4")
    begin_table(path, ["step", "loss"], 20)
    assert rows_of(path) == [{"step": 10, "loss": 0.5}, {"step": 20, "loss": 0.25}]
    assert list(tmp_path.rglob("*")) == [path.parent, path]
    with pytest.raises(ValueError, match=r"other columns than this run; \['loss', 'mfu'\]"):
        begin_table(path, ["step", "mfu"], 20)


def test_rates():
    sums = {"steps": 4, "seconds": 2.0, "waited": 0.5, "clips": 32}
    sums |= {"visible_tokens": 320, "flops": 8e9}
    assert rates({"steps": 4, "seconds": 2.0}) == {"seconds_per_step": 0.5}
    assert rates(sums, peak_flops=16e9) == {
        "seconds_per_step": 0.5,
        "clips_per_second": 16.0,
        "visible_tokens_per_second": 160.0,
        "flops_per_second": 4e9,
        "mfu": 0.25,
        "waiting_share": 0.25,
    }


def test_collapse_warns_once_of_each_kind():
    class Stage:
        step = keras.Variable(0)

    callback = WarnOfCollapse(after=2)
    callback.set_model(Stage())
    callback.on_train_begin()
    collapsed = {"effective_rank": 1.2, "pair_cosine": 0.995}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        callback.on_train_batch_end(0, collapsed)
        callback.on_train_batch_end(1, collapsed)
        callback.on_train_batch_end(2, {"effective_rank": 2.5, "pair_cosine": 0.9, "loss": 1.0})
    with pytest.warns(UserWarning, match="step 4: effective_rank is 1.200, below 2.0"):
        callback.on_train_batch_end(3, {"effective_rank": 1.2, "pair_cosine": float("nan")})
    with pytest.warns(UserWarning, match="pair_cosine is 0.995, above 0.99") as caught:
        callback.on_train_batch_end(4, collapsed)
    assert len(caught) == 1


@pytest.mark.parametrize("every", [0, -1])
def test_arguments_that_cannot_work(every):
    with pytest.raises(ValueError, match=f"every must be at least 1; received {every}"):
        StepLog("steps.csv", every=every)
