import keras
import numpy as np
import pytest

pytestmark = pytest.mark.backends

STAGES = pytest.mark.parametrize("stage", ["stage1", "stage2"])


def test_fit_checks_the_first_batch(stage1, batch):
    model = stage1(num_micro_batches=3)
    model.compile("sgd")
    with pytest.raises(ValueError, match="batch of 4 cannot be split into num_micro_batches=3"):
        model.fit(batch(6), batch_size=4, verbose=0)
    with pytest.raises(ValueError, match="num_micro_batches must be at least 1; received 0"):
        stage1(num_micro_batches=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda videos: (255 * videos).astype("int32"), "received int32. Cast 0 to 255 to uint8"),
        (lambda videos: 255 * videos, r"in \[0, 1\]; received values from 0.* to 2"),
        (lambda videos: videos - 1.0, r"in \[0, 1\]; received values from -0.9"),
        (lambda videos: videos * np.nan, "received values from nan to nan"),
        (lambda videos: videos[:, 0], r"received \(4, 24, 24, 3\)"),
        (lambda videos: videos[:, :, :23], "height must be a multiple .* received 23"),
        (lambda videos: videos[:, :0], "at least one clip and frame"),
    ],
)
@STAGES
def test_bad_videos(stages, batch, stage, change, message):
    model = stages[stage]()
    bad = batch(4)
    bad["videos"] = change(bad["videos"])
    with pytest.raises(ValueError, match=message):
        model.check_batch(bad)


@STAGES
def test_missing_keys(stages, batch, stage):
    incomplete = batch(4)
    del incomplete["clip_id"]
    with pytest.raises(ValueError, match=r"batches lack \['clip_id'\]"):
        stages[stage]().check_batch(incomplete)


def test_a_grain_dataset_of_bytes_trains(stage1, batch):
    """uint8 videos from grain: the first batch is checked, and the loss is that of floats."""
    grain = pytest.importorskip("grain")
    clips = batch(4)
    clips["videos"] = np.round(255 * clips["videos"]).astype("uint8")
    dataset = grain.MapDataset.range(1).map(lambda _: clips)
    model, floats = stage1(), stage1()
    model.compile(keras.optimizers.SGD(0.0))
    history = model.fit(dataset, shuffle=False, verbose=0).history
    floats.compile(keras.optimizers.SGD(0.0))
    clips["videos"] = np.float32(clips["videos"]) / 255
    expected = floats.train_on_batch(clips, return_dict=True)["loss"]
    assert history["loss"][0] == pytest.approx(float(expected), abs=1e-5)
    del clips["clip_id"]
    with pytest.raises(ValueError, match=r"batches lack \['clip_id'\]"):
        model.fit(dataset, verbose=0)
