"""Captions -> numbers: words, nouns, verbs and people (Table 8 and Figure 5b of the paper).

A word is what WordNet most often saw it as: "dog" a noun, "runs" a verb, "red" neither. No tagger
reads the sentence. WordNet is a folder of files that is read where it lies; nothing is downloaded.
"""

import io
import os
import re
import warnings
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

# Words of grammar, which WordNet has as rare nouns: "a" a vitamin, "in" indium, "he" helium.
_GRAMMAR = frozenset(
    "a an the this that these those some any no each every all both either neither another such "
    "i me my mine we us our ours you your yours it its they them their theirs "
    "who whom whose which what there here when where why how "
    "and or but nor so yet if because as than while though until whether "
    "in on at by for from of off to into onto with without within over under up down out about "
    "above below across after against along among around before behind beneath beside between "
    "beyond during near past since through toward towards upon via "
    "is am are was were be been being has have had do does did will would can could shall should "
    "may might must not very too also just then now more most".split()
)
_PRONOUNS = frozenset(
    "he him his himself she her hers herself "
    "someone somebody everyone everybody anyone anybody".split()
)
_PLURALS = frozenset("men people persons folks".split())  # "men" first of all is a work force
_PEOPLE = frozenset(("person.n.01", "people.n.01", "crowd.n.01"))
_NUM_LEXICOGRAPHER_FILES = 45  # of WordNet 3
_HELP = (
    "The statistics need WordNet 3. Get it by `python -m nltk.downloader wordnet`, or pass the "
    "folder with data.noun, such as /usr/share/wordnet of Debian's package wordnet-base."
)


class CaptionCounts(NamedTuple):
    """Nouns and verbs of a caption, and whether it speaks of people."""

    nouns: int
    verbs: int
    people: bool


def count_words(caption: str) -> int:
    """Words between blanks that hold a letter or a digit."""
    return sum(any(c.isalnum() for c in word) for word in caption.split())


def open_wordnet(folder: str | os.PathLike[str] | None = None) -> Any:
    """A reader of WordNet (nltk's `WordNetCorpusReader`).

    Args:
        folder: WordNet's `dict` folder; None asks nltk's own data path.

    Raises:
        ImportError: nltk is not installed.
        ValueError: no WordNet there; the message tells how to get it.
    """
    try:
        import nltk
        from nltk.corpus import wordnet
        from nltk.corpus.reader.wordnet import WordNetCorpusReader
    except ImportError as error:
        raise ImportError(
            "The statistics of captions need nltk, which is not installed. "
            'Install the extra `curation`: pip install "keras-videoprism[curation]"'
        ) from error

    class Reader(WordNetCorpusReader):
        """Debian leaves out `lexnames`, of which the counts need the numbers alone."""

        def open(self, file: str) -> Any:
            if file == "lexnames" and not (Path(folder or "") / file).exists():
                numbers = range(_NUM_LEXICOGRAPHER_FILES)
                return io.StringIO("".join(f"{i:02d}\tfile{i}\t1\n" for i in numbers))
            return super().open(file)

        def map_wn(self, version: str = "wordnet") -> None:
            """Other languages are numbered by WordNet 3.0; they are not asked."""

    try:
        if folder is None:
            wordnet.ensure_loaded()
            return wordnet
        root = os.path.abspath(folder)
        nltk.data.path.append(root)  # nltk reads only where it is told to
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that there are no other languages
            return Reader(root, None)
    except (LookupError, OSError) as error:
        place = folder or "nltk's data path"
        raise ValueError(f"no WordNet in {place}. {_HELP}") from error


def analyse_caption(caption: str, wordnet: Any) -> CaptionCounts:
    """Count the nouns and verbs of a caption; look for people in it.

    Args:
        caption: a sentence.
        wordnet: of `open_wordnet`.
    """
    kinds = [_kind(word, wordnet) for word in re.findall(r"[^\W\d_]+", caption.lower())]
    return CaptionCounts(
        sum(kind == "n" for kind, _ in kinds),
        sum(kind == "v" for kind, _ in kinds),
        any(people for _, people in kinds),
    )


@lru_cache(maxsize=100_000)
def _kind(word: str, wordnet: Any) -> tuple[str, bool]:
    """(part of speech n, v, a, r or "", whether the word is of people) of its commonest sense."""
    if word in _PRONOUNS | _PLURALS:
        return "n" if word in _PLURALS else "", True
    if word in _GRAMMAR:
        return "", False
    best, kind = (0, 0), ""
    for part in "nvar":
        senses = wordnet.lemmas(wordnet.morphy(word, part) or word, part)
        frequency = (sum(sense.count() for sense in senses), len(senses))
        if frequency > best:
            best, kind = frequency, part
    return kind, kind == "n" and _is_person(wordnet.morphy(word, "n") or word, wordnet)


def _is_person(noun: str, wordnet: Any) -> bool:
    """Whether the first sense of a noun is a kind of person."""
    sense = wordnet.synsets(noun, "n")[0]
    kinds = [sense, *sense.closure(lambda synset: synset.hypernyms())]
    return any(kind.name() in _PEOPLE for kind in kinds)
