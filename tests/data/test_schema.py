import numpy as np
import pytest
import tensorflow as tf

from keras_videoprism.data import schema


def encode(**changes):
    frames = np.zeros((3, 20, 30, 3), np.uint8)
    frames[:, :, 15:] = (200, 100, 50)
    arguments = {
        "frames": frames,
        "timestamps": np.array([0.0, 0.5, 1.25]),
        "file": "a/b.mp4",
        "source": "demo",
        "clip_id": 7,
        "captions": ["eins", "zwölf"],
        "labels": [2, 5],
    }
    return schema.encode_clip(**(arguments | changes))


def with_version(record: bytes, version: int) -> bytes:
    example = tf.train.Example.FromString(record)
    example.features.feature[schema.VERSION].int64_list.value[:] = [version]
    return example.SerializeToString()


def test_round_trip():
    clip = schema.parse_clip(encode())
    frames = schema.decode_jpegs(clip["frames"], ([2, 4], [18, 26])).numpy()
    assert frames.shape == (3, 18, 26, 3)
    np.testing.assert_allclose(frames[1, 8, 21], [200, 100, 50], atol=3)
    np.testing.assert_array_equal(clip["timestamps"], [0.0, 0.5, 1.25])
    assert [text.decode() for text in clip["captions"].numpy()] == ["eins", "zwölf"]
    assert clip["labels"].numpy().tolist() == [2, 5]
    assert (clip["file"].numpy(), clip["source"].numpy()) == (b"a/b.mp4", b"demo")
    assert (int(clip["height"]), int(clip["width"]), int(clip["clip_id"])) == (20, 30, 7)


def test_captions_and_labels_may_be_missing():
    clip = schema.parse_clip(encode(captions=[], labels=[]))
    assert clip["captions"].shape == clip["labels"].shape == (0,)


def test_the_same_clip_gives_the_same_bytes():
    assert encode() == encode()


def test_clip_id_is_stable():
    # A constant: another value would change the masks and crops of every stored data set.
    assert schema.stable_clip_id("a/b.mp4") == 1548360412703368007
    ids = {schema.stable_clip_id("a.mp4", *part) for part in ((None, None), (0, 1), (0, 2), (1, 2))}
    assert len(ids) == 4 and schema.stable_clip_id("a.mp4", 0.0, 2.0) in ids
    assert all(0 <= clip_id < 2**63 for clip_id in ids)


def test_jpeg_keeps_colour_detail():
    columns = np.zeros((16, 16, 3), np.uint8)
    columns[:, ::2] = (255, 0, 0)  # one-pixel stripes vanish where chroma is subsampled
    decoded = tf.io.decode_jpeg(schema.encode_jpeg(columns)).numpy()
    assert np.abs(decoded.astype(int) - columns).max() < 30


@pytest.mark.parametrize(
    "changes",
    [
        {"frames": np.zeros((3, 20, 30, 3), np.float32)},
        {"frames": np.zeros((0, 20, 30, 3), np.uint8), "timestamps": []},
        {"frames": np.zeros((3, 20, 30, 1), np.uint8)},
        {"timestamps": [0.0]},
    ],
)
def test_bad_clips_are_refused(changes):
    with pytest.raises(ValueError, match="a/b.mp4"):
        encode(**changes)


def test_parse_record():
    clip, expected = schema.parse_record(encode()), schema.parse_clip(encode())
    assert clip.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(clip[name], value.numpy())
    with pytest.raises(ValueError, match="schema version 99.*reads version 1"):
        schema.parse_record(with_version(encode(), 99))
    with pytest.raises(ValueError, match="schema version none"):
        schema.parse_record(b"")
    with pytest.raises(ValueError, match="not a tf.train.Example"):
        schema.parse_record(b"no protocol buffer")


def test_prompts_are_left_out_where_there_are_none():
    """Such records have the bytes of the time before there were prompts."""
    assert b"prompts" not in encode() and encode(prompts=()) == encode()
    assert schema.parse_clip(encode())["prompts"].shape == (0,)
    clip = schema.parse_record(encode(prompts=["wer?", ""]))
    assert clip["prompts"] == [b"wer?", b""] and clip["captions"] == [b"eins", "zwölf".encode()]


def test_prompts_belong_to_captions():
    with pytest.raises(ValueError, match="a/b.mp4: 1 prompts but 2 captions"):
        encode(prompts=["wer?"])
    example = tf.train.Example.FromString(encode(prompts=["wer?", ""]))
    del example.features.feature[schema.CAPTIONS].bytes_list.value[1]
    with pytest.raises(ValueError, match="the record: 2 prompts but 1 captions"):
        schema.parse_record(example.SerializeToString())
