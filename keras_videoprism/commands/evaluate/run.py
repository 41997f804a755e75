"""One task of the paper, from the user's copy of the data to a number beside the paper's."""

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_videoprism import presets
from keras_videoprism.commands.answers_page import draw_answers, write_answers
from keras_videoprism.commands.embed import read_clip
from keras_videoprism.commands.evaluate import answer, boxes, caption, classify, segments, text
from keras_videoprism.commands.evaluate.encode import Clips, Place
from keras_videoprism.commands.evaluate.language import (
    OPTIONS,
    Language,
    Speaker,
    check_language,
    load_captioner,
)
from keras_videoprism.commands.evaluate.outcome import Outcome
from keras_videoprism.commands.evaluate.protocol import Task
from keras_videoprism.commands.evaluate.tasks import load_task
from keras_videoprism.commands.evaluate.training import Training
from keras_videoprism.commands.result_page import write_result_page
from keras_videoprism.data.atomic import atomic_path
from keras_videoprism.data.video import VideoError
from keras_videoprism.evaluation.paper import find_results
from keras_videoprism.heads.adaptation import METHODS
from keras_videoprism.models import VideoPrism, VideoPrismLvT

RESULT_FILE, PAGE_FILE, ANSWERS_FILE = "result.json", "result.html", "answers.jsonl"
ZERO_SHOT = ("retrieve", "zero_shot", "choose")
LANGUAGE = (*OPTIONS,)
UNTRAINED = (*ZERO_SHOT, *LANGUAGE)
ADAPTED: dict[str, Callable[..., Outcome]] = {
    "classify": classify.classify,
    "boxes": boxes.detect,
    "segments": segments.localise,
}
THUMBNAIL = (96, 96)  # pixels


def evaluate(
    task: str,
    data: str | Path,
    preset: str,
    output: str | Path,
    *,
    method: str = "frozen",
    variant: str = "paper",
    videos: str | Path | None = None,
    work: str | Path | None = None,
    image_size: int | None = None,
    learning_rates: Sequence[float] = (),
    weight_decays: Sequence[float] = (),
    through_encoder: bool = False,
    cache_dtype: str = "float32",
    prompts: str = "kinetics",
    long_texts: str = "truncate",
    max_missing: float = 0.05,
    random_encoder: bool = False,
    seed: int = 0,
    **options: Any,
) -> dict[str, Any]:
    """Run a task of Table 12 by the paper's protocol; what is not given comes from its recipe.

    Records and features stay in the working folder: a call that was interrupted goes on, and one
    with another head begins where the encoder has ended.

    Args:
        task: key of `TASKS`.
        data: folder of the data set's annotation files.
        preset: of a `VideoPrism`, or, to compare with texts, a `VideoPrismLvT` with tokenizer.
        output: folder for `result.json` and `result.html`, and of a language model `answers.jsonl`.
        method: "frozen", "mlap", "adapter" or "finetune"; not of zero-shot tasks.
        variant: of the classifier: "paper", "released" or "tensorflow".
        videos: folder of the videos; default: `videos` in `data`.
        work: folder for records and features, which several calls may share; default: `work` in
            `output`.
        image_size: of the clips, in pixels; default: the encoder's.
        learning_rates, weight_decays: of several, the pair that is best on a tenth of the training
            clips is taken.
        through_encoder: train the head of a frozen encoder on videos, augmented as the recipe says,
            and not on cached features of clips that are not.
        cache_dtype: "float32", or "float16" for half of the disk.
        prompts: of zero-shot classes, see `evaluation.zero_shot.TEMPLATES`.
        long_texts: what is done with texts longer than the tower reads, see `embed_texts`.
        max_missing: share of the clips that may be missing or damaged.
        random_encoder: take the encoder with random weights, as a baseline.
        seed: of the head, its training and a random encoder, and of shots that are drawn.
        **options: values of `Language`, for captions and answers: `language_model` and `resampler`
            are needed; and other values of `Recipe` than the task's, such as `epochs`,
            `batch_size`, `num_frames`, or `views`: (windows in time, crops in space) to test with.

    Returns:
        The content of `result.json`.

    Raises:
        ValueError: what the task, the data or the model do not allow; nothing was computed then.
    """
    asked = {name: options.pop(name) for name in Language._fields if name in options}
    definition, found = load_task(task, data, videos, **options)
    how = method, variant, learning_rates, weight_decays, through_encoder, cache_dtype, seed
    training, language = Training(definition.recipe, *how), Language(**asked)
    _check_options(definition, training, long_texts)
    check_language(definition, language)
    keras.utils.set_random_seed(seed)
    model = presets.from_preset(preset, load_weights=not random_encoder)
    encoder = _check_model(model, definition, preset)
    origin = f"{preset} (random weights, seed {seed})" if random_encoder else str(preset)
    folder = (Path(work) if work else Path(output) / "work") / task
    clips = _clips(definition, encoder, image_size)
    place = Place(folder / "records", folder / _folder_name(origin), clips, max_missing)
    if definition.kind in LANGUAGE:
        outcome = _speak(encoder, definition, found, place, training, language)
    elif definition.kind in ZERO_SHOT:
        outcome = _zero_shot(model, definition, found, place, prompts, long_texts)
    else:
        outcome = ADAPTED[definition.kind](encoder, definition, found, place, training)
    result = _result(task, definition, origin, training, language, clips, outcome)
    _write(Path(output), result, outcome)
    return result


