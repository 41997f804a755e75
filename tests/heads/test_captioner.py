import keras
import numpy as np
import pytest
from keras_hub import models

from keras_videoprism.heads.captioner import VideoCaptioner
from keras_videoprism.heads.perceiver_resampler import PerceiverResampler

RNG = np.random.default_rng(0)
VIDEOS = RNG.random((3, 4, 12, 12, 3), np.float32)
TOKENS = RNG.normal(size=(3, 7, 16)).astype("float32")
TEXT = {
    "token_ids": RNG.integers(1, 24, (3, 6)).astype("int32"),
    "padding_mask": np.arange(6) < np.array([[6], [5], [6]]),
    "answer_mask": np.array([[0, 0, 1, 1, 1, 1], [0, 0, 0, 1, 1, 0], [0, 1, 1, 1, 1, 1]], bool),
}
END = 0


def make_resampler(width: int = 16) -> PerceiverResampler:
    keras.utils.set_random_seed(0)
    return PerceiverResampler(width, num_latents=3, num_heads=2, head_dim=4)


@pytest.fixture
def make(encoder, language_model, captions_tokenizer):
    """Function: family, whether it has an encoder -> captioner."""

    def make(family: str = "gpt2", with_encoder: bool = False) -> VideoCaptioner:
        causal_lm = language_model(family)
        if family == "gpt2":
            causal_lm.preprocessor = models.GPT2CausalLMPreprocessor(captions_tokenizer)
        parts = encoder() if with_encoder else None, causal_lm, make_resampler()
        captioner = VideoCaptioner(*parts)
        captioner.build_resampler(16)
        return captioner

    return make


@pytest.mark.backends
def test_logits_are_those_of_the_language_model(make, run):
    """Behind the tokens of the video, as if they were tokens of the text."""
    captioner = make("gemma3")
    model = captioner.language_model

    def plain(inputs):
        embeddings = keras.ops.concatenate(
            [captioner.resampler(inputs["video_tokens"]), model.embed(inputs["token_ids"])], axis=1
        )
        return model.logits(model(embeddings))[:, 2:-1]

    batch = {"video_tokens": TOKENS, **TEXT}
    np.testing.assert_allclose(run(captioner, batch), run(plain, batch), atol=1e-5)


@pytest.mark.backends
def test_only_the_resampler_learns(make):
    """The loss is the mean over the answers, and falls; frozen weights stay as they are.

    The dropout of the frozen GPT-2, which is half, would change the first loss.
    """
    captioner = make(with_encoder=True)
    frozen = [*captioner.encoder.weights, *captioner.language_model.weights]
    before = [
        keras.ops.convert_to_numpy(weight) for weight in (*frozen, *captioner.resampler.weights)
    ]
    batch = {"videos": VIDEOS, **TEXT}
    captioner.compile(keras.optimizers.Adam(0.01))
    logits = captioner.predict_on_batch(batch).astype("float64")
    losses = np.log(np.exp(logits).sum(-1))
    losses -= np.take_along_axis(logits, TEXT["token_ids"][..., None], 2)[..., 0]
    history = captioner.fit(batch, batch_size=3, epochs=4, verbose=0).history["loss"]
    assert history[0] == pytest.approx(losses[TEXT["answer_mask"]].mean(), rel=1e-4)
    assert history[-1] < history[0]
    assert captioner.trainable_variables == captioner.resampler.trainable_variables
    after = [
        keras.ops.convert_to_numpy(weight) for weight in (*frozen, *captioner.resampler.weights)
    ]
    moved = [bool((a != b).any()) for a, b in zip(after, before, strict=True)]
    assert moved == [False] * len(frozen) + [True] * len(captioner.resampler.weights)


