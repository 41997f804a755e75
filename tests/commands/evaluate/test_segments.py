import keras
import numpy as np
import pytest

from keras_videoprism.commands.evaluate.encode import Clips, Place
from keras_videoprism.commands.evaluate.segments import load_part, localise, pooled_features, score
from keras_videoprism.commands.evaluate.tasks import load_task
from keras_videoprism.commands.evaluate.training import Training
from keras_videoprism.data.annotations import window_clips

CLIPS = Clips(4, (24, 24))
SHORT = {"window": 0.75, "window_step": 0.75}  # seconds: two windows of each video


def detections_of(videos):
    rows = [(index, *segment) for index, video in enumerate(videos) for segment in video.segments]
    numbers, starts, ends, labels = (np.array(column) for column in zip(*rows, strict=True))
    segments = np.stack([starts, ends], axis=1)
    scores = np.linspace(1.0, 0.5, len(rows))
    return {"videos": numbers, "segments": segments, "classes": labels, "scores": scores}


def test_scores(copies):
    _, found = load_task("activitynet", copies("activitynet"))
    detections = detections_of(found.test)
    assert score(found.test, detections).mean == 1.0
    shifted = {**detections, "segments": detections["segments"] + 0.3}
    # Segments of 0.9 and 0.8 s, 0.3 s late: overlaps of 0.6 / 1.2 and 0.5 / 1.1.
    by_hand = score(found.test, shifted)
    assert by_hand.at_threshold[0.5] == pytest.approx(0.5) and by_hand.at_threshold[0.55] == 0.0
    nothing = {name: array[:0] for name, array in detections.items()}
    result = score(found.test, nothing)
    assert result.mean == 0.0 and len(result.without_predictions) == 3
    with pytest.raises(ValueError, match="NaN or infinite"):
        score(found.test, {**detections, "scores": np.full(6, np.nan)})


def test_one_vector_for_each_window(encoder):
    videos = np.random.default_rng(0).random((2, 4, 24, 24, 3), "float32")
    tokens = keras.ops.convert_to_numpy(encoder(videos))
    mean = pooled_features(encoder, "frozen")
    found = keras.ops.convert_to_numpy(mean(videos))
    np.testing.assert_allclose(found, tokens.mean(axis=1), atol=1e-5)
    assert mean.compute_output_shape((2, 4, 24, 24, 3)) == found.shape
    wide = pooled_features(encoder, "mlap")
    found = keras.ops.convert_to_numpy(wide(videos))
    last = encoder(videos, return_features=True).temporal_layers
    expected = [keras.ops.convert_to_numpy(layer).mean(axis=1) for layer in last]
    np.testing.assert_allclose(found, np.concatenate(expected, axis=1), atol=1e-5)
    assert wide.compute_output_shape((2, 4, 24, 24, 3)) == found.shape == (2, 32)


@pytest.fixture
def part(copy, encoder, see_colours, tmp_path):
    """part(change): the clips to test on, where `change(folder, videos)` has been at work."""

    def load(change, max_missing=0.5):
        folder = copy("activitynet")
        task, found = load_task("activitynet", folder, **SHORT, temporal_scale=4)
        videos = change(folder / "videos", found.test)
        place = Place(tmp_path / "records", tmp_path / "features", CLIPS, max_missing)
        return load_part(encoder, videos, place, "test", Training(task.recipe)), videos

    return load


def test_videos_without_all_windows_are_counted(part):
    def change(folder, videos):
        (folder / videos[1].row.name).unlink()
        return videos

    found, videos = part(change)
    assert found.videos == [videos[0], *videos[2:]] and found.features.shape == (5, 4, 16)
    assert found.excluded == [
        {"reason": "a window cannot be read", "count": 1, "examples": ["v_test1.mp4"]}
    ]


def test_a_length_that_reaches_beyond_the_last_frame(part):
    """Its last window has no frame; the video counts all the same."""

    def change(folder, videos):
        return [videos[0]._replace(duration=2.2), *videos[1:]]

    found, videos = part(change)
    assert len(window_clips(videos[0], 0.75, 0.75)) == 3
    assert found.videos == videos and found.excluded == []


def test_no_video_at_all(part):
    def change(folder, videos):
        for video in videos[1:]:
            (folder / video.row.name).unlink()
        # A length that two windows without a frame follow.
        return [videos[0]._replace(duration=3.0), *videos[1:]]

    with pytest.raises(ValueError, match="no video whose windows can be read"):
        part(change, max_missing=0.99)


def test_detector_and_classifier_learn(copies, encoder, see_colours, tmp_path):
    """The features tell the class of a video; its segments are the same in all videos."""
    sizes = {"temporal_scale": 8, "detector_dim": 32, "batch_size": 6}
    task, found = load_task("activitynet", copies("activitynet"), **sizes, epochs=40, dropout=0.0)
    recipe = task.recipe._replace(classifier_rate=0.02)
    place = Place(tmp_path / "records", tmp_path / "features", CLIPS)
    outcome = localise(encoder, task, found, place, Training(recipe))
    assert outcome.metrics["video_top1"] == 1.0 and outcome.num_examples == 6
    assert outcome.metrics["map_at_0.5"] > 0.9
    assert outcome.notes["classes without a prediction"] == []
