import numpy as np
import tensorflow as tf

from keras_videoprism.data.load import load_clip
from keras_videoprism.data.schema import encode_clip

OPTIONS = {
    "num_frames": 2,
    "image_size": (20, 20),
    "num_classes": None,
    "single_label": True,
    "sampling": "uniform",
    "augment": None,
    "flip": False,
    "caption": "first",
    "seed": 0,
}


def record(**text) -> bytes:
    """Four frames [20, 40], each of one brightness, white left and right of the centre."""
    frames = np.full((4, 20, 40, 3), 255, np.uint8)
    frames[:, :, 10:30] = np.array([10, 60, 110, 160], np.uint8)[:, None, None, None]
    known = {"file": "a", "source": "a", "clip_id": 7, "captions": ["b", "c"], "labels": [2]}
    return encode_clip(frames, np.arange(4.0), **known, **text)


def load(epoch: int = 0, **changes) -> dict[str, np.ndarray]:
    element = load_clip(tf.constant(record()), tf.constant(epoch, tf.int64), **(OPTIONS | changes))
    return {key: value.numpy() for key, value in element.items()}


def test_the_centre_of_evenly_spread_frames():
    element = load()
    assert element["videos"].dtype == np.uint8
    np.testing.assert_allclose(element["videos"].mean(axis=(1, 2, 3)), [10, 110], atol=6)
    assert (element["clip_id"], element["labels"], element["caption"]) == (7, 2, b"b")


def test_labels_as_multi_hot_and_no_caption():
    element = load(num_classes=4, caption=None)
    assert element["labels"].tolist() == [0, 0, 1, 0] and "caption" not in element


def test_draws_depend_on_epoch_and_seed_alone():
    options = {"augment": "mild", "flip": True, "sampling": "random_segment", "caption": "random"}
    views = [load(epoch, seed=seed, **options) for epoch in range(4) for seed in range(4)]
    assert len({view["videos"].tobytes() for view in views}) > 12
    assert {view["caption"] for view in views} == {b"b", b"c"}
    assert {view["prompt"] for view in views} == {b""}
    again = load(2, seed=3, **options)
    np.testing.assert_array_equal(again["videos"], views[11]["videos"])


def test_views_are_crops_in_space_times_windows_in_time():
    """Frames 0 to 3 have the brightness 10, 60, 110 and 160; left and right they are white."""
    videos = load(sampling="window", views=(2, 3))["videos"]
    assert videos.shape == (6, 2, 20, 20, 3)
    centres = videos[:, :, 8:12, 8:12].mean(axis=(2, 3, 4))
    np.testing.assert_allclose(centres[[2, 3]], [[10, 60], [110, 160]], atol=8)
    assert (videos[[0, 1], :, :, :8] > 240).all() and (videos[[4, 5], :, :, -8:] > 240).all()
    middle = load(sampling="window", views=(1, 1))["videos"]
    np.testing.assert_allclose(middle[0, :, 8:12, 8:12].mean(axis=(1, 2, 3)), [60, 110], atol=8)


def test_whole_frames_have_a_black_border():
    element = load(whole=True)
    assert element["frame_size"].tolist() == [20, 40]
    videos = element["videos"]
    assert not videos[:, :5].any() and not videos[:, 15:].any()
    assert (videos[:, 6:14, :4] > 230).all() and (videos[0, 6:14, 8:12] < 30).all()


def test_augmentations_differ():
    names = (None, "mild", "inception", "strong", "shifted")
    found = {name: load(3, augment=name)["videos"] for name in names}
    assert len({videos.tobytes() for videos in found.values()}) == 5
    np.testing.assert_array_equal(load(3, augment="strong")["videos"], found["strong"])


def test_a_caption_is_drawn_with_its_prompt():
    asked = tf.constant(record(prompts=["b?", "c?"]))
    options = {**OPTIONS, "num_frames": 1, "caption": "random"}
    found = [load_clip(asked, tf.constant(epoch, tf.int64), **options) for epoch in range(8)]
    pairs = [(clip["prompt"].numpy(), clip["caption"].numpy()) for clip in found]
    assert set(pairs) == {(b"b?", b"b"), (b"c?", b"c")}
    # The draw is that of captions without prompts.
    assert [load(epoch, caption="random")["caption"] for epoch in range(8)] == [c for _, c in pairs]
