import numpy as np
import tensorflow as tf

from keras_videoprism.data.augment import random_flip, random_resized_crop, resize


def gradient(num_frames: int = 2, height: int = 40, width: int = 60) -> np.ndarray:
    """uint8 frames whose red is the row and whose green is the column."""
    frame = np.zeros((height, width, 3), np.uint8)
    frame[..., 0] = np.arange(height)[:, None]
    frame[..., 1] = np.arange(width)
    return np.tile(frame, (num_frames, 1, 1, 1))


def test_resize_takes_the_centre():
    frames = resize(gradient(), (40, 40)).numpy()
    assert frames.shape == (2, 40, 40, 3) and frames.dtype == np.float32
    np.testing.assert_allclose(frames * 255, gradient()[:, :, 10:50], atol=1e-3)


def test_resize_keeps_the_whole_frame_of_equal_shape():
    frames = resize(gradient(), (20, 30)).numpy() * 255
    np.testing.assert_allclose(frames[0, 10, :, 1].mean(), 29.5, atol=0.01)
    np.testing.assert_allclose(frames[0, :, 10, 0].mean(), 19.5, atol=0.01)


def test_resize_is_anti_aliased_and_in_range():
    checks = (np.indices((40, 40)).sum(0) % 2 * 255).astype(np.uint8)
    frames = resize(np.repeat(checks[None, ..., None], 3, -1), (10, 10)).numpy()
    np.testing.assert_allclose(frames, 0.5, atol=0.05)
    white = resize(np.full((1, 37, 41, 3), 255, np.uint8), (18, 18)).numpy()
    assert white.max() <= 1.0 and white.min() > 0.999


def test_one_crop_serves_all_frames():
    frames = random_resized_crop(gradient(4), (24, 24), [1, 2]).numpy()
    assert frames.shape == (4, 24, 24, 3)
    np.testing.assert_array_equal(frames[0], frames[3])


def test_crops_depend_on_the_seed_and_have_the_stated_area():
    areas, corners = [], set()
    for seed in range(40):
        crop = random_resized_crop(gradient(1), (24, 36), [seed, 0]).numpy()[0] * 255
        rows, columns = np.ptp(crop[:, 0, 0]) * 24 / 23, np.ptp(crop[0, :, 1]) * 36 / 35
        areas.append(rows * columns / (40 * 60))
        corners.add(tuple(np.round(crop[0, 0, :2])))
    assert 0.4 < min(areas) < 0.6 and 0.85 < max(areas) < 1.1
    assert len(corners) > 20
    again = random_resized_crop(gradient(1), (24, 36), [39, 0]).numpy()[0] * 255
    np.testing.assert_array_equal(again, crop)


def test_flip_mirrors_all_frames_half_of_the_time():
    frames = tf.constant(gradient(3))
    flips = [random_flip(frames, [seed, 0]).numpy() for seed in range(200)]
    mirrored = [bool((flip == frames[:, :, ::-1]).numpy().all()) for flip in flips]
    assert 70 < sum(mirrored) < 130
    np.testing.assert_array_equal(flips[mirrored.index(False)], frames)


def test_frames_of_the_right_size_are_only_scaled():
    frames = np.random.default_rng(0).integers(0, 256, (2, 8, 12, 3), dtype=np.uint8)
    for method in ("bilinear", "lanczos3"):
        result = resize(frames, (8, 12), method).numpy()
        np.testing.assert_allclose(result, frames / 255.0, atol=1e-6)
