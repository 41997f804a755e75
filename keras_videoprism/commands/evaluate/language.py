"""A frozen language model that sees clips: how it is asked, and what it says (section 3.3).

Encoder and resampler run once for each clip. What they give, the prefix [Q, W], is kept in files: a
further question about a clip costs no encoder, and a run that was interrupted goes on.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras_hub
import numpy as np

from keras_videoprism.commands.evaluate.encode import FrozenModel, Place, Stored, encode, store
from keras_videoprism.commands.evaluate.protocol import Task
from keras_videoprism.commands.features import digest_of_model
from keras_videoprism.commands.progress import progress_bar
from keras_videoprism.data.features import Features
from keras_videoprism.data.manifest import Row
from keras_videoprism.heads.captioner import MAX_TOKENS, VideoCaptioner
from keras_videoprism.models import VideoPrism

# What each kind of task may be told, besides the models.
OPTIONS = {
    "caption": ("prompt", "num_beams", "max_tokens"),
    "answer": ("shots", "choose_shots", "vocabulary", "wordnet", "num_beams", "max_tokens"),
}
MODELS = ("language_model", "resampler")


class Language(NamedTuple):
    """How a language model is asked.

    language_model: KerasHub preset, or the folder of one. resampler: file of `VideoCaptioner.save`.
    prompt: the text that a caption goes on with. shots: questions with answers that stand before
    each question; choose_shots: drawn, also where the paper prints its own. vocabulary: sizes of
    the closed one, of which the validation questions choose; none lets the model speak. wordnet:
    folder of WordNet; None asks nltk. num_beams, max_tokens: see `VideoCaptioner.generate`.
    """

    language_model: str | Path | None = None
    resampler: str | Path | None = None
    prompt: str = ""
    shots: int = 2
    choose_shots: bool = False
    vocabulary: Sequence[int] = ()
    wordnet: str | Path | None = None
    num_beams: int = 1
    max_tokens: int = MAX_TOKENS


def check_language(task: Task, language: Language) -> None:
    """ValueError for what the task lacks or has no use for."""
    asked = language._asdict()
    known = (*MODELS, *OPTIONS[task.kind]) if task.kind in OPTIONS else ()
    given = {name for name in asked if asked[name] != Language._field_defaults[name]}
    if given - {*known}:
        raise ValueError(f"{task.title} has no use for {sorted(given - {*known})}; leave them out")
    missing = [name for name in MODELS if known and asked[name] is None]
    if missing:
        raise ValueError(
            f"{task.title} needs a language model and the resampler that was trained with it; "
            f"{missing} are missing"
        )
    smallest = {"shots": 0, "num_beams": 1, "max_tokens": 1}
    small = {name: asked[name] for name, least in smallest.items() if asked[name] < least}
    if small or any(size < 1 for size in language.vocabulary):
        raise ValueError(
            f"shots must not be negative, and num_beams, max_tokens and the sizes of vocabulary be "
            f"at least 1; received {small or [*language.vocabulary]}"
        )
    if language.vocabulary and task.headline != "accuracy":
        raise ValueError(
            f"{task.title} is scored by {task.headline}, as its answers have several words; "
            "leave out vocabulary"
        )


def load_captioner(encoder: VideoPrism, language: Language) -> VideoCaptioner:
    """The captioner on an encoder.

    Raises:
        ValueError: a part that cannot be found, or was trained with others.
    """
    language_model = keras_hub.models.CausalLM.from_preset(str(language.language_model))
    return VideoCaptioner.load(str(language.resampler), encoder, language_model)


class FrozenPrefix(FrozenModel):
    """Videos [B, T, H, W, 3] -> what stands for them before the text, [B, Q, W]."""

    def __init__(self, captioner: VideoCaptioner) -> None:
        resampler = captioner.resampler
        shape = (resampler.num_latents, resampler.hidden_dim)
        prefix = captioner.prefix  # a method: its captioner has the language model's weights too
        super().__init__(captioner.encoder, lambda x: prefix({"videos": x}), shape, "prefix")
        self.resampler = resampler

    def get_config(self) -> dict[str, Any]:
        config = self.resampler.get_config()
        resampler = {key: config[key] for key in config if key not in ("name", "trainable")}
        return {**super().get_config(), "resampler": resampler}


class Prefixes(NamedTuple):
    """The prefixes of clips, found by their ids: int64 [N], of a clip for each text."""

    features: Features
    clip_ids: np.ndarray

    def take(self, rows: np.ndarray) -> np.ndarray:
        """float32 [B, Q, W]."""
        return self.features.of(self.clip_ids[rows]).astype("float32")


class Speaker(NamedTuple):
    """A captioner and how it is run.

    place: of records and prefixes. batch_size: texts that pass together. dtype: of the files.
    """

    captioner: VideoCaptioner
    language: Language
    place: Place
    batch_size: int = 16
    dtype: str = "float32"

    def see(self, rows: Sequence[Row], part: str) -> tuple[Stored, Features]:
        """The clips that could be read, and their prefixes."""
        stored = store(rows, self.place, part)
        frozen = FrozenPrefix(self.captioner)
        folder = self.place.features / f"{part}-prefix-{digest_of_model(frozen)[:8]}"
        records = self.place.records / part
        return stored, encode(frozen, records, folder, self.place.clips, self.dtype)

    def check_length(self, prompts: Sequence[Sequence[int]], num_tokens: int) -> None:
        """ValueError where a prompt and so many tokens behind it are too long for the model."""
        self.captioner.check_length(max(map(len, prompts)) + num_tokens)

    def say(self, prefixes: Prefixes, prompts: Sequence[Sequence[int]]) -> list[str]:
        """What the model says behind each clip and prompt; prompts of one length pass together."""
        captioner, language = self.captioner, self.language
        lengths = np.array([*map(len, prompts)])
        answers = np.zeros((len(prompts), language.max_tokens), "int32")
        for rows in _batches("generate", lengths, self.batch_size):
            tokens = np.array([prompts[row] for row in rows], "int32")
            batch = {"prefix": prefixes.take(rows), "token_ids": tokens}
            options = captioner.prompts.end_id, language.num_beams, language.max_tokens
            answers[rows] = captioner.generate_tokens(batch, *options)
        return captioner.prompts.texts(answers)

    def score(
        self, prefixes: Prefixes, prompts: Sequence[Sequence[int]], candidates: np.ndarray
    ) -> np.ndarray:
        """Log-likelihoods [N, C] of tokens [C] behind each clip and prompt, by one pass each."""
        longest = max(map(len, prompts))
        scores = np.zeros((len(prompts), len(candidates)), "float32")
        for rows in _batches("score", np.zeros(len(prompts)), self.batch_size):
            batch, asked = {"prefix": prefixes.take(rows)}, [prompts[row] for row in rows]
            found = self.captioner.score_first_token(batch, asked, candidates, longest)
            scores[rows] = found
        return scores


def _batches(title: str, keys: np.ndarray, batch_size: int) -> Iterator[np.ndarray]:
    """Rows of equal keys, behind a progress bar.

    All batches have one size, the last row being repeated: each shape is compiled once.
    """
    size, done = min(batch_size, len(keys)), 0
    with progress_bar(title) as progress:
        for key in np.unique(keys):
            rows = np.flatnonzero(keys == key)
            for start in range(0, len(rows), size):
                part = rows[start : start + size]
                yield np.pad(part, (0, size - len(part)), mode="edge")
                done += len(part)
                progress(done, len(keys))
