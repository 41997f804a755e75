import numpy as np
import pytest
from keras import ops

from keras_videoprism.evaluation import retrieval


def test_recall_at_k_by_hand() -> None:
    similarity = np.array([[0.9, 0.1, 0.2], [0.8, 0.7, 0.1], [0.6, 0.5, 0.4]])
    recall = retrieval.recall_at_k(similarity, ks=(1, 2, 3))
    assert recall == pytest.approx({1: 1 / 3, 2: 2 / 3, 3: 1.0})


def test_targets_as_ids_and_as_matrix() -> None:
    similarity = np.array([[0.9, 0.1, 0.2], [0.8, 0.7, 0.1]])
    assert retrieval.recall_at_k(similarity, [2, 0], ks=(1,)) == {1: 0.5}
    assert retrieval.recall_at_k(similarity, [[0, 0, 1], [1, 0, 1]], ks=(1,)) == {1: 0.5}


def test_a_collapsed_model_gets_no_credit() -> None:
    assert retrieval.recall_at_k(np.ones((8, 8)), ks=(1, 5)) == {1: 0.0, 5: 0.0}


def test_both_directions() -> None:
    videos = np.eye(3)
    texts = np.array([[1, 0, 0], [0.5, 0, 0.1], [0, 0, 1]])  # text 1 lies nearest to video 0
    recall = retrieval.retrieval_recall(videos, texts, ks=(1,))
    assert recall == pytest.approx({"text_to_video_r1": 2 / 3, "video_to_text_r1": 2 / 3})
    scaled = retrieval.retrieval_recall(7 * ops.convert_to_tensor(videos), 3 * texts, ks=(1,))
    assert scaled == recall


def test_directions_are_not_confused() -> None:
    videos = np.array([[1, 0], [1, 1]])
    texts = np.array([[1, 0.1], [1, 0.2]])  # both texts prefer video 0, both videos text of theirs
    recall = retrieval.retrieval_recall(videos, texts, ks=(1,))
    assert recall == {"text_to_video_r1": 0.5, "video_to_text_r1": 1.0}


def test_equal_captions_are_right_answers_to_each_other() -> None:
    videos, texts = np.eye(2), np.eye(2)[::-1]
    captions = ["a red seven.", "a red seven."]
    assert retrieval.retrieval_recall(videos, texts, ks=(1,))["text_to_video_r1"] == 0.0
    recall = retrieval.retrieval_recall(videos, texts, ks=(1,), texts=captions)
    assert recall == {"text_to_video_r1": 1.0, "video_to_text_r1": 1.0}


def test_same_text() -> None:
    expected = [[1, 0, 1], [0, 1, 0], [1, 0, 1]]
    np.testing.assert_array_equal(retrieval.same_text(["a", "b", "a"]), expected)


def test_chance_recall_by_hand() -> None:
    assert retrieval.chance_recall(100, 5) == pytest.approx(0.05)
    assert retrieval.chance_recall(4, 2, num_positives=2) == pytest.approx(1 - 1 / 6)
    assert retrieval.chance_recall(4, 1, num_positives=[1, 3]) == pytest.approx(0.5)
    assert retrieval.chance_recall(3, 10) == 1.0


def test_chance_recall_equals_random_scores() -> None:
    rng = np.random.default_rng(0)
    captions = [str(c) for c in rng.integers(12, size=40)]
    positives = retrieval.same_text(captions)
    recalls = [retrieval.recall_at_k(rng.random((40, 40)), positives, (5,))[5] for _ in range(200)]
    expected = retrieval.chance_recall(40, 5, positives.sum(axis=1))
    assert np.mean(recalls) == pytest.approx(expected, abs=0.01)


def plain_recall(scores: np.ndarray, owners: list[int], k: int) -> tuple[float, float]:
    """Text-to-video and video-to-text recall of scores [Nt, Nv], by sorting; equals come first."""
    num_texts, num_videos = scores.shape
    found = 0
    for t in range(num_texts):
        worse_last = sorted(range(num_videos), key=lambda v: (-scores[t, v], v == owners[t]))
        found += owners[t] in worse_last[:k]
    hits = 0
    for v in range(num_videos):
        worse_last = sorted(range(num_texts), key=lambda t: (-scores[t, v], owners[t] == v))
        hits += any(owners[t] == v for t in worse_last[:k])
    return found / num_texts, hits / num_videos


