from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance, ImageOps

from keras_videoprism.data import rand_augment as ops
from keras_videoprism.data.rand_augment import OPERATIONS, Draw, rand_augment


def clip(num_frames: int = 3, height: int = 40, width: int = 56) -> np.ndarray:
    """uint8 clip with smooth shapes and some noise; its channels have unequal histograms."""
    rng = np.random.default_rng(0)
    t, y, x = np.meshgrid(*map(np.arange, (num_frames, height, width)), indexing="ij")
    waves = np.stack([np.sin(0.1 * x + t), np.cos(0.2 * y), np.sin(0.05 * x * y)], -1)
    values = (
        np.array([100, 130, 90]) + np.array([70, 110, 60]) * waves + rng.normal(0, 4, waves.shape)
    )
    return values.clip(0, 255).astype(np.uint8)


def by_pillow(function: Callable, videos: np.ndarray, *args: object) -> np.ndarray:
    """A clip as one tall picture: so its histograms span all frames."""
    tall = Image.fromarray(videos.reshape(-1, *videos.shape[2:]))
    return np.asarray(function(tall, *args)).reshape(videos.shape)


def enhanced(name: str) -> Callable:
    return lambda image, factor: getattr(ImageEnhance, name)(image).enhance(factor)


@pytest.mark.parametrize(
    ("name", "args", "pillow", "tolerance"),
    [
        ("invert", (), ImageOps.invert, 0),
        ("posterize", (3,), ImageOps.posterize, 0),
        ("posterize", (1,), ImageOps.posterize, 0),
        ("solarize", (100,), ImageOps.solarize, 0),
        ("solarize", (256,), ImageOps.solarize, 0),
        ("equalize", (), ImageOps.equalize, 0),
        ("auto_contrast", (), ImageOps.autocontrast, 1),
        # Pillow rounds grey values and means before it blends.
        ("color", (1.72,), enhanced("Color"), 1),
        ("color", (0.3,), enhanced("Color"), 1),
        ("contrast", (1.72,), enhanced("Contrast"), 1),
        ("contrast", (0.3,), enhanced("Contrast"), 1),
        ("brightness", (1.72,), enhanced("Brightness"), 1),
        ("brightness", (0.3,), enhanced("Brightness"), 1),
    ],
)
def test_operations_on_values_equal_pillow(name, args, pillow, tolerance):
    videos = clip()
    found = getattr(ops, name)(tf.constant(videos), *args).numpy()
    expected = by_pillow(pillow, videos, *args)
    assert found.dtype == np.uint8
    np.testing.assert_allclose(found.astype(int), expected, atol=tolerance)


@pytest.mark.parametrize("factor", [0.3, 1.72])
def test_sharpness_equals_pillow(factor):
    videos = clip()
    found = ops.sharpness(videos, factor).numpy().astype(int)
    for frame, expected in zip(found, videos, strict=True):
        expected = ImageEnhance.Sharpness(Image.fromarray(expected)).enhance(factor)
        np.testing.assert_allclose(frame, np.asarray(expected), atol=1)


def test_solarize_add():
    videos = np.array([0, 27, 127, 128, 255], np.uint8).reshape(1, 1, 5, 1).repeat(3, -1)
    added = ops.solarize_add(videos, 99.0).numpy()[0, 0, :, 0]
    assert added.tolist() == [99, 126, 226, 128, 255]


def test_flat_channels_stay():
    videos = np.full((2, 8, 8, 3), 77, np.uint8)
    np.testing.assert_array_equal(ops.auto_contrast(videos), videos)
    np.testing.assert_array_equal(ops.equalize(videos), videos)


@pytest.mark.parametrize(
    ("name", "amount", "matrix"),
    [
        ("shear_x", 0.27, (1, 0.27, -0.135, 0, 1, 0)),
        ("shear_y", -0.27, (1, 0, 0, -0.27, 1, 0.135)),
        ("translate_x", 9, (1, 0, 9, 0, 1, 0)),
        ("translate_y", -9, (1, 0, 0, 0, 1, -9)),
    ],
)
def test_movements_equal_pillow(name, amount, matrix):
    """Pillow's coordinates are half a pixel greater, so ties may fall to the other neighbour."""
    videos = clip()
    found = getattr(ops, name)(videos, amount).numpy()
    for frame, expected in zip(found, videos, strict=True):
        expected = Image.fromarray(expected).transform(
            (56, 40), Image.Transform.AFFINE, matrix, fillcolor=(128,) * 3
        )
        assert np.mean(frame == np.asarray(expected)) > 0.99


