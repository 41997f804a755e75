"""Answers to questions, in an open or a closed vocabulary (Tables 6 and 21, Appendix G)."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from keras_videoprism.commands.caption import question_prompt
from keras_videoprism.commands.evaluate.encode import summarize
from keras_videoprism.commands.evaluate.language import Language, Prefixes, Speaker
from keras_videoprism.commands.evaluate.loaders import Questions
from keras_videoprism.commands.evaluate.outcome import Answer, Outcome
from keras_videoprism.commands.evaluate.protocol import Task
from keras_videoprism.data.annotations import Question
from keras_videoprism.data.curation.captions import open_wordnet
from keras_videoprism.evaluation import frequent_answers
from keras_videoprism.evaluation.answers import (
    answer_accuracy,
    closed_vocabulary_accuracy,
    normalize_answer,
)
from keras_videoprism.evaluation.wups import mean_by_kind, wups

Shots = Sequence[tuple[str, str]]
# (questions, answers) -> numbers, and the score of each question.
Measure = Callable[[Sequence[Question], Sequence[str]], tuple[dict[str, float], np.ndarray]]
STRICT = 0.9  # the other usual threshold of WUPS; the paper's number has none


def answer(speaker: Speaker, task: Task, found: Questions, seed: int = 0) -> Outcome:
    """An answer to each question whose clip is there; chance: the most frequent answer to all.

    Args:
        speaker: with a closed vocabulary, or without.
        task: has the paper's shots.
        found: questions to test on, and those that shots and vocabulary come from.
        seed: of shots that are drawn.

    Raises:
        ValueError: a reference without text, a prompt that is too long, or a closed vocabulary of
            more answers than there are.
    """
    language = speaker.language
    measure = _accuracy if task.headline == "accuracy" else _wups(open_wordnet(language.wordnet))
    measure(found.test, [""] * len(found.test))  # what is wrong with the references, before work
    shots = choose_shots(task, found.train, language, seed)
    prompts = _prompts(speaker, found.test, shots)
    words, notes = _vocabulary(speaker, found, shots) if language.vocabulary else ([], {})
    kept, prefixes, excluded = _see(speaker, found.test, "test")
    questions, prompts = [found.test[i] for i in kept], [prompts[i] for i in kept]
    if words:
        scores = _scores(speaker, prefixes, prompts, words)
        closed = closed_vocabulary_accuracy(scores, words, [q.answers for q in questions])
        texts = [words[best] for best in scores.argmax(axis=1)]
        numbers, of_each = {"accuracy": closed.accuracy}, closed.right.astype(float)
        notes["questions that no word answers, and wrong"] = closed.outside
    else:
        texts = speaker.say(prefixes, prompts)
        numbers, of_each = measure(questions, texts)
    usual = frequent_answers.most_frequent(_answers(found.train))[0]
    chance, _ = measure(questions, [usual] * len(questions))
    numbers[f"chance_{task.headline}"] = chance[task.headline]
    notes["examples before each question"] = [*shots]
    notes["chance"] = f"{usual!r}, the most frequent answer of the training questions, to all"
    notes["questions without their clip"] = len(found.test) - len(kept)
    answers = [
        Answer(question.row, question.question, text, question.answers, score)
        for question, text, score in zip(questions, texts, of_each.tolist(), strict=True)
    ]
    rows = [question.row for question in questions]
    return Outcome(numbers, len(rows), excluded, rows=rows, notes=notes, answers=answers)


def choose_shots(task: Task, train: Sequence[Question], language: Language, seed: int) -> Shots:
    """What stands before each question: the paper's own shots, or some chosen as it does."""
    if language.shots == len(task.shots) and not language.choose_shots:
        return task.shots
    asked = [question.question for question in train]
    return frequent_answers.choose_shots(asked, _answers(train), language.shots, seed)


