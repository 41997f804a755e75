from types import SimpleNamespace

import numpy as np
import pytest

from keras_videoprism.commands.evaluate.caption import caption
from keras_videoprism.commands.evaluate.encode import Stored
from keras_videoprism.commands.evaluate.language import Language
from keras_videoprism.commands.evaluate.loaders import Captioned
from keras_videoprism.data.manifest import Row

# The test vector of `evaluation.language`: CIDEr of each clip.
CAPTIONS = {
    "a": ("a man plays the guitar", "a man is playing guitar on stage"),
    "b": ("a dog is running in a park", "the dog runs through the grass"),
    "c": ("a woman is cooking food in a kitchen", "a person cooks pasta"),
}
SAID = {
    "a": "a man is playing a guitar",
    "b": "a dog runs in the park",
    "c": "someone is cooking",
}
SCORES = {"a": 3.616721, "b": 2.051840, "c": 0.559256}
ROWS = [Row(f"{name}.mp4", name, texts) for name, texts in CAPTIONS.items()]


class Speaker(SimpleNamespace):
    """Says the captions above; clip "d" cannot be read."""

    def check_length(self, prompts, num_tokens):
        self.checked = prompts, num_tokens

    def see(self, rows, part):
        kept = sorted((row for row in rows if row.name != "d"), key=lambda row: row.clip_id)
        self.seen = kept
        return Stored(kept, [{"reason": "gone", "count": 1, "examples": ["d"]}]), None

    def say(self, prefixes, prompts):
        assert prefixes.clip_ids.tolist() == [row.clip_id for row in self.seen]
        assert prompts == [[7, 8]] * 3
        return [SAID[row.name] for row in self.seen]


@pytest.fixture
def speaker():
    prompts = SimpleNamespace(prompt=lambda text: {"see": [7, 8]}[text])
    captioner = SimpleNamespace(prompts=prompts)
    return Speaker(captioner=captioner, language=Language(prompt="see", max_tokens=5))


def test_numbers_of_known_captions(speaker):
    outcome = caption(speaker, Captioned([*ROWS, Row("d.mp4", "d", ("x",))]))
    assert outcome.metrics["cider"] == pytest.approx(2.075939, abs=1e-6)
    assert 0 <= outcome.metrics["chance_cider"] < 0.5 < outcome.metrics["rouge_l"] < 1
    assert outcome.num_examples == 3 and outcome.excluded[0]["examples"] == ["d"]
    assert speaker.checked == ([[7, 8]], 4)
    scores = {answer.clip.name: answer.score for answer in outcome.answers}
    assert scores == pytest.approx(SCORES, abs=1e-6)
    assert all(answer.references == CAPTIONS[answer.clip.name] for answer in outcome.answers)
    assert np.all([answer.question == "" for answer in outcome.answers])
    assert outcome.notes["references"] == 6 and outcome.notes["captions without words"] == 0


@pytest.mark.parametrize(
    ("captions", "message"),
    [((), r"1 clips have no caption .*\['e'\]"), (("...",), "reference without a word")],
)
def test_clips_without_words_to_compare_with(speaker, captions, message):
    with pytest.raises(ValueError, match=message):
        caption(speaker, Captioned([*ROWS, Row("e.mp4", "e", captions)]))
    assert not hasattr(speaker, "seen")
