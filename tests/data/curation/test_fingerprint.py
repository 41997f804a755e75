import numpy as np
import pytest

from keras_videoprism.data.curation.fingerprint import NUM_FRAMES, fingerprint, likeness, mirror


def scene(seed: int, num_frames: int = 20) -> np.ndarray:
    """uint8 [T, 72, 96, 3]: a bright square that crosses a ground of smooth noise."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(40, 90, (9, 12))
    ground = np.kron(coarse, np.ones((8, 8)))
    frames = np.repeat(ground[None, ..., None], num_frames, axis=0).repeat(3, axis=-1)
    for index, frame in enumerate(frames):
        frame[20:36, 3 * index : 3 * index + 16] = 220
    return frames.astype("uint8")


def test_shape_and_type():
    prints = fingerprint(scene(0))
    assert prints.dtype == np.uint64 and prints.shape == (2, 1 + 9 + 25, NUM_FRAMES)


def test_the_hash_is_the_signs_of_cosines():
    """One horizontal wave: the bits of its own frequency tell where it starts."""
    x = (np.arange(64) + 0.5) / 64
    wave = 128 + 60 * np.cos(3 * np.pi * x)  # an odd frequency
    frames = np.broadcast_to(wave[None, None, :, None], (1, 64, 64, 3)).astype("uint8")
    pairs = [(y, x) for y in range(9) for x in range(9) if y or x]
    rank = sorted(pairs, key=lambda pair: (pair[0] ** 2 + pair[1] ** 2, pair)).index((0, 3))
    bit = np.uint64(1) << np.uint64(rank)
    prints = fingerprint(frames)
    assert (prints[0, 0] & bit).all() and (prints[1, 0] & bit).all()
    assert not (mirror(prints)[0, 0] & bit).any()
    wave = 128 + 60 * np.sin(3 * np.pi * x)  # even: the odd frequencies are not sure
    frames = np.broadcast_to(wave[None, None, :, None], (1, 64, 64, 3)).astype("uint8")
    assert not (fingerprint(frames)[1, 0] & bit).any()


def test_a_mirror_image_needs_no_hash_of_its_own():
    prints = fingerprint(scene(1))
    signs, sure = mirror(prints)[:, 0]
    expected, expected_sure = fingerprint(scene(1)[:, :, ::-1])[:, 0]
    assert np.bitwise_count((signs ^ expected) & sure & expected_sure).max() == 0
    assert np.array_equal(mirror(mirror(prints)), prints)


def test_colours_count():
    """Squares that differ in colour alone are not copies of each other."""
    frames = np.full((2, 16, 48, 64, 3), 40, "uint8")
    for index in range(16):
        frames[0, index, 10:26, 2 * index : 2 * index + 16] = (220, 30, 30)
        frames[1, index, 10:26, 2 * index : 2 * index + 16] = (30, 200, 30)
    assert likeness(*map(fingerprint, frames)).distance > 0.25


@pytest.mark.parametrize(
    ("copy", "mirrored"),
    [
        (lambda frames: frames, False),
        (lambda frames: frames[:, :, ::-1], True),
        (lambda frames: frames[:, 4:66, 9:91], False),
        (lambda frames: frames[:, ::2, ::2], False),
        (lambda frames: (frames * 0.7 + 30).astype("uint8"), False),
        (lambda frames: frames[6:], False),
        (lambda frames: frames[::2], False),
        (lambda frames: np.repeat(frames, 2, axis=0)[5:30], False),
    ],
)
def test_copies_are_alike(copy, mirrored):
    original = fingerprint(scene(2))
    for pair in ((original, fingerprint(copy(scene(2)))), (fingerprint(copy(scene(2))), original)):
        found = likeness(*pair)
        assert found.distance < 0.1 and found.mirrored == mirrored


def test_other_scenes_are_not():
    prints = [fingerprint(scene(seed)) for seed in range(6)]
    distances = [likeness(a, b).distance for a in prints for b in prints if a is not b]
    assert min(distances) > 0.17


def test_frames_out_of_order_are_less_alike():
    """Frame by frame the two agree, but not along a line in time."""
    rng = np.random.default_rng(0)
    frames = np.concatenate([scene(seed, 1) for seed in range(NUM_FRAMES)])
    shuffled = fingerprint(frames[rng.permutation(NUM_FRAMES)])
    assert likeness(fingerprint(frames), fingerprint(frames)).distance == 0
    assert likeness(fingerprint(frames), shuffled).distance > 0.25


def test_frames_that_show_nothing_say_nothing():
    grey = np.full((3, 40, 40, 3), 128, "uint8")
    assert not fingerprint(grey).any()
    assert likeness(fingerprint(grey), fingerprint(grey)).distance == 0.5


def test_wrong_frames():
    with pytest.raises(ValueError, match=r"\[T, H, W, 3\]"):
        fingerprint(np.zeros((0, 4, 4, 3), "uint8"))
