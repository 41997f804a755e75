import numpy as np
import pytest

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
