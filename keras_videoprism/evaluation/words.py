"""Texts -> words: the form in which captions and answers are compared.

Published figures of captions rest on a Java program, the Penn Treebank tokenizer of Stanford
CoreNLP 3.4.1, from whose output `pycocoevalcap` takes the punctuation
(`tokenizer/ptbtokenizer.py`). `tokenize` gives the same words without Java.
"""

import re
from collections.abc import Callable, Collection, Sequence

Split = Callable[[str], list[str]]

# Brackets are words: the public code drops "-LRB-", but asks for lower case before it looks.
_BRACKETS = dict(zip("()[]{}", ("lrb", "rrb", "lsb", "rsb", "lcb", "rcb"), strict=True))
_MARKS = str.maketrans(
    {
        "\N{RIGHT SINGLE QUOTATION MARK}": "'",
        **dict.fromkeys("\N{LEFT SINGLE QUOTATION MARK}\N{EN DASH}\N{EM DASH}", " "),
        **dict.fromkeys("\N{LEFT DOUBLE QUOTATION MARK}\N{RIGHT DOUBLE QUOTATION MARK}", " "),
        "\N{HORIZONTAL ELLIPSIS}": " ",
        **{mark: f" -{name}- " for mark, name in _BRACKETS.items()},
    }
)
_CLITIC = r"'(?:s|m|d|ll|re|ve)\b"
# A blank goes where two words are written as one.
_JOINS = re.compile(
    rf"(?<=\w)(?=n't\b|{_CLITIC})"
    r"|(?<=\bcan)(?=not\b)|(?<=\bgon|\bwan)(?=na\b)|(?<=\bgot)(?=ta\b)|(?<=\blem|\bgim)(?=me\b)"
)
_ABBREVIATIONS = (
    "al|mr|mrs|ms|dr|prof|st|jr|sr|gen|sgt|lt|col|capt|vs|etc|inc|co|corp|ltd|ave|blvd|mt|ft|ph.d"
    "|jan|feb|mar|apr|jun|jul|aug|sep|sept|oct|nov|dec"
)
# What stands nowhere here is no word: . , ; : - -- ' ` " and a single ? or !.
_WORD = re.compile(
    rf"""
      https?://\S+ | [\w.+-]+@[\w-]+\.[\w.]*\w     # addresses
    | -[lr][rsc]b- | <[^<>\s]+>                    # brackets, tags
    | n't\b | {_CLITIC}                            # the second part of a joined word
    | '\d0s\b                                      # '90s
    | (?:{_ABBREVIATIONS})\.(?!\w)
    | (?:[a-z]\.)+(?:[a-z]\b)?(?![^\W\d])          # u.s., p.m., and "c." of "vitamin c."
    | [-+]?\d+(?:[.,:]\d+)+ | [-+.]\d+             # 7:30, 5,000, -5; "30pm" is a word
    | [#@][^\W\d]\w*
    | \w+(?:(?:[-/]|\.(?=[^\W\d])|'(?=[^\W\d]))\w+)*   # t-shirt, and/or, o'clock; "end.then"
    | [?!]{{2,}}
    | [^\w\s.,;:?!'"`-]                            # other signs, one by one
    """,
    re.VERBOSE,
)


def tokenize(text: str) -> list[str]:
    """Words of a text in lower case, without punctuation.

    "It's a man's T-shirt!" has the words it, 's, a, man, 's and t-shirt. The words of these words,
    joined by blanks, are the same ones.

    The Java program gives other words for 8 of 28,000 explanations of WordNet, in which initials
    touch a name or numbers of many digits a word. Known besides: it splits 'tis and y'all, knows
    more abbreviations, and makes $ of the sign of the euro.
    """
    return _WORD.findall(_JOINS.sub(" ", text.lower().translate(_MARKS)))


def split_pairs(
    texts: Sequence[str], references: Sequence[Sequence[str]], split: Split
) -> tuple[list[list[str]], list[list[list[str]]]]:
    """Words of texts and of their references; a text may have no word, a reference must.

    Args:
        texts: one for each clip or question.
        references: for each of them, one or more texts that are right.
        split: text -> words.

    Raises:
        ValueError: nothing to score, other lengths, what is not a text, no reference or an empty
            one.
    """
    check_pairs(texts, references)
    found = [split(text) for text in texts]
    right = [[split(text) for text in group] for group in references]
    empty = [i for i, group in enumerate(right) if not all(group)]
    if empty:
        raise ValueError(
            f"{len(empty)} rows have a reference without a word, the first is row {empty[0]}: "
            f"{list(references[empty[0]])}. Remove such references."
        )
    return found, right


def check_pairs(texts: Sequence[str], references: Sequence[Sequence[str]]) -> None:
    """Each text has references, and all of them are strings.

    Raises:
        ValueError: see `split_pairs`.
    """
    if isinstance(texts, str) or isinstance(references, str):
        raise ValueError("Expected a list of texts and a list of lists. Received one string.")
    if len(texts) != len(references):
        raise ValueError(
            "Each text needs its list of references. "
            f"Received: {len(texts)} texts and {len(references)} lists of references."
        )
    if not len(texts):
        raise ValueError("There is nothing to score. Received: no text.")
    for row, (text, group) in enumerate(zip(texts, references, strict=True)):
        if not isinstance(text, str):
            raise ValueError(f"Row {row} is not a string. Received: {text!r}.")
        is_list = isinstance(group, Collection) and not isinstance(group, str)
        if not is_list or not all(isinstance(right, str) for right in group):
            raise ValueError(
                f"The references of row {row} must be a list of strings. Received: {group!r}."
            )
        if not len(group):
            raise ValueError(f"Row {row} has no reference. Remove it, or find what it misses.")
