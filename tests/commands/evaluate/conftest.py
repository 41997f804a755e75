"""Tiny copies of data sets, tiny models, and what stands in for the slow parts."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras_hub import models as hub
from PIL import Image

from keras_videoprism import presets
from keras_videoprism.commands.evaluate import encode
from keras_videoprism.commands.features import describe_features
from keras_videoprism.data import RecordSource, decode, open_records
from keras_videoprism.data.features import (
    begin_features,
    digest_of_records,
    plan_features,
    write_shard,
)
from keras_videoprism.heads import PerceiverResampler, VideoCaptioner
from keras_videoprism.models import VideoPrism
from tests.commands.evaluate.copies import WRITERS, Copy
from tests.evaluation.test_wups import write_wordnet

TINY = {
    "patch_size": 8,
    "position_shape": (4, 3, 3),
    "hidden_dim": 16,
    "num_spatial_layers": 1,
    "num_temporal_layers": 2,
    "num_heads": 2,
    "mlp_dim": 32,
}


@pytest.fixture(scope="session")
def encoder() -> VideoPrism:
    """An encoder with random weights. Not to be trained."""
    keras.utils.set_random_seed(0)
    return VideoPrism(**TINY)


def make_language_model(*words: str) -> hub.CausalLM:
    """A GPT-2 of random weights; its tokens are characters, and these words behind a space."""
    merges, pieces = [], ["<|endoftext|>", *"abcdefghijklmnopqrstuvwxyz0123456789Ġ?:."]
    for word in words:
        for end in range(1, len(word) + 1):
            merges.append(f"Ġ{word[: end - 1]} {word[end - 1]}")
            pieces.append(f"Ġ{word[:end]}")
    merges, pieces = [*dict.fromkeys(merges)], [*dict.fromkeys(pieces)]
    tokenizer = hub.GPT2Tokenizer({piece: i for i, piece in enumerate(pieces)}, merges)
    keras.utils.set_random_seed(0)
    backbone = hub.GPT2Backbone(len(pieces), 1, 2, 8, 8, max_sequence_length=220)
    return hub.GPT2CausalLM(backbone, hub.GPT2CausalLMPreprocessor(tokenizer))


@pytest.fixture(scope="session")
def captioner(encoder) -> VideoCaptioner:
    """Of random weights, 3 tokens a video and 220 positions. Not to be trained."""
    language_model = make_language_model("red", "green", "blue")
    resampler = PerceiverResampler(8, num_latents=3, num_heads=2, head_dim=4)
    return VideoCaptioner(encoder, language_model, resampler)


@pytest.fixture(scope="session")
def speech(captioner, tmp_path_factory) -> dict[str, Any]:
    """Arguments of `evaluate` for tasks with a language model."""
    folder = tmp_path_factory.mktemp("speech")
    captioner.prompts.language_model.save_to_preset(folder / "gpt2")
    captioner.save(folder / "resampler.keras")
    files = {"language_model": str(folder / "gpt2"), "resampler": str(folder / "resampler.keras")}
    return {**files, "max_tokens": 3}


@pytest.fixture(scope="session")
def wordnet(tmp_path_factory) -> str:
    """Folder of a WordNet of a few words."""
    return str(write_wordnet(tmp_path_factory.mktemp("wordnet")))


@pytest.fixture
def models(encoder, text_tower, monkeypatch) -> None:
    """The presets "video" and "text", each one model for all calls: do not train their encoders."""
    known = {"video": encoder, "text": text_tower}
    monkeypatch.setattr(presets, "from_preset", lambda preset, load_weights: known[preset])


@pytest.fixture
def new_models(monkeypatch) -> None:
    """The preset "video", a new model with random weights for each call."""
    monkeypatch.setattr(presets, "from_preset", lambda preset, load_weights: VideoPrism(**TINY))


@pytest.fixture
def see_colours(monkeypatch) -> None:
    """A clip's features are the mean colours of its frames, in place of what an encoder sees."""
    monkeypatch.setattr(encode, "cache_features", cache_colours)


def cache_colours(
    model: Any, records: Path, output: Path, *, batch_size: int, dtype: str, **options: Any
) -> None:
    """As `cache_features`, without an encoder."""
    del options["progress"]
    made_by = describe_features(model, digest_of_records(open_records(records)), **options)
    views = (int(np.prod(options["views"])),) if options["views"] else ()
    shape = (*views, *model.shape)
    source = RecordSource(records)
    plan = plan_features(made_by, len(source), len(source), shape, dtype)
    if not begin_features(output, plan)[1]:
        clips = [source[index] for index in range(len(source))]
        features = [np.resize(_colours(clip["frames"]), shape) for clip in clips]
        ids = np.array([clip["clip_id"] for clip in clips])
        write_shard(output, plan, 0, ids, np.stack(features).astype("float32"))


def _colours(jpegs: list[bytes]) -> np.ndarray:
    """Mean of red, green and blue in each frame, 0 where it is the background's."""
    frames = [np.asarray(Image.open(io.BytesIO(jpeg)), float) for jpeg in jpegs]
    return np.stack([frame.mean(axis=(0, 1)) - 40 for frame in frames]).mean(axis=0) / 10


@pytest.fixture(autouse=True)
def decode_here(request, monkeypatch) -> None:
    """Videos are decoded in this process: the child processes take a second to start."""
    if "child_processes" in request.fixturenames:
        return

    def ask(self: Any, call: dict) -> tuple[dict, bytearray]:
        answer, content = decode._answer(**call)
        return answer, bytearray(content)

    monkeypatch.setattr(decode.Decoder, "_ask", ask)


@pytest.fixture
def child_processes() -> None:
    """For a test with the decoders as they are."""


@pytest.fixture(scope="session")
def copies(video_folder, tmp_path_factory) -> Callable[[str], Path]:
    """copies(task): folder of a tiny copy of its data set. Not to be written to."""
    folder = tmp_path_factory.mktemp("copies")

    def make(task: str) -> Path:
        if not (folder / task).exists():
            WRITERS[task](Copy(folder / task, video_folder))
        return folder / task

    return make


@pytest.fixture
def copy(video_folder, tmp_path) -> Callable[[str], Path]:
    """copy(task): one that may be changed."""

    def make(task: str) -> Path:
        WRITERS[task](Copy(tmp_path / task, video_folder))
        return tmp_path / task

    return make
