import keras
import numpy as np
import pytest

from keras_videoprism.heads.action_detector import ActionDetector, ActionLoss
from keras_videoprism.layers.roi_align import roi_align

RNG = np.random.default_rng(0)
GRID = (2, 3, 4)
TOKENS = RNG.normal(size=(2, 24, 8)).astype("float32")
BOXES = np.array([[[0.1, 0.2, 0.7, 0.9], [0.0, 0.0, 1.0, 1.0]]] * 2, "float32")
MASK = np.array([[True, True], [True, False]])
SIZE = {"num_classes": 3, "grid": GRID, "num_heads": 2, "hidden_dim": 6}


@pytest.fixture(scope="module")
def head() -> ActionDetector:
    keras.utils.set_random_seed(0)
    layer = ActionDetector(**SIZE)
    layer.build(TOKENS.shape)
    return layer


@pytest.mark.backends
def test_the_maximum_over_a_box_asks_all_tokens(run, head):
    features = TOKENS.reshape(2, *GRID, 8).mean(axis=1)
    queries = run(lambda f, b: roi_align(f, b, 7), features, BOXES).max(axis=(2, 3))
    expected = run(lambda t, q: head.classifier(t, queries=q), TOKENS, queries)
    logits = run(lambda t, b: head(t, b), TOKENS, BOXES)
    assert logits.shape == (2, 2, 3)
    np.testing.assert_allclose(logits, expected, atol=1e-5)


@pytest.mark.backends
def test_no_box_at_all(run, head):
    logits = run(lambda t, b: head(t, b), TOKENS, BOXES[:, :0])
    assert logits.shape == (2, 0, 3)


@pytest.mark.backends
def test_what_fills_up_is_not_read(run, head):
    """Not even where it is no number; the boxes beside it do not change."""
    broken = BOXES.copy()
    broken[~MASK] = np.nan
    masked = run(lambda t, b, m: head(t, b, box_mask=m), TOKENS, broken, MASK)
    plain = run(lambda t, b: head(t, b), TOKENS, BOXES)
    np.testing.assert_allclose(masked[MASK], plain[MASK], atol=1e-6)
    assert np.isfinite(masked).all()


def test_padded_frames_do_not_count(run, head):
    padding = np.repeat(np.array([[True, False]] * 2), 12, axis=1)
    other = np.where(padding[..., None], TOKENS, 7).astype("float32")
    call = lambda t, b, p: head(t, b, padding_mask=p)  # noqa: E731
    expected = run(call, TOKENS, BOXES, padding)
    np.testing.assert_allclose(run(call, other, BOXES, padding), expected, atol=1e-5)
    assert np.abs(expected - run(lambda t, b: head(t, b), TOKENS, BOXES)).max() > 1e-4


def test_several_maps_cut_from_the_deepest(run):
    layer = ActionDetector(**SIZE, num_layers=2)
    maps = np.stack([np.zeros_like(TOKENS), TOKENS], axis=1)
    layer.build(maps.shape)
    logits = run(lambda t, b: layer(t, b), maps, BOXES)
    assert np.abs(logits[:, 0] - logits[:, 1]).max() > 1e-4


@pytest.mark.backends
def test_loss_by_hand():
    labels = np.array([[[1, 0], [0, 0]], [[1, 1], [0, 1]]], "float32")
    logits = RNG.normal(size=labels.shape).astype("float32")
    probabilities = 1 / (1 + np.exp(-logits))
    entropy = -np.log(np.where(labels == 1, probabilities, 1 - probabilities)).sum(axis=-1)
    loss = ActionLoss()
    value = float(loss(labels, logits, sample_weight=MASK))
    assert value == pytest.approx(entropy[MASK].mean(), rel=1e-5)
    assert float(loss(labels, logits, sample_weight=np.zeros_like(MASK))) == 0.0


@pytest.mark.backends
def test_it_learns_which_box_is_bright():
    """The box in the bright half of the map shows action 0, the one in the dark half action 1."""
    rng = np.random.default_rng(1)
    grid = rng.normal(size=(8, 2, 3, 4, 8)).astype("float32") / 4
    bright = rng.integers(0, 2, 8)
    boxes = np.array([[0, 0, 1, 0.25], [0, 0.75, 1, 1]], "float32")
    for clip, side in zip(grid, bright, strict=True):
        clip[:, :, 2 * side : 2 * side + 2, :4] += 2
    labels = np.stack([np.eye(3)[[side, 1 - side]] for side in bright]).astype("float32")
    inputs = keras.Input((24, 8)), keras.Input((2, 4))
    keras.utils.set_random_seed(0)
    layer = ActionDetector(**SIZE, dropout=0.0)
    model = keras.Model(inputs, layer(*inputs))
    model.compile(keras.optimizers.Adam(0.05), loss=ActionLoss())
    batch = [grid.reshape(8, 24, 8), np.tile(boxes, (8, 1, 1))]
    mask = np.ones((8, 2), "float32")
    losses = [float(model.train_on_batch(batch, labels, sample_weight=mask)) for _ in range(15)]
    assert losses[-1] < np.log(2)  # 2 log(2) for who cannot tell the boxes apart


def test_save_and_load(run, tmp_path):
    inputs = keras.Input((24, 8)), keras.Input((2, 4))
    layer = ActionDetector(**SIZE)
    model = keras.Model(inputs, layer(*inputs))
    model.save(tmp_path / "detector.keras")
    loaded = keras.models.load_model(tmp_path / "detector.keras")
    expected = run(lambda t, b: model([t, b]), TOKENS, BOXES)
    np.testing.assert_allclose(run(lambda t, b: loaded([t, b]), TOKENS, BOXES), expected, atol=1e-6)


def test_bad_shapes(head):
    with pytest.raises(ValueError, match=r"grid \(2, 3, 4\) has 24 tokens; received \(2, 20, 8\)"):
        head(TOKENS[:, :20], BOXES)
    with pytest.raises(ValueError, match=r"boxes must be .* received \(2, 4\)"):
        head(TOKENS, BOXES[:, 0])
    with pytest.raises(ValueError, match=r"received \(2, 2, 3\)"):
        head(TOKENS, BOXES[..., :3])
    with pytest.raises(ValueError, match=r"received \(2, 3\)"):
        ActionDetector(3, grid=(2, 3))