def _accuracy(
    questions: Sequence[Question], texts: Sequence[str]
) -> tuple[dict[str, float], np.ndarray]:
    share, right = answer_accuracy(texts, [question.answers for question in questions])
    return {"accuracy": share}, right.astype(float)


def _wups(wordnet: Any) -> Measure:
    def measure(questions: Sequence[Question], texts: Sequence[str]) -> tuple:
        texts = [normalize_answer(text) for text in texts]
        references = [question.answers for question in questions]
        kinds = [question.kind for question in questions]
        mean, scores = wups(texts, references, kinds, wordnet)
        strict, _ = wups(texts, references, kinds, wordnet, threshold=STRICT)
        groups = mean_by_kind(scores, kinds)
        by_group = {f"wups_{kind}": groups[kind] for kind in "CTD" if kind in groups}
        return {"wups": mean, f"wups_{STRICT}": strict, **by_group}, scores

    return measure


def _answers(questions: Sequence[Question]) -> list[str]:
    return [question.answers[0] for question in questions]


def _prompts(speaker: Speaker, questions: Sequence[Question], shots: Shots) -> list[list[int]]:
    """Ids of each question behind the shots, short enough for an answer to follow."""
    tokens = speaker.captioner.prompts
    prompts = [tokens.prompt(question_prompt(question.question, shots)) for question in questions]
    closed = bool(speaker.language.vocabulary)
    speaker.check_length(prompts, 0 if closed else speaker.language.max_tokens - 1)
    return prompts


def _see(
    speaker: Speaker, questions: Sequence[Question], part: str
) -> tuple[np.ndarray, Prefixes, list[dict[str, Any]]]:
    """Numbers of the questions whose clip is there, their prefixes, and the clips that are not."""
    stored, features = speaker.see([question.row for question in questions], part)
    ids = np.array([question.row.clip_id for question in questions])
    kept = np.flatnonzero(np.isin(ids, stored.clip_ids))
    return kept, Prefixes(features, ids[kept]), stored.excluded


def _vocabulary(
    speaker: Speaker, found: Questions, shots: Shots
) -> tuple[list[str], dict[str, Any]]:
    """The answers to choose from; of several sizes the best one on the validation questions."""
    sizes = {*speaker.language.vocabulary}
    answers = _answers(found.train) + _answers(found.validation)

    def is_one_token(text: str) -> bool:
        ids = _ids(speaker, text)
        return len(ids) == 1 and speaker.captioner.prompts.texts(np.array([ids])) == [text]

    words, passed = frequent_answers.closed_vocabulary(answers, max(sizes), is_one_token)
    notes: dict[str, Any] = {"size of the vocabulary": len(words)}
    notes["frequent answers passed over"] = summarize(
        ("the answer has several tokens", text) for text in passed
    )
    if len(sizes) == 1:
        return words, notes
    prompts = _prompts(speaker, found.validation, shots)
    kept, prefixes, excluded = _see(speaker, found.validation, "validation")
    scores = _scores(speaker, prefixes, [prompts[i] for i in kept], words)
    references = [found.validation[i].answers for i in kept]
    best, accuracies = frequent_answers.best_vocabulary_size(scores, words, references, sizes)
    return words[:best], {
        **notes,
        "size of the vocabulary": best,
        "validation accuracy (%) of each size": {
            k: round(100 * a, 2) for k, a in accuracies.items()
        },
        "validation questions": len(kept),
        "validation clips left out": excluded,
    }


def _scores(
    speaker: Speaker, prefixes: Prefixes, prompts: Sequence[Sequence[int]], words: Sequence[str]
) -> np.ndarray:
    """Log-likelihoods [Q, C] of words that are one token each."""
    return speaker.score(prefixes, prompts, np.array([_ids(speaker, word)[0] for word in words]))


def _ids(speaker: Speaker, word: str) -> list[int]:
    """Behind any prompt: the space before a word belongs to its token."""
    return speaker.captioner.prompts.answer("answer:", word)
