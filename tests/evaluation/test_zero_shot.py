import numpy as np
import pytest
from keras import ops
from sklearn.metrics import average_precision_score, top_k_accuracy_score

from keras_videoprism.evaluation import zero_shot

PROMPTS = {
    "a red dot.": [10.0, 0.0, 0.0],
    "one red.": [0.0, 1.0, 0.0],
    "a blue dot.": [0.0, 0.0, 2.0],
    "one blue.": [0.0, 0.0, 5.0],
}
TEMPLATES = ["a {} dot.", "one {}."]


def encode_text(texts: list[str]) -> np.ndarray:
    return np.array([PROMPTS[text] for text in texts])


def test_class_embeddings_normalise_before_and_after_the_mean() -> None:
    classes = zero_shot.class_embeddings(encode_text, ["red", "blue"], TEMPLATES)
    np.testing.assert_allclose(classes, [[0.5**0.5, 0.5**0.5, 0], [0, 0, 1]], atol=1e-6)


def test_zero_shot_from_prompts_to_hit_rate() -> None:
    classes = zero_shot.class_embeddings(encode_text, ["red", "blue"], TEMPLATES)
    videos = np.array([[3.0, 3.0, 0.0], [0.0, 0.1, 1.0], [0.0, 0.1, 1.0]])
    scores = zero_shot.zero_shot_scores(videos, classes)
    assert scores.shape == (3, 2)
    assert scores[0, 0] == pytest.approx(1.0)
    assert zero_shot.zero_shot_hit_rate(scores, [[1, 0], [0, 1], [1, 0]]) == pytest.approx(2 / 3)


def test_any_class_of_the_video_is_a_hit() -> None:
    scores = np.array([[0.9, 0.8, 0.1], [0.9, 0.8, 0.1], [0.5, 0.5, 0.1]])
    positives = np.array([[1, 0, 1], [0, 1, 1], [1, 0, 0]])
    assert zero_shot.zero_shot_hit_rate(scores, positives) == pytest.approx(1 / 3)


def test_chance_is_the_mean_share_of_right_classes() -> None:
    positives = np.array([[1, 1, 0, 0], [1, 0, 0, 0]])
    assert zero_shot.chance_hit_rate(positives) == pytest.approx((2 / 4 + 1 / 4) / 2)


@pytest.mark.parametrize(
    ("names", "templates", "message"),
    [
        (["red"], ["no place"], "no place"),
        (["red"], ["{} and {}"], "one {}"),
        (["red"], [], "names and templates"),
        ([], TEMPLATES, "names and templates"),
    ],
)
def test_class_embeddings_refuses(names: list, templates: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        zero_shot.class_embeddings(encode_text, names, templates)


def test_templates_of_the_literature():
    assert zero_shot.TEMPLATES["video"] == ("a video of {}.",)
    kinetics = zero_shot.TEMPLATES["kinetics"]
    assert len(kinetics) == len(set(kinetics)) == 28
    assert {"a photo of {}.", "a demonstration of a person practicing {}."} <= set(kinetics)


def test_a_class_named_twice():
    with pytest.raises(ValueError, match="Received twice: .'cat'."):
        zero_shot.class_embeddings(lambda texts: texts, ["cat", "dog", "cat"], ["a {}"])


def test_zero_shot_metrics_equal_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    scores, labels = rng.random((60, 8)), rng.integers(7, size=60)  # class 7 has no video
    found = zero_shot.zero_shot_metrics(scores, labels, ks=(1, 3))
    accuracies = [top_k_accuracy_score(labels, scores, k=k, labels=range(8)) for k in (1, 3)]
    positives = labels[:, None] == np.arange(7)
    precision = average_precision_score(positives, scores[:, :7], average="macro")
    assert found == pytest.approx({"top1": accuracies[0], "top3": accuracies[1], "map": precision})


def test_right_choices_are_all_equal_texts() -> None:
    choices = [["a", "b", "a"], ["c"], ["d", "e"]]
    positives, mask = zero_shot.right_choices(choices, [2, 0, 1])
    np.testing.assert_array_equal(positives, [[1, 0, 1], [1, 0, 0], [0, 1, 0]])
    np.testing.assert_array_equal(mask, [[1, 1, 1], [1, 0, 0], [1, 1, 0]])
    chance = zero_shot.multiple_choice_chance(positives, mask)
    assert chance == pytest.approx((2 / 3 + 1 + 1 / 2) / 3)


def test_multiple_choice_by_hand() -> None:
    videos = np.array([[1.0, 0.0], [0.0, 3.0], [1.0, 1.0]])
    choices = np.array(
        [
            [[5.0, 1.0], [1.0, 1.0], [0.0, 1.0]],  # the first is nearest
            [[1.0, 0.0], [2.0, 2.0], [np.nan, 0.0]],  # the second; the third is padding
            [[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]],  # a tie of the first and the second
        ]
    )
    mask = np.array([[1, 1, 1], [1, 1, 0], [1, 1, 1]], bool)

    def accuracy(answers: list) -> float:
        tensor = ops.convert_to_tensor(choices)
        return zero_shot.multiple_choice_accuracy(videos, tensor, answers, mask)

    assert accuracy([0, 1, 0]) == pytest.approx(2 / 3)
    assert accuracy([1, 1, 1]) == pytest.approx(1 / 3)
    assert accuracy([[1, 0, 0], [0, 1, 0], [1, 1, 0]]) == 1.0
    first = zero_shot.multiple_choice_accuracy(videos[:1], choices[:1], [0])
    assert first == 1.0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: zero_shot.right_choices([["a"], ["b"]], [0, 1]), "place in its list"),
        (lambda: zero_shot.right_choices([["a"], ["b"]], [0]), "2 answers"),
        (lambda: zero_shot.multiple_choice_accuracy(np.eye(2), np.eye(2), [0, 1]), r"\[2, C, D\]"),
        (lambda: zero_shot.multiple_choice_accuracy(np.eye(2), np.ones((2, 3, 2)), [0, 3]), "0, 3"),
        (
            lambda: zero_shot.multiple_choice_accuracy(
                np.eye(2), np.ones((2, 2, 2)), [0, 1], [[1, 1], [1, 0]]
            ),
            r"keep the right choices.*rows \[1\]",
        ),
    ],
)
def test_multiple_choice_refuses(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
