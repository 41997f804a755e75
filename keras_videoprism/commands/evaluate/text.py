"""Zero-shot tasks: the similarity of videos and texts is all that is needed (sections 3.2, F)."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_videoprism.commands.classify import TEMPERATURE, class_vectors, softmax
from keras_videoprism.commands.evaluate.encode import (
    FrozenModel,
    Place,
    Stored,
    encode,
    store,
)
from keras_videoprism.commands.evaluate.loaders import Captioned, Choices, Labelled
from keras_videoprism.commands.evaluate.outcome import Outcome
from keras_videoprism.data.manifest import Row
from keras_videoprism.evaluation import metrics, retrieval, zero_shot
from keras_videoprism.models import VideoPrismLvT

TEXT_BATCH = 64
LONG_TEXTS = ("truncate", "mean")


def retrieve(model: VideoPrismLvT, found: Captioned, place: Place, long_texts: str) -> Outcome:
    """Recall@1, 5 and 10 from texts to videos and back; a video may have several captions."""
    embeddings, (rows, excluded) = embed_rows(model, found.test, place)
    owners = np.repeat(np.arange(len(rows)), [len(row.captions) for row in rows])
    texts = [caption for row in rows for caption in row.captions]
    vectors, num_long = embed_texts(model, texts, long_texts)
    numbers = retrieval.captions_recall(embeddings, vectors, owners)
    chance = retrieval.chance_captions_recall(owners)
    numbers |= {f"chance_{name}": value for name, value in chance.items()}
    notes = {"texts": len(texts), **_long(num_long, long_texts)}
    return Outcome(numbers, len(rows), excluded, notes=notes)


def classify_zero_shot(
    model: VideoPrismLvT, found: Labelled, place: Place, templates: str, multi_label: bool
) -> Outcome:
    """The class whose prompts are nearest; mAP ranks the videos of each class by similarity."""
    vectors = class_vectors(model, found.classes, templates)
    embeddings, (rows, excluded) = embed_rows(model, found.test, place)
    scores = zero_shot.zero_shot_scores(embeddings, vectors)
    labels: np.ndarray = np.array(
        [np.isin(np.arange(len(found.classes)), row.labels) for row in rows]
    )
    notes = {
        "prompts": templates,
        "classes without a clip": [found.classes[i] for i in np.flatnonzero(~labels.any(axis=0))],
    }
    chance = {"chance_map": metrics.chance_average_precision(labels)}
    if multi_label:
        numbers = {"map": metrics.mean_average_precision(scores, labels), **chance}
    else:
        labels = labels.argmax(axis=1)
        numbers = {**zero_shot.zero_shot_metrics(scores, labels), **chance}
        numbers["chance_top1"] = 1 / len(found.classes)
    shown = softmax(scores / TEMPERATURE)
    return Outcome(numbers, len(rows), excluded, shown, labels, found.classes, rows, notes)


def choose(model: VideoPrismLvT, found: Choices, place: Place, long_texts: str) -> Outcome:
    """The choice whose text is nearest; a question is put before each of its choices."""
    # Many questions, perhaps with other captions, are of one clip.
    clips = [question.row._replace(captions=(), labels=()) for question in found.test]
    embeddings, (rows, excluded) = embed_rows(model, clips, place)
    owner = {row.clip_id: index for index, row in enumerate(rows)}
    questions = [question for question in found.test if question.row.clip_id in owner]
    texts = [[f"{q.question} {choice}".strip() for choice in q.choices] for q in questions]
    unique = list(dict.fromkeys(text for choices in texts for text in choices))
    vectors, num_long = embed_texts(model, unique, long_texts)
    right, mask = zero_shot.right_choices(
        [q.choices for q in questions], [q.choices.index(q.answers[0]) for q in questions]
    )
    place_of = {text: index for index, text in enumerate(unique)}
    choices = np.zeros((*mask.shape, vectors.shape[1]), vectors.dtype)
    choices[mask] = vectors[[place_of[text] for names in texts for text in names]]
    chosen = embeddings[[owner[q.row.clip_id] for q in questions]]
    numbers = {
        "accuracy": zero_shot.multiple_choice_accuracy(chosen, choices, right, mask),
        "chance_accuracy": zero_shot.multiple_choice_chance(right, mask),
    }
    lost = len(found.test) - len(questions)
    notes = {"questions without their clip": lost, **_long(num_long, long_texts)}
    return Outcome(numbers, len(questions), excluded, notes=notes)


def embed_rows(
    model: VideoPrismLvT, rows: Sequence[Row], place: Place
) -> tuple[np.ndarray, Stored]:
    """Unit vectors [n, D] of the clips that could be read, and these clips."""
    stored = store(rows, place, "test")
    tower = FrozenModel(model, model.encode_video, (model.video_encoder.hidden_dim,), "embedding")
    folder = place.features / "test-embedding"
    found = encode(tower, place.records / "test", folder, place.clips)
    return found.of(stored.clip_ids), stored


def embed_texts(
    model: VideoPrismLvT, texts: Sequence[str], long_texts: str = "truncate"
) -> tuple[np.ndarray, int]:
    """Unit vectors [n, D] of texts, and how many of them are longer than the text tower reads.

    Args:
        model: with a tokenizer.
        texts: any sentences or paragraphs.
        long_texts: of a longer one, "truncate" reads the beginning, as the released code does;
            "mean" takes the mean direction of parts of it that are short enough.

    Raises:
        ValueError: no tokenizer, or another way.
    """
    if model.tokenizer is None:
        raise ValueError("zero-shot tasks need a model with a tokenizer; this one has none.")
    if long_texts not in LONG_TEXTS:
        raise ValueError(f"long_texts must be one of {LONG_TEXTS}, received {long_texts!r}")
    if not texts:
        raise ValueError("there is no text to compare the videos with")
    is_long = model.tokenizer.lengths(texts) > model.tokenizer.max_length
    parts = [
        _parts(model, text) if long and long_texts == "mean" else [text]
        for text, long in zip(texts, is_long, strict=True)
    ]
    vectors = _encode(model, [part for found in parts for part in found])
    ends = np.cumsum([len(found) for found in parts])
    means = [part.mean(axis=0) for part in np.split(vectors, ends[:-1])]
    return retrieval.l2_normalize(np.stack(means)), int(is_long.sum())


def _encode(model: VideoPrismLvT, texts: list[str]) -> np.ndarray:
    """[n, D]; all batches have one size, so that the tower is compiled once."""
    tokens = model.tokenizer(texts + [texts[-1]] * (-len(texts) % TEXT_BATCH))
    outputs = [
        model.predict_on_batch({name: array[i : i + TEXT_BATCH] for name, array in tokens.items()})
        for i in range(0, len(tokens["token_ids"]), TEXT_BATCH)
    ]
    vectors = [keras.ops.convert_to_numpy(output["text_embeddings"]) for output in outputs]
    return np.concatenate(vectors)[: len(texts)]


def _parts(model: VideoPrismLvT, text: str) -> list[str]:
    """A text in pieces that the tower can read, cut between words."""
    words = text.split()
    if len(words) < 2 or model.tokenizer.lengths([text])[0] <= model.tokenizer.max_length:
        return [text]
    half = len(words) // 2
    pieces = (" ".join(words[:half]), " ".join(words[half:]))
    return [part for piece in pieces for part in _parts(model, piece)]


def _long(number: int, long_texts: str) -> dict[str, Any]:
    return {"texts longer than the tower reads": number, "these are read by": long_texts}
