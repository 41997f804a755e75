import numpy as np
import pytest

from keras_videoprism.commands.evaluate.encode import Clips, FrozenModel, Place
from keras_videoprism.commands.evaluate.language import (
    FrozenPrefix,
    Language,
    Prefixes,
    Speaker,
    check_language,
    load_captioner,
)
from keras_videoprism.commands.evaluate.loaders import diving48
from keras_videoprism.commands.evaluate.tasks import TASKS
from keras_videoprism.commands.features import digest_of_model
from keras_videoprism.heads import PerceiverResampler, VideoCaptioner

MODELS = {"language_model": "l", "resampler": "r.keras"}
PROMPTS = ["ab", "abc", "cd", "ef", "gh"]


@pytest.fixture
def make(captioner, tmp_path):
    """make(**options): a speaker of the tiny captioner, with batches of 2."""

    def make(**options):
        place = Place(tmp_path / "records", tmp_path / "features", Clips(4, (24, 24)))
        return Speaker(captioner, Language(**MODELS, **options), place, 2, "float16")

    return make


@pytest.fixture
def prefixes(captioner):
    """Random ones, of five texts about three clips."""

    class Random:
        def of(self, clip_ids):
            return np.random.default_rng(0).normal(size=(3, 3, 8)).astype("float16")[clip_ids]

    return Prefixes(Random(), np.array([2, 0, 1, 1, 0]))


@pytest.mark.parametrize(
    ("task", "options", "message"),
    [
        ("msrvtt_captions", {}, r"\['language_model', 'resampler'\] are missing"),
        ("msvd_qa", {"language_model": "l"}, r"\['resampler'\] are missing"),
        ("k400", MODELS, r"Kinetics-400 has no use for \['language_model', 'resampler'\]"),
        ("msrvtt_captions", {**MODELS, "shots": 0}, r"no use for \['shots'\]"),
        ("msrvtt_qa", {**MODELS, "prompt": "see"}, r"no use for \['prompt'\]"),
        ("msrvtt_qa", {**MODELS, "shots": -1}, r"received \{'shots': -1\}"),
        ("vatex_captions", {**MODELS, "max_tokens": 0}, r"received \{'max_tokens': 0\}"),
        ("msrvtt_qa", {**MODELS, "vocabulary": [250, 0]}, r"received \[250, 0\]"),
        ("nextqa_open", {**MODELS, "vocabulary": [250]}, "several words; leave out vocabulary"),
    ],
)
def test_what_a_task_lacks_or_has_no_use_for(task, options, message):
    with pytest.raises(ValueError, match=message):
        check_language(TASKS[task], Language(**options))


def test_what_tasks_may_be_told():
    check_language(TASKS["k400"], Language())
    check_language(TASKS["msrvtt_captions"], Language(**MODELS, prompt="see", num_beams=2))
    check_language(TASKS["msvd_qa"], Language(**MODELS, vocabulary=[100, 250], shots=0))


def test_the_fingerprint_has_encoder_and_resampler_and_no_name(captioner, speech, encoder):
    digest = digest_of_model(FrozenPrefix(captioner))
    loaded = load_captioner(encoder, Language(**speech))
    assert digest_of_model(FrozenPrefix(loaded)) == digest
    resampler = PerceiverResampler(8, num_latents=3, num_heads=2, head_dim=4)
    other = VideoCaptioner(encoder, captioner.prompts.language_model, resampler)
    assert digest_of_model(FrozenPrefix(other)) != digest
    num_weights = len(captioner.encoder.weights) + len(captioner.resampler.weights)
    assert len(FrozenPrefix(captioner).weights) == num_weights


def test_clips_are_seen_once(make, captioner, copies, monkeypatch):
    rows = diving48(copies("diving48"), copies("diving48") / "videos").test
    speaker = make()
    stored, features = speaker.see(rows + rows[:2], "test")
    assert len(stored.rows) == 6 and features.plan.dtype == "float16"
    assert features.of(stored.clip_ids).shape == (6, 3, 8)
    monkeypatch.setattr(FrozenModel, "predict_on_batch", None)
    again = make().see(rows, "test")[1]
    np.testing.assert_array_equal(again.of(stored.clip_ids), features.of(stored.clip_ids))


def test_all_lengths_and_clips_as_one_by_one(make, prefixes, captioner):
    speaker = make(max_tokens=4)
    prompts = [captioner.prompts.prompt(text) for text in PROMPTS]
    found = speaker.say(prefixes, prompts)
    assert len(set(found)) > 1
    candidates = np.array([5, 1, 9])
    scores = speaker.score(prefixes, prompts, candidates)
    for row in range(5):  # twice, as batches of this size are compiled already
        batch = {"prefix": prefixes.take(np.array([row, row]))}
        assert captioner.generate(batch, PROMPTS[row], max_tokens=4) == [found[row]] * 2
        alone = captioner.score_first_token(batch, [prompts[row]] * 2, candidates, 4)
        np.testing.assert_allclose(scores[row], alone[0], atol=1e-5)


def test_long_prompts_are_found_before_the_work(make):
    make().check_length([[1] * 3, [1] * 200], 17)
    with pytest.raises(ValueError, match="3 tokens of the video and 218 of prompt"):
        make().check_length([[1] * 3, [1] * 200], 18)
