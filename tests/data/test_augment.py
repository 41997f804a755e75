import numpy as np
import pytest
import tensorflow as tf

from keras_videoprism.data.augment import (
    central_box,
    pad,
    padded_boxes,
    random_box,
    random_flip,
    resize,
    shifted_box,
    side_boxes,
)


def gradient(num_frames: int = 2, height: int = 40, width: int = 60) -> np.ndarray:
    """uint8 frames whose red is the row and whose green is the column."""
    frame = np.zeros((height, width, 3), np.uint8)
    frame[..., 0] = np.arange(height)[:, None]
    frame[..., 1] = np.arange(width)
    return np.tile(frame, (num_frames, 1, 1, 1))


def numbers(box) -> list[list[int]]:
    return [part.numpy().tolist() for part in box]


@pytest.mark.parametrize(
    ("stored", "wanted", "box"),
    [
        ((40, 60), (40, 40), [[0, 10], [40, 40]]),
        ((40, 60), (20, 30), [[0, 0], [40, 60]]),
        ((61, 40), (18, 18), [[10, 0], [40, 40]]),
        ((1, 1000), (36, 36), [[0, 499], [1, 1]]),
    ],
)
def test_central_box(stored, wanted, box):
    assert numbers(central_box(tf.constant(stored, tf.int64), wanted)) == box


def test_random_boxes_depend_on_the_seed_and_have_the_stated_area_and_shape():
    boxes = [numbers(random_box((40, 60), (24, 36), [seed, 0])) for seed in range(60)]
    sizes = np.array([size for _, size in boxes])
    areas, aspects = sizes.prod(axis=1) / (40 * 60), sizes[:, 1] / sizes[:, 0] / 1.5
    assert 0.48 < areas.min() < 0.6 and 0.9 < areas.max() <= 1.0
    assert 0.7 < aspects.min() < 0.9 and 1.1 < aspects.max() < 1.4
    assert len({str(begin) for begin, _ in boxes}) > 20
    assert all(b[0] + s[0] <= 40 and b[1] + s[1] <= 60 for b, s in boxes)
    assert numbers(random_box((40, 60), (24, 36), [59, 0])) == boxes[59]


@pytest.mark.parametrize(
    ("stored", "wanted", "share", "boxes"),
    [
        ((40, 60), (20, 20), 1.0, [[[0, 0], [40, 40]], [[0, 10], [40, 40]], [[0, 20], [40, 40]]]),
        (
            (60, 40),
            (20, 20),
            0.5,
            [[[0, 10], [20, 20]], [[20, 10], [20, 20]], [[40, 10], [20, 20]]],
        ),
        ((40, 60), (20, 30), 1.0, [[[0, 0], [40, 60]]] * 3),
    ],
)
def test_boxes_side_by_side(stored, wanted, share, boxes):
    found = side_boxes(tf.constant(stored), wanted, 3, share)
    assert [numbers(box) for box in found] == boxes
    (alone,) = side_boxes(tf.constant(stored), wanted, 1, share)
    assert numbers(alone) == boxes[1]


def test_inception_crops_are_wilder():
    sizes = np.array(
        [numbers(random_box((40, 60), (24, 36), [i, 0], "inception"))[1] for i in range(60)]
    )
    areas, aspects = sizes.prod(axis=1) / (40 * 60), sizes[:, 1] / sizes[:, 0] / 1.5
    assert 0.28 < areas.min() < 0.4 and areas.max() > 0.7
    assert 0.45 < aspects.min() < 0.65 and 1.5 < aspects.max() < 2.1