def paper_rows(task: str, metric: str) -> list[dict[str, Any]]:
    """What the paper and the public checkpoints' README print of VideoPrism for a task."""
    sources: dict[tuple, str] = {}
    for row in find_results(task=task, metric=metric):
        if row.model.startswith("VideoPrism"):
            source = "public checkpoints" if row.table == "public" else f"Table {row.table}"
            sources.setdefault((row.method, row.model, row.value), source)
    return [
        {"method": method, "model": model, "value": value, "source": source}
        for (method, model, value), source in sources.items()
    ]


def _check_options(task: Task, training: Training, long_texts: str) -> None:
    """ValueError for what the task has no use for."""
    if training.method not in METHODS:
        raise ValueError(f"method must be one of {METHODS}, received {training.method!r}")
    if long_texts not in text.LONG_TEXTS:
        raise ValueError(f"long_texts must be one of {text.LONG_TEXTS}, received {long_texts!r}")
    plain = Training(task.recipe, seed=training.seed)
    if task.kind in LANGUAGE:  # prefixes are cached
        plain = plain._replace(cache_dtype=training.cache_dtype)
    if task.kind in UNTRAINED and training != plain:
        raise ValueError(
            f"{task.title}: nothing is trained; leave out how a head is: method, variant, "
            "learning_rates, weight_decays, through_encoder, cache_dtype"
        )


def _check_model(model: keras.Model, task: Task, preset: str | Path) -> VideoPrism:
    """The video encoder; ValueError for a model that cannot do the task."""
    zero_shot = task.kind in ZERO_SHOT
    if zero_shot and not isinstance(model, VideoPrismLvT):
        raise ValueError(
            f"{task.title} compares videos with texts: it needs a model with a text tower, such as "
            f"videoprism_lvt_b; {preset} is a {type(model).__name__}"
        )
    if zero_shot and model.tokenizer is None:
        raise ValueError(f"{task.title} needs a tokenizer, which {preset} lacks")
    for encoder in (model, getattr(model, "video_encoder", None), getattr(model, "encoder", None)):
        if isinstance(encoder, VideoPrism):
            return encoder
    raise ValueError(f"{preset} holds no video encoder but a {type(model).__name__}")


