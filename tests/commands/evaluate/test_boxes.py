import numpy as np
import pytest

from keras_videoprism.commands.evaluate import boxes as module
from keras_videoprism.commands.evaluate.boxes import agreement, detect
from keras_videoprism.commands.evaluate.encode import Clips, Place
from keras_videoprism.commands.evaluate.tasks import load_task
from keras_videoprism.commands.evaluate.training import WEIGHTS, Examples, Training

OTHER_BOX = (0.6, 0.1, 0.9, 0.9)  # of the copy of AVA, beside the one that has two actions
BOX = (0.2, 0.3, 0.6, 0.7)


@pytest.fixture
def judge(copies, encoder, tmp_path, monkeypatch):
    """judge(logits_of, found): the outcome where a head gives `logits_of(part)`."""

    def run(logits_of, found_boxes=None, task="ava", change=lambda found: found):
        seen = {}

        def adapt(make, train, test, loss, training, place, score, *, augmented):
            seen.update(make=make, train=train, test=test)
            assert not augmented
            return logits_of(test), {}

        monkeypatch.setattr(module, "adapt", adapt)
        definition, found = load_task(task, copies(task))
        found = change(found._replace(found=found_boxes))
        place = Place(tmp_path / task, tmp_path, Clips(4, (24, 24), whole=True))
        return detect(encoder, definition, found, place, Training(definition.recipe)), seen

    return run


def perfect(test):
    return np.where(test.targets, 5.0, -5.0)


def test_annotated_boxes(judge):
    outcome, seen = judge(perfect)
    assert outcome.metrics["map"] == 1.0 and outcome.metrics["chance_map"] < 1.0
    assert outcome.num_examples == 5 and outcome.excluded == []
    assert outcome.notes["boxes"] == "annotated"
    assert outcome.notes["average precision of red"] == 1.0
    (entry,) = (e for e in outcome.notes["not counted"] if e["reason"].startswith("truth of a cl"))
    assert entry["count"] == 5  # action 80 is not among those that count
    outcome, _ = judge(lambda test: -perfect(test))
    assert outcome.metrics["map"] < 0.6


def test_boxes_are_those_of_the_padded_frames(judge):
    """Frames of 48 x 64 pixels become 18 x 24 within 24 x 24."""
    _, seen = judge(perfect)
    train = seen["train"]
    assert train.others["boxes"].shape == (6, 2, 4) and train.others[WEIGHTS].all()
    left, top, right, bottom = BOX
    expected = [0.5 + (top - 0.5) * 0.75, left, 0.5 + (bottom - 0.5) * 0.75, right]
    np.testing.assert_allclose(train.others["boxes"][0, 0], expected, atol=1e-6)
    assert train.targets[:, 0, 79].all() and train.targets[:, 1].sum(axis=1).tolist() == [1] * 6
    assert seen["make"]().head.grid == (4, 3, 3)


def test_boxes_of_a_detector(judge):
    """Worked by hand: each frame has the right box, and a better scored one beside all persons."""
    found = {
        (f"test{i}", 1.0): [((0.0, 0.0, 0.1, 0.1), 1.0), (BOX, 0.9), (OTHER_BOX, 0.9)]
        for i in range(5)
    } | {("test5", 1.0): [(BOX, 1.0)], ("other", 1.0): [(BOX, 1.0)]}

    def logits(test):
        assert not test.targets.any() and test.others[WEIGHTS].all()
        return np.zeros((5, 3, 80))

    outcome, _ = judge(logits, found)
    # Of each class: five wrong boxes at 0.5 first; then ten at 0.45, tied, frame after frame.
    # Blue (3): both persons of frames 0 and 1, and the second persons of frames 2 to 4: 7 of 10.
    order = {"blue": [1, 1, 1, 1, 0, 1, 0, 1, 0, 1], "green": [0] * 4 + [1, 0, 1, 0, 0, 0]}
    order["red"] = [0] * 8 + [1, 0]
    expected = []
    for right in order.values():
        hits = np.array([0] * 5 + right)
        precision = np.cumsum(hits) / np.arange(1, 16)
        envelope = np.maximum.accumulate(precision[::-1])[::-1]
        expected.append(envelope[hits == 1].mean())
    assert outcome.metrics["map"] == pytest.approx(np.mean(expected))
    assert outcome.notes["boxes"] == "a detector's; of 2 frames that are not scored"


def test_a_detector_that_finds_nothing(judge):
    outcome, _ = judge(lambda test: np.zeros((5, 1, 80)), {})
    assert outcome.metrics["map"] == 0.0
    assert outcome.notes["average precision of red"] == 0.0


def test_frames_without_boxes_and_classes_without_truth_are_named(judge):
    def change(found):
        few = [frame._replace(boxes=frame.boxes[1:]) for frame in found.test]
        return found._replace(test=few)

    outcome, seen = judge(perfect, task="ava_kinetics", change=change)
    assert outcome.notes["key frames to train on without a box"] == 1
    assert len(seen["train"].clip_ids) == 12 and outcome.num_examples == 12
    assert outcome.notes["classes without a truth"] == ["green", "red"]


def test_scores_that_are_not_finite_are_an_error(judge):
    with pytest.raises(ValueError, match="scores are NaN or infinite"):
        judge(lambda test: np.full(test.targets.shape, np.nan))


def test_agreement_reads_no_padding():
    targets = np.array([[[True, False], [False, False]]])
    held = Examples(np.array([1]), targets, {WEIGHTS: np.array([[True, False]])})
    logits = np.array([[[0.0, 0.0], [9.0, 9.0]]])
    assert agreement(logits, held) == pytest.approx(-np.log(2))
    logits[0, 0] = [2.0, -2.0]
    assert agreement(logits, held) == pytest.approx(-np.log1p(np.exp(-2)))
