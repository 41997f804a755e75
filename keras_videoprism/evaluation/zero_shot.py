"""Zero-shot classification: the class whose prompts lie nearest to the video's embedding."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from keras_videoprism.evaluation.metrics import best_positive_rank
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
