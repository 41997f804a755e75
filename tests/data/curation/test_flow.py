import numpy as np
import pytest

from keras_videoprism.data.curation.flow import flow_magnitude

pytest.importorskip("cv2")


def test_a_moving_texture_has_the_length_of_its_steps():
    """Noise that moves by 3 of 512 pixels a frame: 1.5 of 256."""
    noise = np.random.default_rng(0).uniform(0, 255, (64, 80))
    wide = np.kron(noise, np.ones((8, 8)))[..., None].repeat(3, axis=-1).astype("uint8")
    frames = np.stack([wide[:, 3 * i : 3 * i + 512] for i in range(5)])
    assert flow_magnitude(frames) == pytest.approx(1.5, rel=0.1)
    assert flow_magnitude(frames[[0, 0, 0]]) == 0


def test_one_frame_has_no_flow():
    with pytest.raises(ValueError, match="two frames, received 1"):
        flow_magnitude(np.zeros((1, 8, 8, 3), "uint8"))