def _clips(task: Task, encoder: VideoPrism, image_size: int | None) -> Clips:
    recipe = task.recipe
    num_frames = recipe.num_frames or encoder.position_shape[0]
    size = (image_size, image_size) if image_size else encoder.image_size
    if task.kind in UNTRAINED:  # a single view (Table 4)
        return Clips(num_frames, size)
    many_views = task.kind == "classify" and recipe.views != (1, 1)
    return Clips(
        num_frames,
        size,
        fps=recipe.fps,
        sampling=recipe.test_sampling,
        views=recipe.views if many_views else None,
        whole=task.kind == "boxes",
    )


def _folder_name(origin: str) -> str:
    """Of the features of a model: two models of one name are told apart by their fingerprints."""
    return "features-" + re.sub(r"\W+", "-", origin).strip("-")[-80:]


def _zero_shot(
    model: VideoPrismLvT, task: Task, found: Any, place: Place, prompts: str, long_texts: str
) -> Outcome:
    if task.kind == "zero_shot":
        return text.classify_zero_shot(model, found, place, prompts, task.multi_label)
    run = text.retrieve if task.kind == "retrieve" else text.choose
    return run(model, found, place, long_texts)


def _speak(
    encoder: VideoPrism,
    task: Task,
    found: Any,
    place: Place,
    training: Training,
    language: Language,
) -> Outcome:
    captioner = load_captioner(encoder, language)
    sizes = training.recipe.batch_size, training.cache_dtype
    speaker = Speaker(captioner, language, place, *sizes)
    if task.kind == "caption":
        return caption.caption(speaker, found)
    return answer.answer(speaker, task, found, training.seed)


def _method(task: Task, training: Training, language: Language) -> str:
    """As the paper's rows have it."""
    if task.kind == "answer":
        return f"{language.shots}_shot_{'closed' if language.vocabulary else 'open'}"
    return "zero_shot" if task.kind in UNTRAINED else training.method


def _result(
    name: str,
    task: Task,
    origin: str,
    training: Training,
    language: Language,
    clips: Clips,
    outcome: Outcome,
) -> dict[str, Any]:
    """What `result.json` holds."""
    settings: dict[str, Any] = {}
    if task.kind in LANGUAGE:
        names = ("language_model", "resampler", *OPTIONS[task.kind])
        settings = {name: getattr(language, name) for name in names}
        settings["cache_dtype"] = training.cache_dtype
    elif task.kind not in ZERO_SHOT:
        settings = {**training.recipe._asdict(), **training._asdict(), "cached": training.cached}
        settings["learning rates and weight decays"] = training.pairs
        del settings["recipe"], settings["learning_rates"], settings["weight_decays"]
    settings |= clips._asdict() | outcome.notes
    return {
        "task": name,
        "title": task.title,
        "method": _method(task, training, language),
        "preset": origin,
        "metrics": outcome.metrics,
        "headline": task.headline,
        "num_examples": outcome.num_examples,
        "excluded": [*outcome.excluded],
        "paper": paper_rows(name, task.headline),
        "settings": {key: str(value) for key, value in settings.items()},
    }


def _write(output: Path, result: dict[str, Any], outcome: Outcome) -> None:
    output.mkdir(parents=True, exist_ok=True)
    with atomic_path(output / RESULT_FILE) as temporary:
        temporary.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")

    def frames_of(positions: list[int]) -> list[np.ndarray]:
        found = []
        for row in (outcome.rows[position] for position in positions):
            try:
                frames = read_clip(row.path, 4, THUMBNAIL, start=row.start, end=row.end)
            except (VideoError, OSError):  # it was there when the clips were stored
                frames = np.zeros((1, *THUMBNAIL, 3), np.uint8)
            found.append(frames)
        return found

    if outcome.answers:
        write_answers(output / ANSWERS_FILE, outcome.answers)
    names = [row.name for row in outcome.rows]
    write_result_page(
        output / PAGE_FILE,
        result,
        scores=outcome.scores,
        labels=outcome.labels,
        class_names=outcome.classes or None,
        clip_names=names or None,
        frames_of=frames_of if names else None,
        sections=draw_answers(outcome.answers, frames_of),
    )