def test_captions_recall_equals_sorting(monkeypatch) -> None:
    """Corners of a cube make exact ties; five queries at a time leave a rest."""
    monkeypatch.setattr(retrieval, "QUERIES_AT_ONCE", 5)
    rng = np.random.default_rng(0)
    owners = rng.permutation([0, 0, 0, 0, 1, 2, 2, 3, 4, 4, 5, 6])
    videos = rng.choice([-1.0, 1.0], size=(7, 4))
    texts = np.where(rng.random((12, 4)) < 0.2, -1, 1) * videos[owners]
    recall = retrieval.captions_recall(videos, texts, owners, ks=(1, 2, 5))
    scores = retrieval.cosine_similarity(texts, videos)
    assert len(np.unique(scores)) < scores.size / 3
    for k in (1, 2, 5):
        expected = plain_recall(scores, owners.tolist(), k)
        assert (recall[f"text_to_video_r{k}"], recall[f"video_to_text_r{k}"]) == (
            pytest.approx(expected)
        )
    assert 0 < recall["text_to_video_r2"] < 1 and 0 < recall["video_to_text_r2"] < 1


def test_one_caption_each_is_plain_recall() -> None:
    rng = np.random.default_rng(0)
    videos, texts = rng.normal(size=(2, 20, 4))
    expected = retrieval.retrieval_recall(videos, texts)
    assert retrieval.captions_recall(videos, texts, np.arange(20)) == expected


def test_chance_of_captions_equals_random_embeddings() -> None:
    rng = np.random.default_rng(0)
    owners = np.repeat(np.arange(6), [1, 1, 2, 3, 4, 5])
    draws = [
        retrieval.captions_recall(rng.normal(size=(6, 8)), rng.normal(size=(16, 8)), owners, (1, 3))
        for _ in range(500)
    ]
    chance = retrieval.chance_captions_recall(owners, ks=(1, 3))
    for name, expected in chance.items():
        assert np.mean([draw[name] for draw in draws]) == pytest.approx(expected, abs=0.02)
    assert chance["text_to_video_r1"] == pytest.approx(1 / 6)


def test_cosine_similarity() -> None:
    similarity = retrieval.cosine_similarity([[2.0, 0.0]], [[3.0, 0.0], [1.0, 1.0], [-1.0, 0.0]])
    np.testing.assert_allclose(similarity, [[1, 0.5**0.5, -1]], atol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: retrieval.recall_at_k(np.eye(2), ks=(0,)), "at least 1"),
        (lambda: retrieval.recall_at_k(np.full((2, 2), np.nan)), "finite"),
        (lambda: retrieval.recall_at_k(np.zeros((3, 2))), r"\[0, 2\)"),
        (lambda: retrieval.retrieval_recall(np.eye(3), np.eye(3)[:2]), "one text"),
        (lambda: retrieval.retrieval_recall(np.eye(2), np.eye(2), texts=["a"]), "one shape"),
        (lambda: retrieval.captions_recall(np.eye(2), np.eye(2), [0]), "2 owners"),
        (lambda: retrieval.captions_recall(np.eye(2), np.eye(2), [0, 2]), r"\[0, 2\)"),
        (lambda: retrieval.captions_recall(np.eye(2), np.eye(2), [0, 0]), "first is row 1"),
        (lambda: retrieval.captions_recall(np.eye(2), np.eye(2), [0, 1], ks=(0,)), "at least 1"),
        (lambda: retrieval.chance_captions_recall([0, 2]), "first is row 1"),
        (lambda: retrieval.l2_normalize([[0.0, 0.0]]), "row 0"),
        (lambda: retrieval.l2_normalize(np.ones((2, 3, 4))), r"\(2, 3, 4\)"),
        (lambda: retrieval.chance_recall(4, 1, num_positives=5), "num_positives"),
    ],
)
def test_refuses(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
