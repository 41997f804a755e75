"""Zero-shot classification: the text that lies nearest to the video's embedding.

The texts are prompts of the class names, the same for all videos, or a few choices of each video.
Letters in shapes: N videos, C classes or choices, D the width of an embedding.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from keras import ops

from keras_videoprism.evaluation.metrics import (
    best_positive_rank,
    mean_average_precision,
    one_hot,
    top_k_accuracy,
)
from keras_videoprism.evaluation.retrieval import chance_recall, cosine_similarity, l2_normalize

Array = Any

_SHOWN = ("photo", "video", "example", "demonstration")
_PERSON = ("", "using ", "doing ", "during ", "performing ", "practicing ")
TEMPLATES = {
    # The official demo's.
    "video": ("a video of {}.",),
    # CLIP's 28 for Kinetics, which the paper names (section 3.4).
    "kinetics": tuple(
        template
        for shown in _SHOWN
        for template in (
            f"a {shown} of {{}}.",
            *(f"a {shown} of a person {verb}{{}}." for verb in _PERSON),
        )
    ),
}


def class_embeddings(
    encode_text: Callable[[list[str]], Array], class_names: Sequence[str], templates: Sequence[str]
) -> np.ndarray:
    """One unit vector per class: the mean direction of its prompts.

    Each prompt's embedding is normalised before the mean and the mean after it, as CLIP's prompt
    ensembles are.

    Args:
        encode_text: list of P texts -> [P, D]; called once per class with P = len(templates), so
            that a compiled encoder sees one shape.
        class_names: C names.
        templates: prompts with one `{}` for the name, such as "a video of {}.".

    Returns:
        [C, D] float32.
    """
    if not class_names or not templates:
        raise ValueError(f"Expected names and templates. Received: {class_names}, {templates}.")
    repeated = sorted(name for name, count in Counter(class_names).items() if count > 1)
    if repeated:
        raise ValueError(f"Every class must be named once. Received twice: {repeated}.")
    wrong = [template for template in templates if template.count("{}") != 1]
    if wrong:
        raise ValueError(f"Every template needs one {{}} for the class name. Received: {wrong}.")
    prompts = ([template.replace("{}", name) for template in templates] for name in class_names)
    return l2_normalize(np.stack([l2_normalize(encode_text(p)).mean(axis=0) for p in prompts]))


def zero_shot_scores(video_embeddings: Array, class_embeddings: Array) -> np.ndarray:
    """[N, D] and [C, D] -> cosine similarities [N, C]."""
    return cosine_similarity(video_embeddings, class_embeddings)


def zero_shot_metrics(scores: Array, labels: Array, ks: Sequence[int] = (1, 5)) -> dict[str, float]:
    """Accuracy over the classes, and average precision over the videos.

    SSv2-Temporal and SSv2-Events are reported by both: the paper says top-1 (Table 4b), while the
    baselines that it prints come from a benchmark that ranks the videos for each template
    (VideoCon's `calc_ssv2.py`).

    Args:
        scores: [N, C].
        labels: [N] int.
        ks: how many classes may be named.

    Returns:
        `{"top1": ..., "top5": ..., "map": ...}` in [0, 1]; "map" is the mean over the classes that
        have a video.
    """
    accuracies = {f"top{k}": top_k_accuracy(scores, labels, k) for k in ks}
    positives = one_hot(labels, np.shape(scores)[1])
    return {**accuracies, "map": mean_average_precision(scores, positives)}


def zero_shot_hit_rate(scores: Array, positives: Array) -> float:
    """Share of videos whose best class is one of their classes; a tie with a wrong one is a miss.

    Args:
        scores: [N, C].
        positives: [N, C] bool (or 0 and 1), at least one per row.
    """
    return float(np.mean(best_positive_rank(scores, positives) == 1))


def chance_hit_rate(positives: Array) -> float:
    """Hit rate of a random class: the mean share of classes that are right.

    Args:
        positives: [N, C] bool (or 0 and 1), at least one per row.
    """
    positives = np.asarray(positives)
    return chance_recall(positives.shape[1], k=1, num_positives=positives.sum(axis=1))


def right_choices(
    choices: Sequence[Sequence[str]], answers: Array
) -> tuple[np.ndarray, np.ndarray]:
    """Which of each video's texts are right: the answer, and every text equal to it.

    Args:
        choices: N lists of texts, perhaps of other lengths. Charades-STA has all sentences of the
            clip's video (Appendix F.2), some of which are equal.
        answers: [N] int, the place of the right text.

    Returns:
        `positives` and `mask`, bool [N, C]; the mask is True for a text, False for padding.
    """
    counts = np.array([len(texts) for texts in choices])
    answers = np.asarray(answers)
    if answers.shape != counts.shape or (answers < 0).any() or (answers >= counts).any():
        raise ValueError(
            f"Each of {len(counts)} answers must be a place in its list of choices. Received: "
            f"{answers.shape} {answers[:5]} for lists of {counts[:5]}."
        )
    mask = np.arange(counts.max()) < counts[:, None]
    positives = np.zeros(mask.shape, bool)
    for row, (texts, answer) in enumerate(zip(choices, answers, strict=True)):
        positives[row, : len(texts)] = [text == texts[answer] for text in texts]
    return positives, mask


def multiple_choice_accuracy(
    video_embeddings: Array, choice_embeddings: Array, answers: Array, mask: Array | None = None
) -> float:
    """Share of videos whose nearest choice is right: NExT-QA, Charades-STA (Tables 4c and 4e).

    A tie with a wrong choice is a miss.

    Args:
        video_embeddings: [N, D].
        choice_embeddings: [N, C, D]; what the mask leaves out may hold anything.
        answers: [N] int, or bool [N, C] where several are right (see `right_choices`).
        mask: bool [N, C], True for a choice; by default all are.
    """
    videos = l2_normalize(video_embeddings)
    choices, answers = ops.convert_to_numpy(choice_embeddings), np.asarray(answers)
    if choices.ndim != 3 or len(choices) != len(videos):
        raise ValueError(f"Choices must be [{len(videos)}, C, D]. Received: {choices.shape}.")
    positives = one_hot(answers, choices.shape[1]) if answers.ndim == 1 else answers
    mask = np.ones(positives.shape, bool) if mask is None else np.asarray(mask, bool)
    if mask.shape != choices.shape[:2] or (positives & ~mask).any():
        raise ValueError(
            f"The mask must be {choices.shape[:2]} and keep the right choices. Received: "
            f"{mask.shape}, rows {np.flatnonzero((positives & ~mask).any(axis=1))[:5]} without it."
        )
    rows, _ = np.nonzero(mask)
    scores = np.full(mask.shape, -2.0)  # below any cosine
    scores[mask] = np.sum(videos[rows] * l2_normalize(choices[mask]), axis=1)
    return zero_shot_hit_rate(scores, positives)


def multiple_choice_chance(positives: Array, mask: Array) -> float:
    """Accuracy of a random choice.

    Args:
        positives, mask: bool [N, C], as `right_choices` gives them.
    """
    return float(np.mean(np.sum(positives, axis=1) / np.sum(mask, axis=1)))
