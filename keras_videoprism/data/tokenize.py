"""Text -> token ids, with SentencePiece alone (no TensorFlow)."""

import io
import os
import string
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import sentencepiece

from keras_videoprism.data.atomic import atomic_path

MAX_LENGTH = 64  # tokens of the released text tower

_PUNCTUATION_TO_SPACE = str.maketrans(dict.fromkeys(string.punctuation, " "))


def canonicalize(text: str) -> str:
    """Canonical form of VideoPrism's texts: "Hello,  World!" -> "hello world.".

    Lower case, ASCII punctuation to spaces, single spaces, a final period.

    Raises:
        ValueError: nothing but spaces and punctuation.
    """
    words = text.translate(_PUNCTUATION_TO_SPACE).lower().split()
    if not words:
        raise ValueError(f"the text is empty without punctuation and spaces: {text!r}")
    return " ".join(words) + "."


class Tokenizer:
    """Canonical text -> token ids of one length.

    A text of more than `max_length` tokens keeps its first ones; a shorter one is padded with 0.
    No start or end token is added: the text tower appends its own class token.

    Args:
        model: path of a SentencePiece model, or its bytes.
        max_length: L, number of tokens.

    Raises:
        ValueError: not a SentencePiece model.

    Example:
        tokenizer = Tokenizer("c4_en.model")
        tokenizer(["A dog catches a ball!"])["token_ids"]   # int32 [1, 64]
    """

    def __init__(self, model: str | os.PathLike[str] | bytes, max_length: int = MAX_LENGTH):
        if max_length < 1:
            raise ValueError(f"max_length must be at least 1, received {max_length}")
        self.max_length = max_length
        self._model = model if isinstance(model, bytes) else Path(model).read_bytes()
        self._processor = sentencepiece.SentencePieceProcessor()
        try:
            self._processor.LoadFromSerializedProto(self._model)
        except RuntimeError as error:
            name = "the bytes" if isinstance(model, bytes) else model
            raise ValueError(f"not a SentencePiece model: {name}") from error

    @property
    def vocabulary_size(self) -> int:
        """Number of token ids."""
        return self._processor.vocab_size()

    def __call__(self, texts: Sequence[str]) -> dict[str, np.ndarray]:
        """Tokenizes texts; they are made canonical first.

        Args:
            texts: B texts.

        Returns:
            `token_ids` int32 [B, L] and `padding_mask` bool [B, L], True for a real token.

        Raises:
            ValueError: a single string instead of a list, or an empty text.
        """
        if isinstance(texts, str):
            raise ValueError(f"texts must be a list of strings, received the string {texts!r}")
        pieces = self._processor.EncodeAsIds([canonicalize(text) for text in texts])
        token_ids = np.zeros((len(texts), self.max_length), np.int32)
        padding_mask = np.zeros((len(texts), self.max_length), bool)
        for row, ids in enumerate(pieces):
            ids = ids[: self.max_length]
            token_ids[row, : len(ids)] = ids
            padding_mask[row, : len(ids)] = True
        return {"token_ids": token_ids, "padding_mask": padding_mask}

    def lengths(self, texts: Sequence[str]) -> np.ndarray:
        """Number of tokens of each text, whether it is longer than `max_length` or not: int [B]."""
        pieces = self._processor.EncodeAsIds([canonicalize(text) for text in texts])
        return np.array([len(ids) for ids in pieces], int)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the SentencePiece model."""
        with atomic_path(path) as temporary:
            temporary.write_bytes(self._model)


def train_tokenizer(
    texts: Iterable[str], vocabulary_size: int, path: str | os.PathLike[str]
) -> Tokenizer:
    """Trains byte pairs on texts and writes it; the same texts give the same bytes.

    Args:
        texts: captions; they are made canonical first.
        vocabulary_size: largest number of tokens; a small corpus gives fewer.
        path: file to write.

    Raises:
        ValueError: vocabulary_size too small for the characters of the texts.
    """
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter([canonicalize(text) for text in texts]),
            model_writer=model,
            # Unigram pieces of a small corpus cut its commonest words into letters.
            model_type="bpe",
            vocab_size=vocabulary_size,
            hard_vocab_limit=False,
            character_coverage=1.0,
            # Ids of the released tokenizer: 0 pads, 1 ends (unused), 2 is unknown.
            pad_id=0,
            eos_id=1,
            unk_id=2,
            bos_id=-1,
            num_threads=1,
            minloglevel=2,
        )
    except RuntimeError as error:
        raise ValueError(f"no tokenizer of {vocabulary_size} tokens: {error}") from error
    tokenizer = Tokenizer(model.getvalue())
    tokenizer.save(path)
    return tokenizer
