import numpy as np
import pytest

from keras_videoprism.evaluation import matching


def test_equal_keys_have_one_number() -> None:
    a, b = matching.number_keys([("v", 1), ("w", 1)], [("w", 1), ("v", 1), ("x", 2)])
    assert a.tolist() == [0, 1] and b.tolist() == [1, 0, 2]
    assert matching.number_keys([])[0].dtype == int


def test_pairs_in_groups_equal_two_loops() -> None:
    rng = np.random.default_rng(0)
    groups, truth_groups = rng.integers(9, size=30), rng.integers(9, size=20)
    expected = [(p, t) for p in range(30) for t in range(20) if groups[p] == truth_groups[t]]
    found = matching.pairs_in_groups(groups, truth_groups)
    assert list(zip(*(indices.tolist() for indices in found), strict=True)) == expected
    assert [len(i) for i in matching.pairs_in_groups(np.array([], int), truth_groups)] == [0, 0]


def test_claim_falls_through_to_the_next_free_truth() -> None:
    predictions, truths = np.array([0, 0, 1, 1, 2, 2]), np.array([0, 1, 0, 1, 0, 1])
    overlaps = np.array([0.6, 0.5, 0.9, 0.55, 0.8, 0.7])
    right = matching.claim(predictions, truths, overlaps, [0.5, 0.65], 3, 2)
    # At 0.5: 0 takes truth 0, 1 falls through to truth 1, 2 finds both taken.
    # At 0.65: 0 overlaps too little, 1 takes truth 0, 2 falls through to truth 1.
    np.testing.assert_array_equal(right.T, [[1, 1, 0], [0, 1, 1]])


def test_equal_overlaps_go_to_the_earlier_truth() -> None:
    right = matching.claim(
        np.array([0, 0, 1]), np.array([0, 1, 0]), np.array([0.7, 0.7, 0.7]), [0.5], 2, 2
    )
    assert right[:, 0].tolist() == [True, False]


def test_interpolated_average_precision_by_hand() -> None:
    right = np.array([True, False, True, False])
    # Precision 1, 1/2, 2/3, 1/2; the envelope at the hits is 1 and 2/3; one of three is not found.
    assert matching.interpolated_average_precision(right, 3) == pytest.approx((1 + 2 / 3) / 3)
    # The envelope lifts the first hit from 1/2 to the 2/3 that comes later.
    late = np.array([False, True, True])
    assert matching.interpolated_average_precision(late, 2) == pytest.approx(2 / 3)
    assert matching.interpolated_average_precision(np.zeros(0, bool), 3) == 0.0


def test_excluded_names_each_key_once() -> None:
    keys = ["a", "a", "b", "c"]
    left_out = np.array([True, True, False, True])
    assert matching.excluded("late", keys, left_out) == {
        "reason": "late",
        "count": 3,
        "examples": ["a", "c"],
    }


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: matching.check_scores([0.1, np.nan], 2), "1 scores are NaN.*number 1"),
        (lambda: matching.check_scores([0.1], 2), "Expected 2 scores"),
        (lambda: matching.check_classes([0.5], 1), "whole class ids.*float64"),
        (lambda: matching.check_classes([1, -1], 2), "from 0"),
    ],
)
def test_refuses(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
