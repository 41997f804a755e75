import keras
import numpy as np
import pytest

from keras_videoprism.commands.run_page import (
    CHARTS,
    RunPage,
    charts,
    draw,
    mask_picture,
    read_table,
    run_page,
)
from keras_videoprism.commands.run_record import write_run
from keras_videoprism.models import VideoPrism, VideoPrismLvT
from keras_videoprism.training import Stage1Model, Stage2Model
from keras_videoprism.training.callbacks import StepLog

TINY = {
    "patch_size": 8,
    "position_shape": (2, 2, 2),
    "hidden_dim": 8,
    "num_spatial_layers": 1,
    "num_temporal_layers": 1,
    "num_heads": 2,
    "mlp_dim": 16,
}
DECODER = {"decoder_dim": 8, "decoder_layers": 1, "decoder_heads": 2, "decoder_mlp_dim": 16}


def make_stage(number: int) -> keras.Model:
    towers = VideoPrismLvT(**TINY, vocabulary_size=20, num_text_layers=1, num_auxiliary_layers=0)
    return (
        Stage1Model(towers) if number == 1 else Stage2Model(VideoPrism(**TINY), towers, **DECODER)
    )


@pytest.fixture
def batch() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "videos": rng.integers(0, 256, (4, 2, 16, 16, 3), dtype=np.uint8),
        "token_ids": rng.integers(0, 20, (4, 5)).astype("int32"),
        "padding_mask": np.ones((4, 5), bool),
        "clip_id": np.arange(4),
    }


def test_a_run_is_drawn_at_its_end(batch, tmp_path):
    folder = tmp_path / "out.run"
    write_run(folder, {"learning_rate": 0.125, "records": ["<a>"]})
    (folder / "probe.csv").write_text("step,probe\n0,0.25\n2,0.5\n")
    stage = make_stage(1)
    stage.compile(keras.optimizers.SGD(0.1))
    log = StepLog(folder / "steps.csv", every=1)
    page = RunPage(folder, lambda start: [batch])
    stage.fit(batch, batch_size=4, epochs=3, verbose=0, callbacks=[log, page])
    page = (folder / "report.html").read_text()
    assert page.count("<img") == 2 and "50% of the tokens" in page
    assert "<td>learning_rate</td><td>0.125</td>" in page and "&lt;a&gt;" in page
    assert f"<td>step</td><td>{3}</td>" in page
    assert sorted(path.name for path in folder.iterdir()) == [
        "probe.csv",
        "report.html",
        "run.json",
        "steps.csv",
    ]
    known = charts(read_table(folder / "steps.csv"))
    assert {"Loss", "What is learned", "Temperature", "Gradient norm"} <= known.keys()
    assert known["Loss"]["step"] == [1, 2, 3]


def test_charts_take_their_columns():
    columns = {"step": [1.0, 2.0], "loss/web": [3.0, 4.0], "loss": [5.0, 6.0], "other": [0.0, 0.0]}
    assert charts(columns) == {
        "Loss": {"step": [1.0, 2.0], "loss": [5.0, 6.0]},
        "Loss of each source": {"step": [1.0, 2.0], "loss/web": [3.0, 4.0]},
    }
    assert charts({}) == {}


def test_missing_values_and_half_a_row(tmp_path):
    path = tmp_path / "steps.csv"
    assert read_table(path) == {}
    path.write_text("step,loss/web\n1,\n2,0.5\n3")
    table = read_table(path)
    assert table["step"] == [1, 2] and np.isnan(table["loss/web"][0])
    figure = draw(charts(table))
    ((x, y),) = figure.axes[0].lines[0].get_xydata()
    assert (x, y) == (2, 0.5)


def test_a_run_without_a_row_has_a_page():
    run = {"backend": "jax", "devices": [], "time": "now", "git": None, "versions": {}}
    assert "Curves" in run_page("out.run", {**run, "arguments": {}}, {}, {})
    assert len(CHARTS) == len(set(CHARTS))


@pytest.mark.parametrize(("number", "share"), [(1, "50%"), (2, "62%")])
def test_masks_are_those_of_the_stage(batch, number, share):
    """Stage 2 masks round(0.65 x 8) = 5 of 8 tokens."""
    assert f"{share} of the tokens" in mask_picture(make_stage(number), batch)
