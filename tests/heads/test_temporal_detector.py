import keras
import numpy as np
import pytest
from keras import ops

from keras_videoprism.heads.temporal_align import candidates
from keras_videoprism.heads.temporal_decoding import decode
from keras_videoprism.heads.temporal_detector import TemporalDetector
from keras_videoprism.heads.temporal_graph import nearest_neighbours
from keras_videoprism.heads.temporal_resize import resize_features
from keras_videoprism.heads.temporal_targets import segment_targets

pytestmark = pytest.mark.backends

SCALE, WIDTH = 8, 8


def small_detector(seed=0):
    """With the same random weights on every backend."""
    detector = TemporalDetector(feature_dim=WIDTH, temporal_scale=SCALE, hidden_dim=16, seed=seed)
    rng = np.random.default_rng(0)
    for weight in detector.trainable_variables:
        fan_in = max(np.prod(weight.shape[:-1]), 1) if len(weight.shape) > 1 else 1e4
        weight.assign(rng.normal(size=weight.shape) / np.sqrt(fan_in))
    return detector


def arrays_of(outputs):
    return {name: ops.convert_to_numpy(value) for name, value in outputs.items()}


@pytest.fixture(scope="module")
def segments():
    """Two steps or more of eight, in seconds of a video of 16 s, for each of 12 videos."""
    rng = np.random.default_rng(0)
    starts = 2 * rng.integers(0, 4, 12)
    ends = starts + 2 * rng.integers(2, 5, 12)
    return [[pair] for pair in zip(starts.tolist(), ends.tolist(), strict=True)]


