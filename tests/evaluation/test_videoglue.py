import numpy as np
import pytest

from keras_videoprism.evaluation.paper import find_results
from keras_videoprism.evaluation.videoglue import (
    METHODS,
    cost_weights,
    groups_of,
    printed_averages,
    stratified_average,
    trainable_costs,
    videoglue_score,
)

MODELS = [result.model for result in find_results(table="17", metric="vgs")]
# Averages of Table 17 that its own Tables 13 to 16 contradict: what they give instead.
AVERAGES_THAT_DIFFER = {
    ("CLIP-B", "mlap"): 43.01,  # printed 43.3
    ("CLIP-B", "finetune"): 50.8625,  # printed 52.8
    ("VideoMAE-B", "mlap"): 41.12,  # printed 40.9
    ("VideoPrism-B*", "frozen"): 45.66,  # printed 45.6
}
SCORES_THAT_DIFFER = {"CLIP-B": 41.315}  # printed 41.5
TENTH = 0.05 + 1e-9


def test_table_17_has_eight_models() -> None:
    assert len(MODELS) == 8 and "VideoPrism-B*" in MODELS


@pytest.mark.parametrize("model", MODELS)
def test_table_17_follows_from_tables_13_to_16(model: str) -> None:
    averages = printed_averages(model)
    for method in METHODS:
        (printed,) = find_results(table="17", model=model, method=method)
        differs = AVERAGES_THAT_DIFFER.get((model, method))
        assert averages[method] == pytest.approx(differs or printed.value, abs=TENTH)
        assert differs is None or abs(averages[method] - printed.value) > TENTH
    (printed,) = find_results(table="17", model=model, metric="vgs")
    score = videoglue_score(averages, trainable_costs(model))
    differs = SCORES_THAT_DIFFER.get(model)
    assert score == pytest.approx(differs or printed.value, abs=1e-3 if differs else TENTH)
    assert differs is None or abs(score - printed.value) > TENTH


def test_averages_by_hand() -> None:
    scores = {
        "k400": 1,
        "mit": 3,
        "ssv2": 4,
        "diving48": 6,
        "charades": 8,
        "ava": 1,
        "ava_kinetics": 0,
    }
    expected = (2 + 5 + 8 + 0.5) / 4
    assert stratified_average(scores, "adapter") == pytest.approx(expected)
    with_segments = stratified_average({**scores, "activitynet": 10}, "frozen")
    assert with_segments == pytest.approx((4 * expected + 10) / 5)
    assert "TAL" in groups_of("mlap") and "TAL" not in groups_of("finetune")


def test_costs_and_weights() -> None:
    assert trainable_costs("VideoPrism-B*") == {
        "frozen": 3.72, "mlap": 14.9, "adapter": 8.71, "finetune": 374.0,
    }  # fmt: skip
    weights = cost_weights(trainable_costs("VideoPrism-B*"))
    np.testing.assert_allclose(
        [weights[method] for method in METHODS], [0.4320, 0.2101, 0.2622, 0.0958], atol=5e-5
    )


def test_score_by_hand() -> None:
    """Costs of 10, 100, 10 and 100 weigh 1, 1/2, 1 and 1/2, over a sum of 3."""
    averages = dict(zip(METHODS, (30.0, 60.0, 0.0, 0.0), strict=True))
    costs = dict(zip(METHODS, (10, 100, 10, 100), strict=True))
    assert videoglue_score(averages, costs) == pytest.approx(20.0)


ALL_TASKS = [task for group in groups_of("frozen").values() for task in group]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: stratified_average({"k400": 1.0}, "adapter"), "Missing: .*'ssv2'"),
        (lambda: stratified_average(dict.fromkeys(ALL_TASKS, 1.0), "adapter"), "'activitynet'"),
        (lambda: stratified_average(dict.fromkeys(ALL_TASKS, np.nan), "mlap"), "NaN.*'ava'"),
        (lambda: stratified_average({}, "probing"), "Methods are.*'probing'"),
        (lambda: trainable_costs("VideoPrism-g"), "no costs of 'VideoPrism-g'"),
        (lambda: cost_weights({"frozen": 3.0}), r"Received those of \('frozen',\)"),
        (lambda: cost_weights(dict.fromkeys(METHODS, 1.0)), "more than 1 GFLOP"),
        (lambda: videoglue_score({"frozen": 1.0}, trainable_costs()), "Averages of"),
    ],
)
def test_refuses(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
