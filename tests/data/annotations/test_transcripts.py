import pytest

from keras_videoprism.data.annotations.transcripts import (
    Sentence,
    Word,
    corrected,
    sentence_clips,
)


def spoken(text, seconds=0.5, start=0.0):
    """Words, one every `seconds`, each as long; `_` is a silent one."""
    words = [
        Word(word, start + seconds * index, start + seconds * (index + 1))
        for index, word in enumerate(text.split())
    ]
    return [word for word in words if word.text != "_"]


def texts(words, **options):
    return [sentence.text for sentence in sentence_clips(words, **options)]


def test_sentences_end_at_punctuation():
    words = spoken('Cut the onion now. "Is it thin?" It (really) is! And we go on')
    assert sentence_clips(words, min_duration=1.5) == [
        Sentence("Cut the onion now.", 0.0, 2.0),
        Sentence('"Is it thin?"', 2.0, 3.5),
        Sentence("It (really) is!", 3.5, 5.0),
        Sentence("And we go on", 5.0, 7.0),
    ]


def test_sentences_end_before_pauses():
    words = spoken("one two three four _ _ five six _ seven eight")
    assert texts(words) == ["one two three four", "five six seven eight"]
    assert texts(words, max_pause=0.5, min_duration=1.0) == [
        "one two three four",
        "five six",
        "seven eight",
    ]


def test_short_sentences_join_the_next():
    words = spoken("Okay. Cut it now. _ _ Good. _ _ Now we stir it. Nice.")
    assert texts(words) == ["Okay. Cut it now.", "Now we stir it."]  # pauses isolate "Good."
    # "Okay." and the next sentence last 2 seconds together
    assert texts(words[:4], min_duration=1.0, max_duration=1.9) == ["Cut it now."]


def test_long_sentences_are_cut_at_the_longest_pause():
    words = spoken("a b c d e f g h i j", seconds=1.0)
    words[7:] = [word._replace(start=word.start + 0.5, end=word.end + 0.5) for word in words[7:]]
    words[2:] = [word._replace(start=word.start + 0.9, end=word.end + 0.9) for word in words[2:]]
    # the longer pause, after b, lies in the first half of the eight words that fit
    assert texts(words, max_duration=9.0) == ["a b c d e f g", "h i j"]
    assert texts(words, max_duration=20.0) == ["a b c d e f g h i j"]


@pytest.mark.parametrize("length", [1, 2, 7, 200])
@pytest.mark.parametrize("seconds", [0.1, 1 / 3, 5.0])
def test_clips_hold_each_word_once_and_fit(length, seconds):
    words = spoken(" ".join(f"w{index}" for index in range(length)), seconds, start=0.1)
    clips = sentence_clips(words, min_duration=1e-6, max_duration=4.0)
    assert " ".join(clip.text for clip in clips).split() == [word.text for word in words]
    assert all(clip.end - clip.start <= 4.0 + 1e-9 for clip in clips)
    assert all(one.end <= two.start for one, two in zip(clips, clips[1:], strict=False))


def test_words_without_end_last_until_the_next_or_a_second():
    words = [Word("we", 1.0), Word("", 1.2), Word("mix", 1.5), Word("it", 4.0), Word("all", 4.1)]
    assert sentence_clips(words, max_pause=2.0) == [Sentence("we mix it all", 1.0, 5.1)]
    assert sentence_clips(words, min_duration=1.0) == [
        Sentence("we mix", 1.0, 2.5),
        Sentence("it all", 4.0, 5.1),
    ]
    assert sentence_clips([]) == []


def test_sentences_do_not_overlap_even_if_words_do():
    words = [Word("Stir.", 0.0, 3.0), Word("Now", 2.5, 4.0), Word("wait.", 3.0, 5.0)]
    assert sentence_clips(words) == [Sentence("Stir.", 0.0, 2.5), Sentence("Now wait.", 2.5, 5.0)]


@pytest.mark.parametrize(
    "words",
    [
        [Word("a", -1.0)],
        [Word("a", 1.0), Word("b", 0.5)],
        [Word("a", 2.0, 1.0)],
        [Word("a", float("nan"))],
        [Word("a", float("inf"))],
        [Word("a", 0.0, float("inf"))],
    ],
)
def test_wrong_times(words):
    with pytest.raises(ValueError, match=rf"word {len(words)}, .* has a wrong time"):
        sentence_clips(words)


@pytest.mark.parametrize(
    "options",
    [{"max_pause": 0}, {"min_duration": 0}, {"min_duration": 3.0, "max_duration": 2.0}],
)
def test_wrong_options(options):
    with pytest.raises(ValueError, match="needs max_pause > 0"):
        sentence_clips([], **options)


def test_corrected_words_keep_their_times():
    heard = [
        Word(word, float(time)) for time, word in enumerate("so its a carmel ized thing".split())
    ]
    result = corrected(heard, "So, it's a very caramelized thing. Okay?")
    assert [(word.text, word.start) for word in result] == [
        ("So,", 0.0),
        ("it's", 1.0),
        ("a", 2.0),
        ("very", 3.0),  # two words for two others: one each
        ("caramelized", 4.0),
        ("thing.", 5.0),
        ("Okay?", 5.0),  # added: the time of the word before
    ]
    assert corrected([], "Okay?") == [] and corrected(heard, "") == []
    assert [word.start for word in corrected(heard[:1], "And so")] == [0.0, 0.0]
