import keras
import numpy as np
import pytest
from keras import ops

from keras_videoprism.training.equalization_loss import EqualizationLoss

RNG = np.random.default_rng(0)
COUNTS = [900, 96, 4, 0]  # with threshold 0.01 the last two are rare
LABELS = np.array([0, 2, 1, 3])
LOGITS = RNG.normal(size=(4, 4)).astype("float32")
ONE_HOT = np.eye(4, dtype="float32")[LABELS]


def by_hand(form: str) -> np.ndarray:
    """Loss of each clip where rare classes are always left out."""
    losses = []
    for label, logits in zip(LABELS, LOGITS.astype(float), strict=True):
        kept = [k for k in range(4) if k < 2 or k == label]
        if form == "softmax":
            losses.append(-logits[label] + np.log(sum(np.exp(logits[k]) for k in kept)))
        else:
            signed = [-logits[k] if k == label else logits[k] for k in kept]
            losses.append(np.log1p(np.exp(signed)).sum())
    return np.array(losses)


@pytest.mark.backends
@pytest.mark.parametrize("form", ["softmax", "sigmoid"])
@pytest.mark.parametrize("labels", [LABELS, ONE_HOT], ids=["classes", "one_hot"])
def test_equals_its_formula(form, labels):
    loss = EqualizationLoss(COUNTS, 0.01, form, gamma=1.0, reduction=None)
    values = ops.convert_to_numpy(loss(labels, LOGITS))
    np.testing.assert_allclose(values, by_hand(form), rtol=1e-5)


@pytest.mark.parametrize("form", ["softmax", "sigmoid"])
def test_without_rare_classes_it_is_cross_entropy(form):
    kind = {
        "softmax": keras.losses.CategoricalCrossentropy(from_logits=True),
        "sigmoid": lambda y, z: 4 * keras.losses.BinaryCrossentropy(from_logits=True)(y, z),
    }[form]
    expected = float(kind(ONE_HOT, LOGITS))
    assert float(EqualizationLoss([1] * 4, form=form)(LABELS, LOGITS)) == pytest.approx(expected)
    # The threshold is not reached where gamma is 0 either.
    if form == "softmax":
        loss = EqualizationLoss(COUNTS, 0.01, gamma=0.0)
        assert float(loss(LABELS, LOGITS)) == pytest.approx(expected)


@pytest.mark.backends
def test_draws_are_seeded_and_change_with_the_logits():
    logits = RNG.normal(size=(500, 4)).astype("float32")
    labels = np.zeros(500, "int32")

    def left_out(seed: int, z: np.ndarray) -> np.ndarray:
        """Whether classes 2 and 3 were left out of each clip, read off the loss, [500, 2]."""
        loss = EqualizationLoss(COUNTS, 0.01, gamma=0.75, seed=seed, reduction=None)
        total = np.exp(ops.convert_to_numpy(loss(labels, z)) + z[:, 0])  # sum of the kept
        rest = total - np.exp(z[:, :2]).sum(axis=1)
        rare = np.exp(z[:, 2:])
        choices = np.array([[False, False], [False, True], [True, False], [True, True]])
        sums = (rare[:, None] * ~choices).sum(axis=-1)  # [500, 4]
        return choices[np.abs(sums - rest[:, None]).argmin(axis=1)]

    first = left_out(0, logits)
    np.testing.assert_array_equal(left_out(0, logits), first)
    np.testing.assert_allclose(first.mean(axis=0), 0.75, atol=0.06)
    for other in (left_out(1, logits), left_out(0, logits + 1e-3)):
        # Independent draws differ in 2 * 0.75 * 0.25 of the cases.
        np.testing.assert_allclose((other != first).mean(axis=0), 0.375, atol=0.08)


@pytest.mark.backends
def test_rare_classes_are_not_pushed_down():
    """One step on clips of class 0 leaves the bias of the rare class where it is."""
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(4)])
    model.compile(keras.optimizers.SGD(1.0), EqualizationLoss(COUNTS, 0.01, gamma=1.0))
    before = ops.convert_to_numpy(model.layers[-1].bias)
    model.fit(RNG.normal(size=(8, 2)), np.zeros(8, "int32"), verbose=0)
    change = ops.convert_to_numpy(model.layers[-1].bias) - before
    assert change[0] > 0 and change[1] < 0
    np.testing.assert_array_equal(change[2:], 0.0)


@pytest.mark.backends
def test_large_logits_stay_finite():
    for form in ("softmax", "sigmoid"):
        loss = EqualizationLoss(COUNTS, 0.01, form, gamma=1.0, reduction=None)
        for factor in (1e4, -1e4):
            assert np.isfinite(ops.convert_to_numpy(loss(LABELS, factor * LOGITS))).all()


def test_config_comes_back():
    loss = EqualizationLoss(COUNTS, 0.01, "sigmoid", gamma=0.5, seed=3)
    loaded = keras.losses.deserialize(keras.losses.serialize(loss))
    assert loaded.get_config() == loss.get_config() and loaded.rare == [False, False, True, True]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"form": "focal"}, "received 'focal'"),
        ({"class_counts": []}, r"received \[\]"),
        ({"class_counts": [3, -1]}, r"received \[3, -1\]"),
        ({"class_counts": [0, 0]}, r"received \[0, 0\]"),
        ({"threshold": 2.0}, "threshold=2.0"),
        ({"gamma": -0.1}, "gamma=-0.1"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        EqualizationLoss(**{"class_counts": COUNTS, **arguments})


def test_bad_shapes():
    with pytest.raises(ValueError, match=r"y_pred \[batch, 4\].* received \(4,\) and \(4, 3\)"):
        EqualizationLoss(COUNTS)(LABELS, LOGITS[:, :3])
