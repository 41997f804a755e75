import numpy as np
import pytest
import tensorflow as tf

from keras_videoprism.data.mixup import cutmix, draw_shares, mixup_cutmix


def batch_of(num_clips: int, num_frames: int = 2, size: tuple[int, int] = (12, 16)) -> dict:
    """Clip i is of the value 20 i and the class i."""
    values = np.arange(num_clips, dtype=np.uint8)
    videos = np.broadcast_to(
        20 * values[:, None, None, None, None], (num_clips, num_frames, *size, 3)
    )
    return {
        "videos": tf.constant(videos),
        "labels": tf.range(num_clips),
        "clip_id": tf.range(num_clips, dtype=tf.int64),
    }


def mixed(batch: dict, step: int = 0, num_classes: int = 8, seed: int = 0, **options) -> dict:
    result = mixup_cutmix(batch, num_classes, seed=seed, step=step, **options)
    return {key: value.numpy() for key, value in result.items()}


def test_cutmix_labels_are_the_shares_of_pixels():
    batch = batch_of(6)
    for step in range(20):
        found = mixed(batch, step, switch_prob=1.0, label_smoothing=0.0)
        for clip, label in enumerate(found["labels"]):
            own = np.mean(found["videos"][clip] == 20 * clip)
            partner = np.mean(found["videos"][clip] == 20 * (5 - clip))
            assert own + partner == 1.0
            np.testing.assert_allclose(label[[clip, 5 - clip]], [own, partner], atol=1e-6)
            assert label.sum() == pytest.approx(1.0)


def test_cutmix_cuts_one_box_from_all_frames():
    boxes, _ = cutmix(batch_of(200, 3)["videos"], 1.0, tf.constant([0, 1]))
    inside = boxes.numpy() != batch_of(200, 3)["videos"].numpy()
    np.testing.assert_array_equal(inside, np.broadcast_to(inside[:, :1, :, :, :1], inside.shape))
    for box in inside[:, 0, :, :, 0]:
        rows, columns = box.any(1), box.any(0)
        np.testing.assert_array_equal(box, rows[:, None] & columns)
        for line in (rows, columns):  # without a gap
            assert np.abs(np.diff(line.astype(int))).sum() <= 2


def test_boxes_have_the_drawn_size_where_the_border_cuts_none_off():
    """Their side is sqrt(1 - share) of the frame's, in whole pixels."""
    videos = tf.repeat(tf.constant([0, 1], tf.uint8), 200)[:, None, None, None, None]
    cut, share = cutmix(tf.tile(videos, [1, 1, 40, 60, 3]), 1.0, tf.constant([3, 4]))
    inside = cut.numpy()[:, 0, :, :, 0] != videos.numpy()[:, 0, 0, :, 0, None]
    rows, columns = inside.any(2), inside.any(1)
    whole = ~(rows[:, [0, -1]].any(1) | columns[:, [0, -1]].any(1)) & rows.any(1)
    assert whole.sum() > 30
    heights, widths = rows[whole].sum(1), columns[whole].sum(1)
    assert np.all(np.abs(widths - 1.5 * heights) <= 1.5)
    np.testing.assert_allclose(share.numpy()[whole], 1 - heights * widths / 2400, atol=1e-6)


def test_mixup_labels_are_the_shares_of_values():
    batch = batch_of(6)
    found = mixed(batch, switch_prob=0.0, label_smoothing=0.0)
    values = found["labels"] @ (20.0 * np.arange(8))
    expected = np.broadcast_to(values[:, None, None, None, None], found["videos"].shape)
    np.testing.assert_allclose(found["videos"], expected, atol=0.501)
    assert found["videos"].dtype == np.uint8
    assert len({label.max() for label in found["labels"]}) > 4  # each clip has its share


@pytest.mark.parametrize("alpha", [0.2, 0.8, 4.0])
def test_shares_are_of_the_beta_distribution(alpha):
    """Beta(a, a) has the mean 1/2 and the variance 1 / (4 (2 a + 1))."""
    shares = draw_shares(alpha, 20_000, tf.constant([1, 2])).numpy()
    assert shares.mean() == pytest.approx(0.5, abs=0.01)
    assert shares.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.04)


