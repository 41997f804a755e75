"""Records whose captions stand behind prompts, as arrays."""

from pathlib import Path

import numpy as np
import pytest

from keras_videoprism.data.manifest import read_manifest
from keras_videoprism.data.read import read_records
from keras_videoprism.data.write import write_records


def batches(dataset, count: int = -1) -> list[dict[str, np.ndarray]]:
    return list(dataset.take(count).as_numpy_iterator())


@pytest.fixture(scope="module")
def asked(video_folder, tmp_path_factory) -> Path:
    """Records of one clip with a question, and of one with a caption alone."""
    rows = [row._replace(labels=()) for row in read_manifest(video_folder)[:2]]
    rows[0] = rows[0]._replace(captions=("red", "two"), prompts=("colour?", "how many?"))
    rows[1] = rows[1]._replace(captions=("a square",))
    folder = tmp_path_factory.mktemp("records") / "asked"
    write_records(rows, folder, num_shards=1, num_frames=1)
    return folder


def letters(prompts: list[str], captions: list[str]) -> dict[str, np.ndarray]:
    """Codes of the letters, in 20 places."""
    pairs = zip(prompts, captions, strict=True)
    texts = [f"{prompt}|{caption}"[:20].ljust(20) for prompt, caption in pairs]
    return {"codes": np.array([[*map(ord, text)] for text in texts], "int32")}


def test_answers(asked):
    """Arrays of a function of prompts and captions; one pair is drawn for each clip."""
    options = dict(batch_size=2, num_frames=1, image_size=8, answers=letters)
    dataset = read_records(asked, repeat=True, **options)
    assert dataset.element_spec["codes"].shape == (2, 20)
    codes = np.concatenate([batch["codes"] for batch in batches(dataset, 8)])
    found = {"".join(map(chr, row)).strip() for row in codes}
    assert found == {"colour?|red", "how many?|two", "|a square"}
    first = batches(read_records(asked, caption="first", **options))[0]["codes"]
    np.testing.assert_array_equal(first, letters(["colour?", ""], ["red", "a square"])["codes"])


def test_answers_in_place_of_a_tokenizer(asked, tokenizer, video_folder, tmp_path):
    options = dict(batch_size=1, num_frames=1, image_size=8)
    with pytest.raises(ValueError, match="either a tokenizer, for captions, or answers"):
        read_records(asked, **options, tokenizer=tokenizer, answers=letters)
    rows = read_manifest(video_folder)[:2]
    rows[1] = rows[1]._replace(captions=())
    write_records(rows, tmp_path / "mute", num_shards=1, num_frames=1)
    with pytest.raises(ValueError, match="1 of 2 clips have no caption"):
        read_records(tmp_path / "mute", **options, answers=letters)