@pytest.mark.backends
def test_generate(make):
    """Prompts of several lengths at once, as one by one."""
    captioner, prompts = make(), ["a cat", "an", "a dog"]
    found = captioner.generate({"video_tokens": TOKENS}, prompts, max_tokens=5)
    assert len(set(found)) > 1
    for row, prompt in enumerate(prompts):
        batch = {
            "video_tokens": TOKENS[row : row + 1],
            "token_ids": np.array([captioner.prompts.prompt(prompt)], "int32"),
        }
        tokens = captioner.generate_tokens(batch, END, max_tokens=5)
        assert captioner.prompts.texts(tokens) == [found[row]]


def test_beams_are_no_less_likely(make):
    captioner, batch = make(), {"video_tokens": TOKENS, "token_ids": np.zeros((3, 1), "int32")}

    def scores(num_beams: int) -> np.ndarray:
        tokens = captioner.generate_tokens(batch, -1, num_beams, max_tokens=3)
        return np.diag(captioner.score_tokens(batch, tokens))

    assert (scores(3) >= scores(1) - 1e-4).all() and (scores(3) > scores(1) + 1e-4).any()


def test_frame_mask(make):
    captioner = make(with_encoder=True)
    mask = np.arange(4) < np.array([[2], [4], [3]])
    inputs = {"videos": np.where(mask[:, :, None, None, None], VIDEOS, 0.5), "frame_mask": mask}
    scores = captioner.score(inputs, "a", ["cat", "dog"])
    padding = {"videos": VIDEOS, "frame_mask": mask}
    np.testing.assert_allclose(captioner.score(padding, "a", ["cat", "dog"]), scores, atol=1e-5)
    other = captioner.score(VIDEOS, "a", ["cat", "dog"])
    assert np.abs(other - scores)[[0, 2]].max() > 1e-3


@pytest.mark.backends
def test_score(make):
    """One token by one pass, several over the caches, for prompts of several lengths."""
    captioner = make()
    batch, prompts = {"video_tokens": TOKENS}, ["a cat", "an", "a dog"]
    short = captioner.score(batch, prompts, ["cat", "dog"])
    long = captioner.score(batch, prompts, ["cat", "dog", "cat dog"])
    np.testing.assert_allclose(short, long[:, :2], atol=1e-5)
    assert (long[:, 2] < long[:, 0]).all()
    cat, dog = captioner.prompts.answer("a", "cat dog")
    text = captioner.prompts.batch(["an"] * 3, ["cat dog"] * 3, length=6)
    logits = captioner.predict_on_batch({**batch, **text})[1]
    start = len(captioner.prompts.prompt("an"))
    scores = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    assert long[1, 2] == pytest.approx(scores[start, cat] + scores[start + 1, dog], abs=1e-4)


def test_many_candidates_cost_one_pass(make, monkeypatch):
    captioner, calls = make(), []
    language_model = type(captioner.language_model)
    call = language_model.call

    def counted(self, *arguments, **options):
        calls.append(arguments[0].shape)
        return call(self, *arguments, **options)

    monkeypatch.setattr(language_model, "call", counted)
    words = ["cat", "dog", "a"]
    captioner.score({"video_tokens": TOKENS}, ["a cat", "an", "a dog"], words)
    assert calls == [(3, 3 + 3, 16)]  # traced once: three latents, then start token and two words


def test_a_closed_vocabulary_of_250_words_costs_one_pass(monkeypatch):
    """As in Appendix G; and each word has the likelihood that it has alone."""
    model = models.GPT2CausalLM(models.GPT2Backbone(300, 1, 2, 16, 16, max_sequence_length=20))
    captioner, calls = VideoCaptioner(None, model, make_resampler()), []
    captioner.build_resampler(16)
    call = captioner.language_model.call

    def counted(embeddings):
        calls.append(embeddings.shape)
        return call(embeddings)

    monkeypatch.setattr(captioner.language_model, "call", counted)
    prefix, words = TOKENS[:1, :3], np.arange(20, 270)
    scores = captioner.score_first_token({"prefix": prefix}, [[4, 2, 9]], words)
    assert calls == [(1, 3 + 3, 16)] and scores.shape == (1, 250)
    alone = captioner.score_first_token({"prefix": prefix}, [[4, 2, 9]], words[100:101], length=5)
    np.testing.assert_allclose(alone[0], scores[0, 100:101], atol=1e-5)
    with pytest.raises(ValueError, match=r"one token each.*\[250, 1\]"):
        captioner.score_first_token({"prefix": prefix}, [[4, 2, 9]], words[:, None])