def test_smoothing():
    """A clip that is not mixed: 0.9 + 0.1 / 4 for its class."""
    found = mixed(batch_of(3), num_classes=4, prob=0.0)
    np.testing.assert_array_equal(found["videos"], batch_of(3)["videos"])
    np.testing.assert_allclose(found["labels"], np.eye(4)[:3] * 0.9 + 0.025)


@pytest.mark.parametrize("switch_prob", [0.0, 1.0])
@pytest.mark.parametrize("num_clips", [1, 5])
def test_the_middle_clip_is_its_own_partner(num_clips, switch_prob):
    batch = batch_of(num_clips)
    found = mixed(batch, switch_prob=switch_prob, label_smoothing=0.0)
    middle = num_clips // 2
    np.testing.assert_array_equal(found["videos"][middle], batch["videos"][middle])
    np.testing.assert_allclose(found["labels"][middle], np.eye(8)[middle])


def test_seed_and_step_give_one_batch_within_a_data_set_and_outside():
    batch = batch_of(4)
    batches = tf.data.Dataset.from_tensors(batch).repeat().enumerate(10)
    batches = batches.map(lambda step, batch: mixup_cutmix(batch, 8, seed=3, step=step))
    assert batches.element_spec["labels"].shape == [4, 8]
    for step, found in zip(range(10, 16), batches.as_numpy_iterator(), strict=False):
        expected = mixed(batch, step, seed=3)
        assert found.keys() == batch.keys()
        for key in batch:
            np.testing.assert_array_equal(found[key], expected[key])
    labels = [mixed(batch, step, seed=seed)["labels"] for seed, step in ((3, 0), (3, 1), (4, 0))]
    assert not any(np.array_equal(labels[i], labels[j]) for i, j in ((0, 1), (0, 2), (1, 2)))


def test_how_often_batches_are_mixed_and_cut():
    """Of 400 batches, 60 % are mixed, and a quarter of these by CutMix."""
    batches = tf.data.Dataset.from_tensors(batch_of(2, 1, (6, 6))).repeat(400).enumerate()
    options = {"prob": 0.6, "switch_prob": 0.25, "label_smoothing": 0.0, "seed": 0}
    batches = batches.map(lambda step, batch: mixup_cutmix(batch, 2, step=step, **options))
    kinds = []
    for batch in batches.as_numpy_iterator():
        has_blends = bool(set(np.unique(batch["videos"])) - {0, 20})
        has_mixed_labels = not np.isin(batch["labels"], (0, 1)).all()
        kinds.append((has_mixed_labels, has_blends))
    assert 200 < sum(is_mixed for is_mixed, _ in kinds) < 270
    assert 35 < kinds.count((True, False)) < 85  # some blends round to one of the two values


def test_bad_batches():
    batch = batch_of(4)
    with pytest.raises(ValueError, match=r"int \[B\].*float32 \(4, 8\)"):
        mixed(batch | {"labels": tf.zeros([4, 8])})
    with pytest.raises(ValueError, match=r"uint8 \[B, T, H, W, 3\].*float32"):
        mixed(batch | {"videos": tf.cast(batch["videos"], tf.float32)})
    for wrong in (-1, 8):
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"must be in \[0, 8\)"):
            mixed(batch | {"labels": tf.constant([0, 1, wrong, 2])})


def test_a_class_beyond_the_last_ends_a_data_set():
    batches = tf.data.Dataset.from_tensors(batch_of(4))
    batches = batches.map(lambda batch: mixup_cutmix(batch, 3, seed=0, step=0))
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"must be in \[0, 3\)"):
        next(iter(batches))


@pytest.mark.parametrize(
    "option",
    [
        {"mixup_alpha": 0.0},
        {"cutmix_alpha": -1.0},
        {"mixup_alpha": float("nan")},
        {"prob": 1.5},
        {"switch_prob": -0.1},
        {"label_smoothing": float("nan")},
    ],
)
def test_numbers_out_of_their_range(option):
    with pytest.raises(ValueError, match=f"{next(iter(option.values()))}"):
        mixed(batch_of(2), **option)
