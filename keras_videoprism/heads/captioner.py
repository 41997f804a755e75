"""Captions and answers by a frozen language model that sees a video (section 3.3, Appendix G)."""

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_videoprism.heads import continuation
from keras_videoprism.heads.compiled_function import CompiledFunction
from keras_videoprism.heads.perceiver_resampler import PerceiverResampler
from keras_videoprism.heads.prefix_language_model import PrefixLanguageModel
from keras_videoprism.heads.prompts import PromptTokenizer, pad
from keras_videoprism.layers.typing import Tensor

Batch = dict[str, Tensor]
MAX_TOKENS = 32  # of an answer (Appendix G)


class VideoCaptioner(keras.Model):
    """Video encoder, resampler and language model; only the resampler learns.

    The resampler turns the tokens of a video into tokens of the language model, which stand before
    those of the prompt. `fit` minimises the cross-entropy of the tokens of the answers.

    Args:
        encoder: a `VideoPrism`, frozen; None for tokens that were computed before.
        language_model: a KerasHub `CausalLM`, frozen; see `PrefixLanguageModel`.
        resampler: a `PerceiverResampler` of the language model's width; None for a new one.

    Attributes:
        prompts: texts <-> tokens of the language model, a `PromptTokenizer`.

    Call arguments:
        inputs: dict of "videos" [B, T, H, W, 3] or "video_tokens" [B, S, D], perhaps "frame_mask"
            [B, T], or "prefix" [B, Q, W], what the resampler made of them before; and "token_ids"
            [B, L]: a prompt and its answer, padded at the end. The loss takes "answer_mask" [B, L],
            True for a token of the answer (`prompts.batch`).

    Returns:
        float32 [B, L, vocabulary], the logits of each token given the video and those before it.

    Raises:
        ValueError: a resampler or a prefix of another width, a text longer than the model's
            context, or a batch without what is needed.

    Example:

    >>> language_model = keras_hub.models.CausalLM.from_preset("gemma3_1b")
    >>> captioner = VideoCaptioner(VideoPrism.from_preset("videoprism_b"), language_model)
    >>> captioner.compile(keras.optimizers.AdamW(5e-4, weight_decay=1e-4))
    >>> text = captioner.prompts.batch(["a video of"] * 2, ["a cat", "two dogs"], length=16)
    >>> captioner.fit({"videos": videos, **text})
    >>> captioner.generate(videos, "a video of")
    """

    def __init__(
        self,
        encoder: keras.Model | None,
        language_model: keras.Model,
        resampler: PerceiverResampler | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.encoder: Any = encoder
        self.language_model = PrefixLanguageModel(language_model)
        self.prompts = PromptTokenizer(language_model)
        width = self.language_model.hidden_dim
        self.resampler = PerceiverResampler(width) if resampler is None else resampler
        if self.resampler.hidden_dim != width:
            raise ValueError(
                f"the resampler gives tokens of width {self.resampler.hidden_dim}, but the "
                f"language model is {width} wide; load the one that was trained with this model."
            )
        self.language_model.trainable = False
        if encoder is not None:
            encoder.trainable = False
            self.build_resampler(encoder.hidden_dim)
        self.built = True

    def build_resampler(self, token_dim: int) -> None:
        """Make its weights, for video tokens of this width."""
        if not self.resampler.built:
            self.resampler.build((None, None, token_dim))
        if self.resampler.token_dim != token_dim:
            raise ValueError(
                f"the resampler takes video tokens of width {self.resampler.token_dim}; received "
                f"{token_dim}. Load the one that was trained with this encoder."
            )

    def call(self, inputs: Batch) -> Tensor:
        # A frozen model has no dropout, also while the resampler learns.
        hidden = self.language_model(self._embeddings(inputs), training=False)
        first = self.resampler.num_latents - 1  # its output gives the first token of the text
        return self.language_model.logits(hidden[:, first:-1])

    def prefix(self, inputs: Batch) -> Tensor:
        """[B, Q, W]: the tokens that stand for each video."""
        prefix = inputs["prefix"] if "prefix" in inputs else self._resample(inputs)
        shape = (self.resampler.num_latents, self.language_model.hidden_dim)
        if tuple(prefix.shape[1:]) != shape:
            raise ValueError(
                f"the prefix of a video must be {[*shape]}, as the resampler gives it to this "
                f"language model; received {[*prefix.shape[1:]]}."
            )
        return ops.cast(prefix, self.language_model.backbone.compute_dtype)

    def _resample(self, inputs: Batch) -> Tensor:
        frame_mask = inputs.get("frame_mask")
        if "video_tokens" in inputs:
            tokens = inputs["video_tokens"]
        elif "videos" in inputs and self.encoder is not None:
            tokens = self.encoder(inputs["videos"], frame_mask=frame_mask)
        else:
            raise ValueError(
                "batches need 'video_tokens' or 'prefix', or 'videos' where there is an encoder; "
                f"received the keys {sorted(inputs)}."
            )
        self.build_resampler(tokens.shape[-1])
        mask = None
        if frame_mask is not None:  # the tokens of a frame stand together
            mask = ops.repeat(frame_mask, tokens.shape[1] // frame_mask.shape[1], axis=1)
        return self.resampler(tokens, padding_mask=mask)

    def _embeddings(self, inputs: Batch) -> Tensor:
        """[B, Q + L, W], the video before the text."""
        self.check_length(inputs["token_ids"].shape[1])
        text = self.language_model.embed(inputs["token_ids"])
        return ops.concatenate([self.prefix(inputs), text], axis=1)

    def check_length(self, num_tokens: int) -> None:
        """ValueError where a video and so many tokens of text are too long for the model."""
        limit, latents = self.language_model.context_length, self.resampler.num_latents
        if limit is not None and num_tokens is not None and latents + num_tokens > limit:
            raise ValueError(
                f"{latents} tokens of the video and {num_tokens} of prompt and answer are more "
                f"than the {limit} of the model's context; shorten the prompt or max_tokens."
            )

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Tensor:
        """Mean cross-entropy of the tokens of the answers."""
        if "answer_mask" not in x:
            raise ValueError(f"batches lack 'answer_mask'; received the keys {sorted(x)}.")
        loss = keras.losses.SparseCategoricalCrossentropy(
            from_logits=True, reduction="mean_with_sample_weight"
        )
        return loss(x["token_ids"], y_pred, sample_weight=x["answer_mask"])

    def generate(
        self,
        videos: np.ndarray | Batch,
        prompt: str | Sequence[str] = "",
        num_beams: int = 1,
        max_tokens: int = MAX_TOKENS,
    ) -> list[str]:
        """What the language model says to each video.

        Args:
            videos: [B, T, H, W, 3], or a dict of "videos", "video_tokens" or "prefix", perhaps
                with "frame_mask".
            prompt: one for all videos, or one for each.
            num_beams: beams of the search; 1 takes the most likely token each time, as the paper.
            max_tokens: largest number of tokens of an answer.

        Returns:
            B texts.

        Raises:
            ValueError: not as many prompts as videos, or too long for the model's context.
        """
        for name, value in (("num_beams", num_beams), ("max_tokens", max_tokens)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1; received {value}.")
        inputs = _inputs(videos)
        prompts = [self.prompts.prompt(text) for text in _one_each(prompt, inputs)]
        answers = np.zeros((len(prompts), max_tokens), "int32")
        for rows, batch in _of_one_length(inputs, prompts):
            answers[rows] = self.generate_tokens(batch, self.prompts.end_id, num_beams, max_tokens)
        return self.prompts.texts(answers)

    def generate_tokens(
        self, inputs: Batch, end_id: int, num_beams: int = 1, max_tokens: int = MAX_TOKENS
    ) -> np.ndarray:
        """`generate` from tokens to tokens: int32 [B, max_tokens], filled up with `end_id`.

        Args:
            inputs: as for `call`; "token_ids" [B, L] are prompts of one length.
        """
        self.check_length(inputs["token_ids"].shape[1] + max_tokens - 1)
        return self._run(self._generate, inputs, end_id, num_beams, max_tokens)

    def _generate(self, inputs: Batch, *options: Any) -> Tensor:
        return continuation.generate(self.language_model, self._embeddings(inputs), *options)

    def score(
        self, videos: np.ndarray | Batch, prompt: str | Sequence[str], candidates: Sequence[str]
    ) -> np.ndarray:
        """Log-likelihoods of answers: the closed vocabulary of Appendix G.

        Candidates of one token, as in the paper, cost one pass of the model for all videos. If one
        is longer, each candidate costs a short pass behind the video and the prompt, which are
        computed once for all prompts of one length.

        Args:
            videos, prompt: as for `generate`.
            candidates: C different answers, as words that follow a prompt after a space.

        Returns:
            float32 [B, C]; the end token does not count.

        Raises:
            ValueError: no candidates, one twice, or too long for the model's context.
        """
        if not len(candidates) or len(set(candidates)) < len(candidates):
            raise ValueError(f"candidates must be different texts; received {[*candidates]}.")
        inputs = _inputs(videos)
        prompts = _one_each(prompt, inputs)
        prompt_ids = [self.prompts.prompt(text) for text in prompts]
        # Words behind a space have the same tokens behind any prompt.
        answer_ids = [self.prompts.answer(prompts[0], text) for text in candidates]
        answers, _ = pad(answer_ids, max(map(len, answer_ids)), padding=-1)
        if answers.shape[1] == 1:
            return self.score_first_token(inputs, prompt_ids, answers[:, 0])
        scores = np.zeros((len(prompts), len(candidates)), "float32")
        for rows, batch in _of_one_length(inputs, prompt_ids):
            scores[rows] = self.score_tokens(batch, answers)
        return scores

    def score_first_token(
        self,
        inputs: Batch,
        prompts: Sequence[Sequence[int]],
        candidates: np.ndarray,
        length: int | None = None,
    ) -> np.ndarray:
        """`score` of candidates [C] of one token behind prompts of any lengths.

        Args:
            length: to which prompts are padded, so that all batches have one shape; by default the
                longest one's.

        Raises:
            ValueError: candidates of several tokens, which are for `score`, or none.
        """
        candidates = np.asarray(candidates)
        if candidates.ndim != 1 or not candidates.size:
            raise ValueError(
                "candidates must be one token each, [C]; received the shape "
                f"{[*candidates.shape]}. `score` takes answers of several tokens."
            )
        token_ids, padding_mask = pad(prompts, length or max(map(len, prompts)))
        inputs = {**inputs, "token_ids": token_ids, "candidates": candidates}
        return self._run(self._score_first_token, {**inputs, "padding_mask": padding_mask})

    def _score_first_token(self, inputs: Batch) -> Tensor:
        lengths = ops.sum(ops.cast(inputs["padding_mask"], "int32"), axis=1)
        last = self.resampler.num_latents + lengths - 1
        embeddings = self._embeddings(inputs)
        return continuation.score_tokens(
            self.language_model, embeddings, last, inputs["candidates"]
        )

    def score_tokens(self, inputs: Batch, candidates: np.ndarray) -> np.ndarray:
        """`score` of candidates [C, T], filled up with -1, behind prompts of one length."""
        self.check_length(inputs["token_ids"].shape[1] + candidates.shape[1] - 1)
        return self._run(self._score_tokens, {**inputs, "candidates": candidates})

    def _score_tokens(self, inputs: Batch) -> Tensor:
        embeddings = self._embeddings(inputs)
        return continuation.score_sequences(self.language_model, embeddings, inputs["candidates"])

    def _run(self, function: Callable[[Batch], Tensor], inputs: Batch, *options: Any) -> np.ndarray:
        """`function(inputs, *options)`, compiled once for each of the options and the shapes."""
        if "video_tokens" in inputs:
            self.build_resampler(inputs["video_tokens"].shape[-1])
        shapes = tuple((key, value.shape) for key, value in inputs.items())
        key = (function.__name__, options, shapes)
        if key not in self._compiled:
            layers = [self.encoder] * (self.encoder is not None)
            layers += [self.resampler, self.language_model]
            compiled = CompiledFunction(lambda inputs: function(inputs, *options), layers)
            self._compiled[key] = compiled
        return self._compiled[key].run(inputs)

    @cached_property  # and so out of sight of Keras, which would save the functions as layers
    def _compiled(self) -> dict[Any, CompiledFunction]:
        return {}

    def save(self, filepath: str | Path, overwrite: bool = True, **kwargs: Any) -> None:
        """Write the resampler as a `.keras` file; the frozen parts are not in it."""
        tokens = keras.Input((None, self.resampler.token_dim), name="video_tokens")
        keras.Sequential([tokens, self.resampler]).save(filepath, overwrite=overwrite, **kwargs)

    @classmethod
    def load(
        cls, filepath: str | Path, encoder: keras.Model | None, language_model: keras.Model
    ) -> "VideoCaptioner":
        """What `save` wrote, with the frozen parts that it was trained with.

        Raises:
            ValueError: the file holds no resampler, or one of another width.
        """
        saved = keras.saving.load_model(filepath, compile=False)
        resampler = saved.layers[-1]
        if not isinstance(resampler, PerceiverResampler):
            raise ValueError(f"{filepath} holds a {type(saved).__name__}, not a resampler.")
        return cls(encoder, language_model, resampler)


def _inputs(videos: np.ndarray | Batch) -> dict[str, np.ndarray]:
    inputs = videos if isinstance(videos, dict) else {"videos": videos}
    keys = ("videos", "video_tokens", "prefix", "frame_mask")
    return {key: np.asarray(inputs[key]) for key in keys if key in inputs}


def _one_each(prompt: str | Sequence[str], inputs: dict[str, np.ndarray]) -> list[str]:
    """One prompt for each video."""
    num_videos = len(next(iter(inputs.values()), ()))
    prompts = [prompt] * num_videos if isinstance(prompt, str) else [*prompt]
    if not prompts or len(prompts) != num_videos:
        raise ValueError(f"received {len(prompts)} prompts for {num_videos} videos.")
    return prompts


def _of_one_length(
    inputs: dict[str, np.ndarray], prompts: list[list[int]]
) -> Iterator[tuple[list[int], Batch]]:
    """Rows and batches whose prompts are equally long: a cache has one position for all rows."""
    for length in sorted({len(prompt) for prompt in prompts}):
        rows = [row for row, prompt in enumerate(prompts) if len(prompt) == length]
        token_ids = np.array([prompts[row] for row in rows], "int32")
        yield rows, {**{key: x[rows] for key, x in inputs.items()}, "token_ids": token_ids}
