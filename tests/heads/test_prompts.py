import numpy as np
import pytest
from keras_hub import models

from keras_videoprism.heads.prompts import PromptTokenizer, pad


@pytest.fixture
def prompts(language_model, captions_tokenizer) -> PromptTokenizer:
    causal_lm = language_model("gpt2")
    causal_lm.preprocessor = models.GPT2CausalLMPreprocessor(captions_tokenizer)
    return PromptTokenizer(causal_lm)


def ids(prompts: PromptTokenizer, *pieces: str) -> list[int]:
    return [prompts.tokenizer.token_to_id(piece) for piece in pieces]


def test_a_prompt_begins_with_the_start_token(prompts):
    assert prompts.prompt("a cat") == [0, *ids(prompts, "a", "Ġcat")]
    assert prompts.prompt("") == [0]


def test_no_start_token_where_the_model_takes_none(prompts, language_model, captions_tokenizer):
    causal_lm = language_model("gpt2")
    causal_lm.preprocessor = models.GPT2CausalLMPreprocessor(
        captions_tokenizer, add_start_token=False
    )
    assert PromptTokenizer(causal_lm).prompt("a") == ids(prompts, "a")


def test_an_answer_takes_the_space_with_it(prompts):
    assert prompts.answer("a:", "dog") == ids(prompts, "Ġdog")
    assert prompts.answer("", "dog") == ids(prompts, "d", "og")


def test_a_batch(prompts):
    batch = prompts.batch(["a:", ""], ["cat", "an a"], length=6)
    first = [0, *ids(prompts, "a", ":", "Ġcat"), 0, 0]
    second = [0, *ids(prompts, "an", "Ġa"), 0, 0, 0]
    np.testing.assert_array_equal(batch["token_ids"], [first, second])
    np.testing.assert_array_equal(batch["padding_mask"].sum(1), [5, 4])
    # The end token, which has the id of the padding, is part of an answer.
    np.testing.assert_array_equal(np.argwhere(batch["answer_mask"][0])[:, 0], [3, 4])
    np.testing.assert_array_equal(np.argwhere(batch["answer_mask"][1])[:, 0], [1, 2, 3])


def test_texts_stop_at_the_end_token(prompts):
    cat, dog = ids(prompts, "Ġcat", "Ġdog")
    assert prompts.texts([[cat, dog, 0, dog], [0, cat, cat, cat], [dog] * 4]) == [
        "cat dog",
        "",
        "dog dog dog dog",
    ]


@pytest.mark.parametrize(("prompt", "answer"), [("a:", ""), ("", ""), ("a ", "cat")])
def test_no_border_between_prompt_and_answer(prompts, prompt, answer):
    with pytest.raises(ValueError, match="do not part between two tokens"):
        prompts.answer(prompt, answer)


def test_a_long_text(prompts):
    with pytest.raises(ValueError, match="6 tokens, more than length=5"):
        prompts.batch(["a: a"], ["cat"], length=5)


def test_no_tokenizer(language_model):
    with pytest.raises(ValueError, match="GPT2CausalLM has no tokenizer"):
        PromptTokenizer(language_model("gpt2")).prompt("a")


def test_pad():
    token_ids, mask = pad([[4, 5], [6]], 3, padding=-1)
    assert token_ids.dtype == "int32"
    np.testing.assert_array_equal(token_ids, [[4, 5, -1], [6, -1, -1]])
    np.testing.assert_array_equal(mask, [[True, True, False], [True, False, False]])


def test_a_long_answer_is_cut(prompts):
    """It has no end then; what fits has one."""
    batch = prompts.batch(["a:", ""], ["cat dog", "an"], length=4, cut=True)
    first, second = ids(prompts, "a", ":", "Ġcat"), ids(prompts, "an")
    np.testing.assert_array_equal(batch["token_ids"], [[0, *first], [0, *second, 0, 0]])
    np.testing.assert_array_equal(batch["answer_mask"].sum(1), [1, 2])
    with pytest.raises(ValueError, match="5 tokens, more than length=4"):
        prompts.batch(["a::"], ["cat"], length=4, cut=True)
