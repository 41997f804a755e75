from pathlib import Path

import pytest

from keras_videoprism.data.curation.captions import (
    CaptionCounts,
    analyse_caption,
    count_words,
    open_wordnet,
)

pytest.importorskip("nltk")

# (word, part of speech, more general word, how often it was seen). Parts are numbered in the keys.
SENSES = (
    ("entity", "n", "", 0),
    ("person", "n", "entity", 90),
    ("man", "n", "person", 80),
    ("dog", "n", "entity", 40),
    ("run", "n", "entity", 5),
    ("run", "v", "", 70),
    ("throw", "v", "", 30),
    ("red", "n", "entity", 2),
    ("red", "a", "", 60),
)
PARTS = {"n": ("noun", 1), "v": ("verb", 2), "a": ("adj", 3), "r": ("adv", 4)}
HEAD = "  licence\n"


@pytest.fixture(scope="module")
def wordnet(tmp_path_factory):
    return open_wordnet(write_wordnet(tmp_path_factory.mktemp("wordnet")))


def write_wordnet(folder: Path) -> Path:
    """A WordNet of nine senses in the files and the format of WordNet 3; no `lexnames`."""
    counts = []
    for part, (name, number) in PARTS.items():
        data, index, offsets = HEAD, HEAD, {}
        for word, _, parent, seen in (sense for sense in SENSES if sense[1] == part):
            offsets[word] = len(data)
            pointers = f"001 @ {offsets[parent]:08d} {part} 0000" if parent else "000"
            frames = " 01 + 02 00" if part == "v" else ""
            data += f"{offsets[word]:08d} 03 {part} 01 {word} 0 {pointers}{frames} | gloss  \n"
            index += f"{word} {part} 1 {'1 @' if parent else '0'} 1 1 {offsets[word]:08d}  \n"
            counts.append(f"{word}%{number}:03:00:: 1 {seen}\n")
        (folder / f"data.{name}").write_text(data)
        (folder / f"index.{name}").write_text(index)
        (folder / f"{name}.exc").write_text("men man\n" if part == "n" else "ran run\n")
    (folder / "cntlist.rev").write_text("".join(sorted(counts)))
    return folder


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("A red dog runs.", CaptionCounts(1, 1, False)),
        ("two men throw the dogs", CaptionCounts(2, 1, True)),
        ("The man's dog ran after him", CaptionCounts(2, 1, True)),
        ("people", CaptionCounts(1, 0, True)),
        ("she is in it", CaptionCounts(0, 0, True)),
        ("a an in on at i me who am", CaptionCounts(0, 0, False)),
        ("xyzzy 42!", CaptionCounts(0, 0, False)),
    ],
)
def test_nouns_verbs_and_people(caption, expected, wordnet):
    assert analyse_caption(caption, wordnet) == expected


def test_count_words():
    assert count_words("A man, a dog - and 2 cats' toys ...") == 8
    assert count_words("  ") == 0


def test_no_wordnet(tmp_path):
    with pytest.raises(ValueError, match="nltk.downloader wordnet.*wordnet-base"):
        open_wordnet(tmp_path)


@pytest.mark.skipif(
    not Path("/usr/share/wordnet/data.noun").exists(), reason="needs Debian's wordnet-base"
)
def test_the_real_wordnet():
    wordnet = open_wordnet("/usr/share/wordnet")
    found = analyse_caption("a nurse pours coffee while children are running", wordnet)
    assert found.people and found.verbs >= 2