@pytest.fixture(scope="module")
def batch(segments):
    """The first features are high during the action."""
    features = np.random.default_rng(1).normal(size=(12, SCALE, WIDTH)).astype("float32")
    for video, ((start, end),) in zip(features, segments, strict=True):
        video[int(start) // 2 : int(end) // 2, :4] += 4
    targets = [segment_targets(video, 16.0, SCALE) for video in segments]
    return {
        "features": features,
        **{name: np.stack([target[name] for target in targets]) for name in targets[0]},
    }


@pytest.fixture(scope="module")
def trained(batch):
    detector = small_detector()
    detector.compile(keras.optimizers.AdamW(0.01))
    before = detector.get_weights()
    history = detector.fit(batch, epochs=25, batch_size=12, shuffle=False, verbose=0)
    return detector, before, history.history["loss"]


@pytest.mark.parametrize("feature_dim, count", [(400, 5_563_268), (768, 5_633_924)])
def test_parameters_of_the_public_code(feature_dim, count):
    detector = TemporalDetector(feature_dim, temporal_scale=4)  # the count is that of any scale
    assert sum(w.size for w in map(np.asarray, detector.trainable_variables)) == count


def test_outputs_are_probabilities_and_candidates_outside_are_zero(batch):
    outputs = arrays_of(small_detector()(batch))
    assert outputs["map"].shape == (12, 2, SCALE, SCALE)
    assert outputs["start"].shape == outputs["end"].shape == (12, SCALE)
    inside = np.zeros((SCALE, SCALE), bool)
    inside[candidates(SCALE)] = True
    assert (outputs["map"][..., ~inside] == 0).all()
    for values in (outputs["map"][..., inside], outputs["start"], outputs["end"]):
        assert ((values > 0) & (values < 1)).all() and np.ptp(values) > 0


def test_each_candidate_has_its_own_place_in_the_map(batch):
    """The map is the layers over candidates, written out."""
    detector = small_detector()
    x = detector.graph(detector.stem_graph(ops.relu(detector.stem(batch["features"]))))
    context = ops.mean(nearest_neighbours(x), axis=2)
    y = ops.convert_to_numpy(detector.align(x, context))
    for layer in detector.candidate_layers:
        kernel, bias = layer.get_weights()
        y = np.maximum(y, 0) @ kernel[0] + bias
    found = ops.convert_to_numpy(detector(batch)["map"])
    durations, starts = candidates(SCALE)
    expected = 1 / (1 + np.exp(-y))
    np.testing.assert_allclose(
        found[:, :, durations, starts].transpose(0, 2, 1), expected, atol=1e-4
    )


def test_features_of_any_length_are_resized(batch):
    detector = small_detector()
    features = np.random.default_rng(2).normal(size=(2, 13, WIDTH)).astype("float32")
    resized = np.stack([resize_features(video, SCALE) for video in features])
    for name, value in arrays_of(detector(features)).items():
        expected = ops.convert_to_numpy(detector(resized)[name])
        np.testing.assert_allclose(value, expected, atol=1e-5)


def test_training_moves_every_weight_and_counts_its_steps(trained):
    detector, before, losses = trained
    after = detector.get_weights()
    moved = [np.abs(a - b).max() > 0 for a, b in zip(after, before, strict=True)]
    assert all(moved) and len(moved) > 60
    assert int(ops.convert_to_numpy(detector.step)) == 25
    assert losses[-1] < 0.1 * losses[0]


def test_all_backends_train_alike(trained):
    """The numbers are those of JAX; the second comes after a step by the gradients."""
    np.testing.assert_allclose(trained[2][:2], [4.508397, 3.465061], rtol=1e-4)


def test_it_finds_the_actions_that_it_has_learned(trained, batch, segments):
    outputs = trained[0].predict(batch, verbose=0)
    found = decode(outputs, np.full(12, 16.0), np.ones((12, 1)))
    for video, ((start, end),) in enumerate(segments):
        best = found["segments"][found["videos"] == video][0]
        shared = min(best[1], end) - max(best[0], start)
        assert shared / (max(best[1], end) - min(best[0], start)) > 0.7


def test_the_candidates_that_count_are_drawn_by_seed_and_step():
    detector, other = small_detector(), small_detector(seed=1)
    first = ops.convert_to_numpy(detector._draws(3))
    assert first.shape == (3, SCALE, SCALE) and 0 <= first.min() and first.max() < 1
    np.testing.assert_array_equal(first, ops.convert_to_numpy(small_detector()._draws(3)))
    assert (first != ops.convert_to_numpy(other._draws(3))).mean() > 0.9
    detector.step.assign(1)
    assert (first != ops.convert_to_numpy(detector._draws(3))).mean() > 0.9


def test_save_and_load(trained, batch, tmp_path):
    detector = trained[0]
    detector.save(tmp_path / "detector.keras")
    loaded = keras.saving.load_model(tmp_path / "detector.keras")
    for name, value in arrays_of(loaded(batch)).items():
        expected = ops.convert_to_numpy(detector(batch)[name])
        np.testing.assert_allclose(value, expected, atol=1e-6)
    assert int(ops.convert_to_numpy(loaded.step)) == 25


def test_videos_without_actions_give_a_finite_loss(batch):
    empty = segment_targets([], 16.0, SCALE)
    given = {name: np.stack([value] * 12) for name, value in empty.items()}
    detector = small_detector()
    loss = detector.compute_loss(x=given, y_pred=detector(batch), training=False)
    assert 0 < float(ops.convert_to_numpy(loss)) < 10
    assert int(ops.convert_to_numpy(detector.step)) == 0


def test_bad_input(batch):
    with pytest.raises(ValueError, match="multiple of 4. Received: 6"):
        TemporalDetector(feature_dim=6)
    with pytest.raises(ValueError, match=r"must be \[B, L, 8\]. Received shape \(12, 8, 4\)"):
        small_detector()(batch["features"][..., :4])
    detector = small_detector()
    outputs = detector(batch)
    with pytest.raises(ValueError, match=r"lack \['starts', 'ends'\].*segment_targets"):
        detector.compute_loss(x={"overlaps": batch["overlaps"]}, y_pred=outputs)
