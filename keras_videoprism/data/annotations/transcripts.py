"""Transcripts of speech with the time of each word -> clips at the bounds of sentences.

The paper cuts its clips there (Appendix A.1, Anonymous-Corpus #2; YT-Temporal-180M has transcripts
too) and says no more than that most of them last 5 to 10 seconds and have 10 to 20 words (A.2).
"""

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from difflib import SequenceMatcher
from typing import NamedTuple

_SENTENCE_END = re.compile(r"[.?!\u2026\u3002\uff1f\uff01][\"'\u2019\u201d)\]]*$")
_WORD_DURATION = 1.0  # of a word whose end is unknown, if the next one begins later


class Word(NamedTuple):
    """A spoken word; `start` and `end` are seconds, the end None where it is not known."""

    text: str
    start: float
    end: float | None = None


class Sentence(NamedTuple):
    """What is said between `start` and `end` (seconds)."""

    text: str
    start: float
    end: float


def sentence_clips(
    words: Iterable[Word],
    *,
    max_pause: float = 1.0,
    min_duration: float = 2.0,
    max_duration: float = 20.0,
) -> list[Sentence]:
    """Cuts a transcript into sentences.

    A sentence ends at a word with `.`, `?` or `!`, or before a pause. One that is too long is cut
    at the longest pause in the second half of what fits. One that is too short is joined to the
    next, unless there is a pause between or both are too long together; then it is left out.

    Args:
        words: in the order of time.
        max_pause: seconds of silence that end a sentence in any case.
        min_duration, max_duration: seconds of a clip.

    Returns:
        Sentences in the order of time that do not overlap.

    Raises:
        ValueError: a time that is negative, not finite or before the one of the previous word, or
            durations that exclude each other.
    """
    if not (max_pause > 0 and 0 < min_duration <= max_duration):
        raise ValueError(
            f"needs max_pause > 0 and 0 < min_duration <= max_duration, received {max_pause}, "
            f"{min_duration} and {max_duration}"
        )
    joined: list[list[Sentence]] = []
    for sentence in _sentences(_with_ends(words, max_duration), max_pause):
        for part in _parts(sentence, max_duration):
            short = joined and _duration(joined[-1]) < min_duration
            near = short and part[0].start - joined[-1][-1].end < max_pause
            if near and part[-1].end - joined[-1][0].start <= max_duration:
                joined[-1] += part
            else:
                joined.append(part)
    return [
        Sentence(" ".join(word.text for word in part), part[0].start, part[-1].end)
        for part in joined
        if _duration(part) >= min_duration
    ]


def _with_ends(words: Iterable[Word], max_duration: float) -> list[Sentence]:
    """Each word as a sentence of its own, which ends before the next one starts."""
    words = [word for word in words if word.text.strip()]
    starts = [0.0, *(word.start for word in words), math.inf]
    timed = []
    for number, (word, before, after) in enumerate(zip(words, starts, starts[2:], strict=False), 1):
        end = word.start + _WORD_DURATION if word.end is None else word.end
        if not before <= word.start <= end < math.inf:
            raise ValueError(f"word {number}, {word}, has a wrong time; one before is {before}")
        end = min(end, after, word.start + max_duration)
        timed.append(Sentence(word.text.strip(), word.start, end))
    return timed


def _duration(words: Sequence[Sentence]) -> float:
    return words[-1].end - words[0].start


def _sentences(words: list[Sentence], max_pause: float) -> Iterator[list[Sentence]]:
    """Words up to each end of a sentence and each pause."""
    first = 0
    for last, word in enumerate(words, 1):
        pause = words[last].start - word.end if last < len(words) else math.inf
        if pause >= max_pause or _SENTENCE_END.search(word.text):
            yield words[first:last]
            first = last


def _parts(words: list[Sentence], max_duration: float) -> Iterator[list[Sentence]]:
    """The words in parts that are not too long."""
    first = 0
    while first < len(words):
        last, limit = first, words[first].start + max_duration
        while last < len(words) and words[last].end <= limit:
            last += 1
        if last < len(words):
            cuts = range((first + last + 1) // 2, last + 1)
            last = max(cuts, key=lambda cut: (words[cut].start - words[cut - 1].end, cut))
        yield words[first:last]
        first = last


def corrected(words: Sequence[Word], text: str) -> list[Word]:
    """Words of a corrected transcript, such as one with punctuation, with the times of `words`.

    Words that agree but for case and punctuation are matched; those between share the times of
    what they stand for, and one that was added has the times of the word before.
    """
    found = text.split()
    old, new = (
        [re.sub(r"\W", "", word).lower() for word in part]
        for part in ([word.text for word in words], found)
    )
    matcher = SequenceMatcher(None, old, new, autojunk=False)
    result = []
    for _, old_first, old_last, new_first, new_last in matcher.get_opcodes() if words else ():
        for index in range(new_first, new_last):
            share = (index - new_first) * (old_last - old_first) // (new_last - new_first)
            source = old_first + share if old_last > old_first else max(old_first - 1, 0)
            result.append(words[source]._replace(text=found[index]))
    return result