@pytest.mark.parametrize(("size", "wanted"), [((40, 60), (30, 30)), ((60, 40), (45, 60))])
def test_boxes_follow_padded_frames(size, wanted):
    """A white box in a grey frame is where `padded_boxes` says, and the rest is black."""
    frame = np.full((1, *size, 3), 100, np.uint8)
    top, left, bottom, right = np.array([10, 10, 30, 30]) / np.tile(size, 2)
    frame[:, 10:30, 10:30] = 255
    padded = pad(frame, wanted).numpy()
    assert padded.shape == (1, *wanted, 3) and padded.dtype == np.uint8
    found = padded_boxes(np.array([top, left, bottom, right]), np.array(size), wanted)
    rows, columns = np.nonzero(padded[0, ..., 0] > 180)
    edges = [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]
    np.testing.assert_allclose(found * np.tile(wanted, 2), edges, atol=0.51)
    whole = padded_boxes(np.array([0.0, 0.0, 1.0, 1.0]), np.array(size), wanted)
    rows, columns = np.nonzero(padded[0, ..., 0])
    edges = [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]
    np.testing.assert_allclose(whole * np.tile(wanted, 2), edges, atol=0.51)


def test_resize_keeps_the_whole_frame():
    frames = resize(gradient(), (20, 30)).numpy()
    assert frames.shape == (2, 20, 30, 3) and frames.dtype == np.uint8
    np.testing.assert_allclose(frames[0, 10, :, 1], np.arange(30) * 2 + 0.5, atol=0.51)
    np.testing.assert_allclose(frames[0, :, 10, 0], np.arange(20) * 2 + 0.5, atol=0.51)


def test_shrinking_is_anti_aliased():
    checks = (np.indices((40, 40)).sum(0) % 2 * 255).astype(np.uint8)
    frames = resize(np.repeat(checks[None, ..., None], 3, -1), (10, 10)).numpy()
    np.testing.assert_allclose(frames, 127.5, atol=13)
    white = resize(np.full((1, 37, 41, 3), 255, np.uint8), (18, 18)).numpy()
    assert white.min() == 255


@pytest.mark.parametrize("method", ["bilinear", "lanczos3"])
def test_enlarging_equals_the_filter_of_shrinking(method):
    """Where frames grow, anti-aliasing is left out since it changes nothing."""
    frames = np.random.default_rng(0).integers(0, 256, (1, 11, 13, 3), dtype=np.uint8)
    expected = tf.image.resize(frames, (18, 36), method, antialias=True).numpy()
    found = resize(frames, (18, 36), method).numpy()
    np.testing.assert_allclose(found, expected.clip(0, 255), atol=0.5001)


def test_frames_of_the_right_size_stay():
    frames = np.random.default_rng(0).integers(0, 256, (2, 8, 12, 3), dtype=np.uint8)
    for method in ("bilinear", "lanczos3"):
        np.testing.assert_array_equal(resize(frames, (8, 12), method), frames)


def test_flip_mirrors_all_frames_half_of_the_time():
    frames = tf.constant(gradient(3))
    flips = [random_flip(frames, [seed, 0]).numpy() for seed in range(200)]
    mirrored = [bool((flip == frames[:, :, ::-1]).numpy().all()) for flip in flips]
    assert 70 < sum(mirrored) < 130
    np.testing.assert_array_equal(flips[mirrored.index(False)], frames)


def test_shifted_boxes_are_those_of_appendix_g():
    """Of [400, 692] the centre [346, 346] in its scale, and 288 of these 346 anywhere."""
    boxes = [numbers(shifted_box((400, 692), (288, 288), [seed, 0])) for seed in range(80)]
    assert {tuple(size) for _, size in boxes} == {(333, 333)}  # 400 * 288 / 346
    begins = np.array([begin for begin, _ in boxes])
    assert begins.min(axis=0).tolist() >= [0, 146] and begins.max(axis=0).tolist() <= [67, 213]
    assert (np.ptp(begins, axis=0) > 55).all()
    assert numbers(shifted_box((400, 692), (288, 288), [79, 0])) == boxes[79]
    assert numbers(shifted_box((1, 9), (2, 2), [0, 0])) == [[0, 4], [1, 1]]