@pytest.mark.parametrize("degrees", [27, -13])
def test_rotation_equals_pillow(degrees):
    videos = clip(height=41, width=41)  # the centre is a pixel: no sample lies on a tie
    found = ops.rotate(videos, degrees).numpy()
    for frame, expected in zip(found, videos, strict=True):
        expected = Image.fromarray(expected).rotate(degrees, fillcolor=(128,) * 3)
        assert np.mean(frame == np.asarray(expected)) > 0.99


def test_cutout_is_a_grey_square_of_its_size_in_all_frames():
    videos = np.zeros((3, 20, 30, 3), np.uint8)
    found = ops.cutout(videos, 4.7, [0.5, 0.4]).numpy()
    expected = np.zeros_like(videos)
    expected[:, 6:14, 8:16] = 128
    np.testing.assert_array_equal(found, expected)
    corner = ops.cutout(videos, 4.0, [0.0, 0.999]).numpy()
    assert np.all(corner[:, :4, 25:] == 128) and corner.sum() == 3 * 4 * 5 * 3 * 128


@pytest.mark.parametrize("name", OPERATIONS)
def test_all_frames_get_the_same_operation(name):
    """Two equal frames stay equal, and the table's operation runs at both ends of its strength."""
    videos = clip(1).repeat(2, 0)
    for level in (0.0, 0.9, 1.0):
        draw = Draw(*(tf.constant(number) for number in (level, -level, [0.3, 0.8])))
        first, second = OPERATIONS[name](tf.constant(videos), draw).numpy()
        np.testing.assert_array_equal(first, second)
        assert first.shape == videos.shape[1:] and first.dtype == np.uint8
        if name not in ("identity", "posterize", "solarize") and level == 0.9:
            assert np.mean(first != videos[0]) > 0.05


def test_lengths_grow_with_the_frames():
    """9 of 224 pixels at magnitude 9, and 18 of 448; half of the square is 36 of 224."""
    draw = Draw(*(tf.constant(number) for number in (0.9, 0.9, [0.5, 0.5])))
    for scale in (1, 2):
        videos = np.zeros((1, 224 * scale, 224 * scale, 3), np.uint8)
        moved = OPERATIONS["translate_x"](tf.constant(videos), draw).numpy()
        assert (moved[0, 0, :, 0] == 128).sum() == 9 * scale
        cut = OPERATIONS["cutout"](tf.constant(videos), draw).numpy()
        assert (cut[0, :, :, 0] == 128).sum() == (72 * scale) ** 2


@pytest.fixture(scope="module")
def augmented() -> list[np.ndarray]:
    """300 times the same clip, each with its seed, as a data set makes them."""
    videos = tf.constant(clip(2, 16, 16))
    seeds = tf.data.Dataset.range(300).map(lambda seed: tf.stack([seed, 7]))
    clips = seeds.map(lambda seed: rand_augment(videos, seed, num_layers=1))
    return list(clips.as_numpy_iterator())


def test_a_seed_gives_one_result_within_a_data_set_and_outside(augmented):
    for seed in (0, 5, 11):
        again = rand_augment(clip(2, 16, 16), [seed, 7], num_layers=1)
        np.testing.assert_array_equal(augmented[seed], again)


def test_all_operations_are_drawn_alike(augmented):
    """Those that have no strength make one picture each: one of 17 draws, here 18 of 300."""
    videos = tf.constant(clip(2, 16, 16))
    for name in ("auto_contrast", "equalize", "invert", "identity"):
        expected = OPERATIONS[name](videos, Draw(0.9, 0.9, [0.5, 0.5])).numpy()
        count = sum(np.array_equal(expected, found) for found in augmented)
        assert 6 <= count <= 32, name
    assert len({found.tobytes() for found in augmented}) > 150


def test_layers_and_strength():
    videos = clip(2, 16, 16)
    np.testing.assert_array_equal(rand_augment(videos, [0, 0], num_layers=0), videos)
    # Without a spread, and apart from sign and place, an operation has one strength only.
    results = [
        {
            rand_augment(videos, [seed, 0], num_layers=1, magnitude_std=std).numpy().tobytes()
            for seed in range(40)
        }
        for std in (0.0, 0.5)
    ]
    assert len(results[0]) < len(results[1])


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"uint8 \[T, H, W, 3\].*float32"):
        rand_augment(np.zeros((2, 8, 8, 3), np.float32), [0, 0])
    with pytest.raises(ValueError, match=r"one clip.*\(1, 2, 8, 8, 3\)"):
        rand_augment(np.zeros((1, 2, 8, 8, 3), np.uint8), [0, 0])
    with pytest.raises(ValueError, match="num_layers.*-1"):
        rand_augment(clip(), [0, 0], num_layers=-1)
    for bad in ({"magnitude": 11}, {"magnitude": float("nan")}, {"magnitude_std": -0.5}):
        with pytest.raises(ValueError, match="magnitude must be from 0 to 10"):
            rand_augment(clip(), [0, 0], **bad)
