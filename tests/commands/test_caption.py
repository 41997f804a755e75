"""With a model that answers what it was asked, and once with real parts from files."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
from keras_hub import models

from keras_videoprism import presets
from keras_videoprism.commands.caption import ask, caption_files, load_captioner
from keras_videoprism.data.video import VideoError
from keras_videoprism.heads import PerceiverResampler, VideoCaptioner


class Echo:
    """A captioner whose captions are the prompts, and whose scores are the lengths of words."""

    encoder = SimpleNamespace(position_shape=(4, 3, 3), image_size=(24, 24))

    def generate(self, videos, prompt, num_beams=1, max_tokens=32):
        assert videos.shape == (1, 4, 24, 24, 3)
        return [f"{prompt}|{num_beams}|{max_tokens}"]

    def score(self, videos, prompt, candidates):
        self.prompt = prompt
        return np.array([[len(word) for word in candidates]])


@pytest.fixture(scope="module")
def file(video_folder) -> str:
    return str(sorted(video_folder.glob("*.mp4"))[0])


def test_files_that_fail_are_listed(file, tmp_path):
    seen = []
    files = [tmp_path / "none.mp4", file]
    found, failed = caption_files(
        Echo(), files, "see", 2, 9, progress=lambda *counts: seen.append(counts)
    )
    assert found == [(file, "see|2|9")]
    assert [name for name, _ in failed] == [str(files[0])]
    assert seen == [(1, 2), (2, 2)]


def test_a_question_in_the_form_of_the_paper(file):
    examples = [("who is talking to his family?", "man"), ("what is a woman doing?", "talk")]
    answer = ask(Echo(), file, " what moves? ", examples, max_tokens=4)
    assert answer == (
        "question: who is talking to his family? answer: man. "
        "question: what is a woman doing? answer: talk. "
        "question: what moves? answer:|1|4"
    )


def test_the_likeliest_candidate(file):
    echo = Echo()
    assert ask(echo, file, "who?", candidates=["cat", "giraffe", "dog"]) == "giraffe"
    assert echo.prompt == "question: who? answer:"


def test_bad_questions(file, tmp_path):
    with pytest.raises(ValueError, match="question is empty"):
        ask(Echo(), file, " ")
    with pytest.raises(VideoError):
        ask(Echo(), tmp_path / "none.mp4", "who?")


@pytest.fixture(scope="module")
def parts(tmp_path_factory, text_tower) -> dict:
    """The files of a captioner of random weights: arguments of `load_captioner`."""
    folder = tmp_path_factory.mktemp("captioner")
    presets.save(text_tower, folder / "encoder")
    pieces = ["<|endoftext|>", *"abcdefghijklmnopqrstuvwxyzĠ?:", "th"]
    tokenizer = models.GPT2Tokenizer({piece: i for i, piece in enumerate(pieces)}, ["t h"])
    backbone = models.GPT2Backbone(len(pieces), 1, 2, 8, 8, max_sequence_length=64)
    language_model = models.GPT2CausalLM(backbone, models.GPT2CausalLMPreprocessor(tokenizer))
    language_model.save_to_preset(folder / "language_model")
    keras.utils.set_random_seed(0)
    captioner = VideoCaptioner(
        text_tower.video_encoder, language_model, PerceiverResampler(8, 4, num_heads=2, head_dim=4)
    )
    captioner.save(folder / "resampler.keras")
    return {
        "preset": str(folder / "encoder"),
        "language_model": str(folder / "language_model"),
        "resampler": str(folder / "resampler.keras"),
    }


def test_load_captioner(parts, file, text_tower):
    captioner = load_captioner(**parts)
    np.testing.assert_array_equal(
        captioner.encoder.get_weights()[0], text_tower.video_encoder.get_weights()[0]
    )
    answer = ask(captioner, file, "who?", candidates=["a b", "b"])
    assert answer in ("a b", "b")
