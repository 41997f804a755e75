import keras
import numpy as np
import pytest

from keras_videoprism.training.micro_batches import join, split, split_list

pytestmark = pytest.mark.backends


def test_a_part_takes_every_nth_clip():
    batch = {"clip_id": np.arange(6), "videos": np.arange(12.0).reshape(6, 2)}
    parts = split(batch, 3)
    clips = keras.ops.convert_to_numpy(parts["clip_id"])
    np.testing.assert_array_equal(clips, [[0, 3], [1, 4], [2, 5]])
    for part, expected in zip(split_list(batch, 3), clips, strict=True):
        videos = keras.ops.convert_to_numpy(part["videos"])
        np.testing.assert_array_equal(videos, batch["videos"][expected])
    for name, joined in join(parts).items():
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(joined), batch[name])
