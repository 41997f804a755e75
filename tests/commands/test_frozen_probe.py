import csv

import keras
import numpy as np
import pytest

from keras_videoprism.commands.frozen_probe import FrozenProbe
from keras_videoprism.data import read_manifest, write_records
from keras_videoprism.models import VideoPrismLvT
from keras_videoprism.training import Stage1Model

TINY = {
    "patch_size": 8,
    "position_shape": (4, 3, 3),
    "hidden_dim": 16,
    "num_spatial_layers": 1,
    "num_temporal_layers": 1,
    "num_heads": 2,
    "mlp_dim": 32,
}
BATCH = {
    "videos": np.zeros((4, 2, 24, 24, 3), np.uint8),
    "token_ids": np.arange(20, dtype="int32").reshape(4, 5),
    "padding_mask": np.ones((4, 5), bool),
    "clip_id": np.arange(4),
}


@pytest.fixture(scope="module")
def records(video_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("probe") / "records"
    write_records(read_manifest(video_folder), folder, short_side=24)
    return folder


@pytest.fixture(scope="module")
def stage():
    towers = VideoPrismLvT(**TINY, num_auxiliary_layers=0, vocabulary_size=60, num_text_layers=1)
    stage = Stage1Model(towers)
    stage.compile(keras.optimizers.SGD(0.1))
    return stage


def fit(stage: keras.Model, probe: FrozenProbe, steps: int, epochs: int = 1) -> None:
    batches = (BATCH for _ in iter(int, 1))
    arguments = {"steps_per_epoch": steps, "epochs": epochs, "verbose": 0, "shuffle": False}
    stage.fit(((batch,) for batch in batches), callbacks=[probe], **arguments)


def steps_of(path) -> list[int]:
    with path.open(newline="") as file:
        return [int(row["step"]) for row in csv.DictReader(file)]


def test_probes_every_n_steps_and_after_a_resume(stage, records, tmp_path, monkeypatch):
    path, encoder = tmp_path / "probe.csv", stage.model.video_encoder
    seen = []

    def score(train, test, **settings):
        seen.append(test.tokens)
        assert train.labels.tolist() == test.labels.tolist() and set(train.labels) == {0, 1, 2}
        return 0.5

    monkeypatch.setattr("keras_videoprism.commands.frozen_probe.probe_features", score)
    stage.step.assign(0)
    fit(stage, FrozenProbe(path, encoder, records, records, 3, every=2), steps=3, epochs=2)
    assert steps_of(path) == [0, 2, 4, 6]
    assert np.abs(seen[1] - seen[0]).max() > 1e-4  # the weights are those of the step
    stage.step.assign(4)  # a run that goes on after step 4 has its score already
    fit(stage, FrozenProbe(path, encoder, records, records, 3, every=2), steps=2)
    assert steps_of(path) == [0, 2, 4, 6]
    assert len(seen) == 5
    stage.step.assign(0)


def test_the_probe_reads_colours(stage, records, tmp_path):
    probe = FrozenProbe(tmp_path / "p.csv", stage.model.video_encoder, records, records, 3, every=9)
    fit(stage, probe, steps=1)
    (row,) = csv.DictReader((tmp_path / "p.csv").open())
    assert 0 <= float(row["probe"]) <= 1


def test_labels_that_do_not_fit_are_told_before_the_first_step(stage, records, tmp_path):
    probe = FrozenProbe(tmp_path / "p.csv", stage.model.video_encoder, records, records, 2)
    stage.step.assign(0)
    with pytest.raises(ValueError, match=r"labels must be in \[0, 2\); received 0 to 2"):
        fit(stage, probe, steps=1)
    assert int(stage.step) == 0
    with pytest.raises(ValueError, match="every must be at least 1; received 0"):
        FrozenProbe(tmp_path / "p.csv", stage.model.video_encoder, records, records, 2, every=0)


def test_clips_of_several_classes_are_found(stage, video_folder, tmp_path, monkeypatch):
    rows = [row._replace(labels=(0, *row.labels)) for row in read_manifest(video_folder)]
    write_records(rows, tmp_path / "records", short_side=24)
    seen = []
    name = "keras_videoprism.commands.frozen_probe.probe_features"
    monkeypatch.setattr(name, lambda train, test, **settings: seen.append(train.labels) or 0.5)
    encoder, folder = stage.model.video_encoder, tmp_path / "records"
    stage.step.assign(0)
    fit(stage, FrozenProbe(tmp_path / "p.csv", encoder, folder, folder, 3), steps=1)
    assert seen[0].shape == (len(rows), 3) and seen[0][:, 0].all()
