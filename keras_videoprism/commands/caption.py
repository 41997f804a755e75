"""Video files -> captions, and answers to questions, of a frozen language model."""

from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import keras_hub
import numpy as np

from keras_videoprism import presets
from keras_videoprism.commands.embed import read_clip
from keras_videoprism.data.annotations.questions import QUESTION
from keras_videoprism.data.video import VideoError
from keras_videoprism.heads.captioner import MAX_TOKENS, VideoCaptioner


def load_captioner(preset: str, language_model: str, resampler: str | Path) -> VideoCaptioner:
    """The captioner of three parts that were saved on their own.

    Args:
        preset: of the video encoder; of a `VideoPrismLvT` its video encoder is taken.
        language_model: a KerasHub preset, or the folder of one.
        resampler: file that `VideoCaptioner.save` wrote.

    Raises:
        ValueError: a part that cannot be found, or was trained with others.
    """
    return VideoCaptioner.load(resampler, *load_frozen(preset, language_model))


def load_frozen(preset: str, language_model: str) -> tuple[keras.Model, keras_hub.models.CausalLM]:
    """The parts of a captioner that were trained before; arguments as above."""
    model = presets.from_preset(preset)
    encoder = getattr(model, "video_encoder", model)
    return encoder, keras_hub.models.CausalLM.from_preset(language_model)


def caption_files(
    captioner: VideoCaptioner,
    files: Sequence[str | Path],
    prompt: str = "",
    num_beams: int = 1,
    max_tokens: int = MAX_TOKENS,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """What the captioner says to each file, as one clip.

    Args:
        captioner: with an encoder and a tokenizer.
        files: videos and images.
        prompt: the text that the caption goes on with.
        num_beams, max_tokens: see `VideoCaptioner.generate`.
        progress: called with (files done, files in all).

    Returns:
        (file, caption) of the files that could be read, (file, reason) of the others.
    """
    found, failed = [], []
    for index, file in enumerate(files):
        try:
            clip = _read(captioner, file)
        except VideoError as error:
            failed.append((str(file), error.reason(file)))
        else:
            caption = captioner.generate(clip, prompt, num_beams, max_tokens)[0]
            found.append((str(file), caption))
        if progress is not None:
            progress(index + 1, len(files))
    return found, failed


def ask(
    captioner: VideoCaptioner,
    file: str | Path,
    question: str,
    examples: Sequence[tuple[str, str]] = (),
    candidates: Sequence[str] = (),
    max_tokens: int = MAX_TOKENS,
) -> str:
    """The answer to a question about a file, in the form of Appendix G.

    Args:
        captioner: with an encoder and a tokenizer.
        file: video or image.
        question: such as "what is the dog doing?".
        examples: (question, answer) pairs that stand before it, two in the paper; they have no
            video and show the style of the answers.
        candidates: answers to choose from, by their log-likelihood; none lets the model speak.
        max_tokens: largest number of tokens of an answer.

    Raises:
        ValueError: no question, or too long for the model's context.
        VideoError: the file cannot be read.
    """
    if not question.strip():
        raise ValueError("the question is empty.")
    prompt = question_prompt(question, examples)
    clip = _read(captioner, file)
    if candidates:
        return candidates[int(captioner.score(clip, prompt, candidates)[0].argmax())]
    return captioner.generate(clip, prompt, max_tokens=max_tokens)[0]


def question_prompt(question: str, examples: Sequence[tuple[str, str]] = ()) -> str:
    """A question behind (question, answer) pairs, in the form of footnote 2 of the paper."""
    shots = [f"{QUESTION.format(asked)} {answer}." for asked, answer in examples]
    return " ".join([*shots, QUESTION.format(question.strip())])


def _read(captioner: VideoCaptioner, file: str | Path) -> np.ndarray:
    """One clip [1, T, H, W, 3] at the native size of the encoder."""
    encoder = captioner.encoder
    return read_clip(file, encoder.position_shape[0], encoder.image_size)[None]
