import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from keras_videoprism.data.tokenize import Tokenizer, canonicalize, train_tokenizer

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT.parent / "shared" / "golden" / "test_spm.model"
TEXTS = [f"a {colour} {kind} moves" for colour in ("red", "blue") for kind in ("square", "disc")]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return train_tokenizer(TEXTS, 40, tmp_path_factory.mktemp("spm") / "a.spm")


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("Hello, World!", "hello world."),
        ("Hello,World..", "hello world."),
        ("  it's\ta\n TV-set ", "it s a tv set."),
        ("Ein Bär: «ja»", "ein bär «ja»."),
    ],
)
def test_canonicalize(text, canonical):
    assert canonicalize(text) == canonical
    assert canonicalize(canonical) == canonical


def test_empty_text(tokenizer):
    for text in ("", "  ", "?!"):
        with pytest.raises(ValueError, match="the text is empty"):
            tokenizer(["a disc", text])


def test_lengths_are_those_before_the_cut(tokenizer):
    texts = ["A red square!", "a", "a red square moves " * 30]
    lengths = tokenizer.lengths(texts)
    whole, one, cut = tokenizer(texts)["padding_mask"].sum(axis=1)
    assert lengths[:2].tolist() == [whole, one] and cut == 64 < lengths[2]


def test_pads_and_masks(tokenizer):
    batch = tokenizer(["a red square", "a"])
    ids, mask = batch["token_ids"], batch["padding_mask"]
    assert ids.shape == mask.shape == (2, 64)
    assert ids.dtype == np.int32 and mask.dtype == bool
    assert 0 < mask[1].sum() < mask[0].sum() < 64
    assert (ids[~mask] == 0).all() and (ids[mask] > 1).all()  # no end token either
    assert ids.max() < tokenizer.vocabulary_size
    assert mask[0, : mask[0].sum()].all()


def test_texts_are_made_canonical(tokenizer):
    ids = tokenizer(["A RED, square!", "a red square."])["token_ids"]
    np.testing.assert_array_equal(ids[0], ids[1])


def test_truncation_keeps_the_first_tokens(tokenizer):
    short = Tokenizer(tokenizer._model, max_length=3)(TEXTS)
    np.testing.assert_array_equal(short["token_ids"], tokenizer(TEXTS)["token_ids"][:, :3])
    assert short["padding_mask"].all()


def test_training_is_deterministic_and_saves(tokenizer, tmp_path):
    train_tokenizer(TEXTS, 40, tmp_path / "b.spm")
    tokenizer.save(tmp_path / "a.spm")
    assert (tmp_path / "a.spm").read_bytes() == (tmp_path / "b.spm").read_bytes()
    reloaded = Tokenizer(tmp_path / "a.spm")
    np.testing.assert_array_equal(reloaded(TEXTS)["token_ids"], tokenizer(TEXTS)["token_ids"])
    assert 3 < reloaded.vocabulary_size <= 40


def test_bad_arguments(tokenizer, tmp_path):
    with pytest.raises(ValueError, match="list of strings"):
        tokenizer("a red square")
    with pytest.raises(ValueError, match="not a SentencePiece model: the bytes"):
        Tokenizer(b"no model")
    with pytest.raises(ValueError, match="max_length"):
        Tokenizer(tokenizer._model, max_length=0)
    with pytest.raises(ValueError, match="no tokenizer of 5 tokens"):
        train_tokenizer(TEXTS, 5, tmp_path / "c.spm")
    assert not list(tmp_path.iterdir())


def test_needs_no_tensorflow():
    code = (
        "import sys; from keras_videoprism.data import Tokenizer, read_video; "
        "sys.exit('tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=60).returncode == 0


@pytest.mark.skipif(not GOLDEN.exists(), reason="needs the shared tokenizer")
def test_golden_model():
    tokenizer = Tokenizer(GOLDEN)
    batch = tokenizer(["A dog catches a ball!"])
    ids = batch["token_ids"][0][batch["padding_mask"][0]].tolist()
    assert tokenizer._processor.DecodeIds(ids) == "a dog catches a ball."