@pytest.mark.backends
def test_a_prefix_stands_for_its_video(make, run):
    captioner = make(with_encoder=True)
    prefix = run(captioner.prefix, {"videos": VIDEOS})
    batch = {"token_ids": TEXT["token_ids"]}
    expected = captioner.predict_on_batch({"videos": VIDEOS, **batch})
    found = captioner.predict_on_batch({"prefix": prefix, **batch})
    np.testing.assert_allclose(found, expected, atol=1e-5)
    with pytest.raises(ValueError, match=r"prefix of a video must be \[3, 16\].*\[3, 15\]"):
        captioner.generate({"prefix": prefix[..., 1:]}, "a", max_tokens=2)


def test_save_and_load(make, encoder, tmp_path):
    captioner = make(with_encoder=True)
    captioner.compile(keras.optimizers.Adam(0.01))
    captioner.fit({"videos": VIDEOS, **TEXT}, verbose=0)
    captioner.save(tmp_path / "resampler.keras")
    sizes = sum(weight.size for weight in captioner.resampler.get_weights())
    assert (tmp_path / "resampler.keras").stat().st_size < 8 * sizes + 50_000
    frozen = captioner.encoder, captioner.prompts.language_model
    loaded = VideoCaptioner.load(tmp_path / "resampler.keras", *frozen)
    batch = {"videos": VIDEOS, **TEXT}
    np.testing.assert_allclose(loaded.predict_on_batch(batch), captioner.predict_on_batch(batch))


def test_a_file_without_resampler(language_model, tmp_path):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.save(tmp_path / "other.keras")
    with pytest.raises(ValueError, match="holds a Sequential, not a resampler"):
        VideoCaptioner.load(tmp_path / "other.keras", None, language_model("llama3"))


def test_resamplers_of_other_widths(encoder, language_model):
    with pytest.raises(ValueError, match="width 12, but the language model is 16 wide"):
        VideoCaptioner(None, language_model("llama3"), make_resampler(12))
    resampler = make_resampler()
    resampler.build((None, None, 10))
    with pytest.raises(ValueError, match="takes video tokens of width 10; received 16"):
        VideoCaptioner(encoder(), language_model("llama3"), resampler)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda c: c.generate({"video_tokens": TOKENS}, ["a"] * 2), "2 prompts for 3 videos"),
        (lambda c: c.generate({"video_tokens": TOKENS[:0]}, "a"), "0 prompts for 0 videos"),
        (lambda c: c.generate({"video_tokens": TOKENS}, "a", num_beams=0), "num_beams must be"),
        (lambda c: c.generate({"video_tokens": TOKENS}, "a", max_tokens=17), "more than the 20"),
        (lambda c: c.score({"video_tokens": TOKENS}, "a" * 40, ["cat"]), "41 of prompt and"),
        (lambda c: c.score({"video_tokens": TOKENS}, "a", []), "received \\[\\]"),
        (lambda c: c.score({"video_tokens": TOKENS}, "a", ["cat", "cat"]), "different texts"),
        (
            lambda c: c.generate(VIDEOS, "a", max_tokens=2),
            "where there is an encoder; received the keys",
        ),
    ],
)
def test_bad_calls(make, call, message):
    with pytest.raises(ValueError, match=message):
        call(make())


def test_batches_without_answers(make):
    captioner = make()
    captioner.compile("adam")
    batch = {"video_tokens": TOKENS, "token_ids": TEXT["token_ids"]}
    with pytest.raises(ValueError, match="lack 'answer_mask'"):
        captioner.fit(batch, verbose=0)
