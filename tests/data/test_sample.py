import numpy as np
import pytest
import tensorflow as tf

from keras_videoprism.data.sample import (
    random_segment,
    random_window,
    segment_centres,
    uniform,
    windows,
)


def test_uniform_is_linspace_without_end_point():
    np.testing.assert_array_equal(uniform(16, 8), np.arange(0, 16, 2))
    for available in range(1, 60):
        for num_frames in (1, 2, 4, 8, 16):  # powers of two: linspace is exact there
            expected = np.linspace(0, available, num_frames, endpoint=False).astype(int)
            np.testing.assert_array_equal(uniform(available, num_frames), expected)


def test_short_clips_repeat_frames():
    np.testing.assert_array_equal(uniform(3, 6), [0, 0, 1, 1, 2, 2])
    np.testing.assert_array_equal(random_segment(3, 6, [0, 1]), [0, 0, 1, 1, 2, 2])


def test_tensor_and_int_agree():
    np.testing.assert_array_equal(uniform(tf.constant(13, tf.int64), 5), uniform(13, 5))


def test_random_segment_draws_one_frame_of_each_segment():
    draws = np.array([random_segment(20, 4, [seed, 0]) for seed in range(300)])
    for segment, column in enumerate(draws.T):
        assert set(column) == set(range(5 * segment, 5 * segment + 5))


def test_random_segment_depends_on_the_seed_alone():
    np.testing.assert_array_equal(random_segment(99, 8, [3, 4]), random_segment(99, 8, [3, 4]))
    assert (random_segment(99, 8, [3, 4]) != random_segment(99, 8, [3, 5])).numpy().any()


@pytest.mark.parametrize(("available", "num_frames"), [(0, 4), (4, 0)])
def test_bad_counts(available, num_frames):
    with pytest.raises(ValueError, match="received 0"):
        uniform(available, num_frames)
    with pytest.raises(ValueError, match="received 0"):
        random_segment(available, num_frames, [0, 0])


def test_segment_centres():
    np.testing.assert_array_equal(segment_centres(20, 4), [2, 7, 12, 17])
    np.testing.assert_array_equal(segment_centres(3, 6), [0, 0, 1, 1, 2, 2])
    np.testing.assert_array_equal(segment_centres(tf.constant(13, tf.int64), 5), [1, 3, 6, 8, 11])
    np.testing.assert_array_equal(segment_centres(13, 5), [1, 3, 6, 8, 11])


def test_windows_reach_from_the_first_frame_to_the_last():
    np.testing.assert_array_equal(windows(10, 4), [[3, 4, 5, 6]])
    expected = [[0, 1, 2, 3], [3, 4, 5, 6], [6, 7, 8, 9]]
    np.testing.assert_array_equal(windows(10, 4, 3), expected)
    np.testing.assert_array_equal(windows(tf.constant(10, tf.int64), 4, 3), expected)
    np.testing.assert_array_equal(windows(3, 5, 2), [[0, 1, 2, 2, 2]] * 2)  # its last frame again
    np.testing.assert_array_equal(windows(tf.constant(3, tf.int64), 5), [[0, 1, 2, 2, 2]])
    for arguments in ((0, 4), (4, 0), (4, 4, 0)):
        with pytest.raises(ValueError, match="received 0"):
            windows(*arguments)


def test_random_windows_are_all_windows():
    draws = np.array([random_window(10, 4, [seed, 0]) for seed in range(200)])
    assert set(draws[:, 0]) == set(range(7))
    np.testing.assert_array_equal(draws - draws[:, :1], np.tile(np.arange(4), (200, 1)))
    np.testing.assert_array_equal(random_window(10, 4, [7, 0]), draws[7])
    np.testing.assert_array_equal(random_window(3, 5, [0, 1]), [0, 1, 2, 2, 2])
