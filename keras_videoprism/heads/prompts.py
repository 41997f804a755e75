"""Prompts and answers as tokens of a KerasHub language model."""

from collections.abc import Sequence
from typing import Any

import numpy as np


class PromptTokenizer:
    """The tokens of a prompt, of what follows it, and their text.

    A prompt begins with the start token where the model's own preprocessor adds one. The video
    stands before that token, as the image does in PaliGemma.

    Args:
        language_model: a KerasHub `CausalLM` with a preprocessor.

    Raises:
        ValueError: at the first text, if the model has no tokenizer.
    """

    def __init__(self, language_model: Any) -> None:
        self.language_model = language_model

    @property
    def tokenizer(self) -> Any:
        """KerasHub's tokenizer."""
        tokenizer = getattr(self.language_model.preprocessor, "tokenizer", None)
        if tokenizer is None:
            raise ValueError(
                f"the {type(self.language_model).__name__} has no tokenizer; give it a "
                "preprocessor, or load it by from_preset."
            )
        return tokenizer

    @property
    def end_id(self) -> int:
        """The token that ends an answer."""
        return self.tokenizer.end_token_id

    def prompt(self, text: str) -> list[int]:
        """Ids of a prompt, which may be empty."""
        start = getattr(self.tokenizer, "start_token_id", None)
        if start is None or not self.language_model.preprocessor.add_start_token:
            return self._ids(text)
        return [start, *self._ids(text)]

    def answer(self, prompt: str, text: str) -> list[int]:
        """Ids of a text that follows a prompt after a space, without the end token.

        They are what the text adds to the ids of the prompt, since the space belongs to the next
        word in some vocabularies.

        Raises:
            ValueError: nothing follows, or the prompt ends within a token.
        """
        before, both = self._ids(prompt), self._ids(f"{prompt} {text}" if prompt else text)
        parts = both[: len(before)] == before
        if not text.strip() or prompt.endswith(" ") or not parts:
            raise ValueError(
                f"the prompt {prompt!r} and the answer {text!r} do not part between two tokens; "
                "the prompt must not end with a space, and the answer must not be empty."
            )
        return both[len(before) :]

    def batch(
        self, prompts: Sequence[str], answers: Sequence[str], length: int, cut: bool = False
    ) -> dict:
        """Prompts with their answers as a batch for training, padded to `length` tokens.

        Args:
            prompts, answers: B of each.
            length: L.
            cut: cut longer answers, which then have no end token. A prompt is never cut.

        Returns:
            dict of token_ids int32 [B, L], padding_mask bool [B, L], and answer_mask bool [B, L],
            which is True for the tokens of an answer and its end token.

        Raises:
            ValueError: not as many answers as prompts, or a text of more than `length` tokens.
        """
        pairs = [
            (self.prompt(prompt), [*self.answer(prompt, answer), self.end_id])
            for prompt, answer in zip(prompts, answers, strict=True)
        ]
        if cut:
            pairs = [(before, after[: max(length - len(before), 1)]) for before, after in pairs]
        token_ids, padding_mask = pad([before + after for before, after in pairs], length)
        starts = np.array([[len(before)] for before, _ in pairs])
        answer_mask = padding_mask & (np.arange(length) >= starts)
        return {"token_ids": token_ids, "padding_mask": padding_mask, "answer_mask": answer_mask}

    def texts(self, token_ids: np.ndarray) -> list[str]:
        """Texts of rows [B, T], up to the end token."""
        rows = []
        for row in np.asarray(token_ids).tolist():
            ids = row[: row.index(self.end_id)] if self.end_id in row else row
            rows.append(str(self.tokenizer.detokenize(ids)).strip() if ids else "")
        return rows

    def _ids(self, text: str) -> list[int]:
        return np.asarray(self.tokenizer(text)).tolist() if text else []


def pad(
    rows: Sequence[Sequence[int]], length: int, padding: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Token ids int32 [B, L] with padding behind each row, and bool [B, L], True for a real token.

    Raises:
        ValueError: a row of more than `length` tokens.
    """
    longest = max(len(row) for row in rows)
    if longest > length:
        raise ValueError(f"a text has {longest} tokens, more than length={length}.")
    token_ids = np.full((len(rows), length), padding, "int32")
    for ids, row in zip(token_ids, rows, strict=True):
        ids[: len(row)] = row
    return token_ids, np.arange(length) < np.array([[len(row)] for row in rows])
