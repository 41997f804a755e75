from pathlib import Path

import numpy as np
import pytest

from keras_videoprism.data.curation.filters import (
    Fault,
    column_filter,
    grounding_filter,
    haar_faces,
    header_filter,
    out_of_range,
    static_filter,
    stillness,
    talking_head_filter,
)
from keras_videoprism.data.manifest import Row

ROW = Row(Path("a.mp4"), "a.mp4", ("one", "two"))
FRAMES = np.zeros((16, 40, 60, 3), "uint8")


def test_values_at_a_limit_stay():
    assert out_of_range("size", 3.0, 3, 3) is None
    assert out_of_range("size", 2.0, 3) == Fault("size below 3", 2.0)
    assert out_of_range("size", 4.0, maximum=3) == Fault("size above 3", 4.0)


def test_columns():
    judge = column_filter({"views": 1000}, {"views": 1e6, "age": 18})
    assert judge(ROW, {"views": "5000", "age": 3}) is None
    assert judge(ROW, {"views": 999, "age": 3}) == Fault("views below 1000", 999.0)
    assert judge(ROW, {"views": "2e6", "age": 3}) == Fault("views above 1e+06", 2e6)
    assert judge(ROW, {"views": 5000}) == Fault("age is no number", None)
    assert judge(ROW, {"views": "many", "age": 3}) == Fault("views is no number", "many")
    assert judge(ROW, {"views": "nan", "age": 3}) == Fault("views is no number", "nan")


def test_headers(video_folder):
    """12 frames of 64 x 48 pixels at 8 frames per second."""
    row = Row(video_folder / "red_left.mp4", "red_left.mp4")

    def judge(row=row, **limits):
        return header_filter(**limits)(row, {})

    assert judge(min_duration=1.5, max_duration=1.5, min_short_side=48, max_frame_rate=8) is None
    assert judge(min_duration=1.6) == Fault("duration below 1.6", 1.5)
    assert judge(row._replace(end=0.5), min_duration=1) == Fault("duration below 1", 0.5)
    assert judge(min_short_side=49) == Fault("short side below 49", 48)
    assert judge(min_frame_rate=10) == Fault("frame rate below 10", 8.0)


def test_stillness_is_the_mean_cosine_of_pairs():
    vectors = np.random.default_rng(0).normal(size=(5, 8))
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    pairs = [unit[i] @ unit[j] for i in range(5) for j in range(i)]
    assert stillness(vectors) == pytest.approx(np.mean(pairs))
    assert stillness(np.ones((4, 3))) == pytest.approx(1.0)
    assert stillness(np.ones((1, 3))) == 1.0


def test_static_clips():
    vectors = np.array([[1.0, 0], [0, 1], [1, 1]])
    assert static_filter(lambda frames: vectors, 0.9)(ROW, FRAMES, None) == ROW
    fault = static_filter(lambda frames: vectors[[0, 0]], 0.9)(ROW, FRAMES, None)
    assert fault == Fault("likeness of frames above 0.9", pytest.approx(1.0))


def test_captions_that_do_not_fit_are_taken_away():
    texts = {"one": [1.0, 0.0], "two": [0.6, 0.8]}
    embedding = np.array([0.0, 1.0])

    def judge(minimum, row=ROW):
        embed = grounding_filter(lambda captions: np.array([texts[c] for c in captions]), minimum)
        return embed(row, FRAMES, embedding)

    assert judge(0.0) == ROW
    assert judge(0.5) == ROW._replace(captions=("two",))
    assert judge(0.9) == Fault("grounding below 0.9", 0.8)
    asked = ROW._replace(prompts=("one?", "two?"))
    assert judge(0.5, asked) == ROW._replace(captions=("two",), prompts=("two?",))
    silent = ROW._replace(captions=())
    assert judge(0.9, silent) == silent


def test_talking_heads():
    """A face of 12 of 40 pixels in some of the frames; the others have a small one."""
    frames = FRAMES.copy()
    frames[:10, 0, 0] = 255

    def detect(frame):
        return np.array([[0, 0, 12 if frame[0, 0, 0] else 5, 12]])

    fault = talking_head_filter(detect, max_share=0.5, num_frames=16)(ROW, frames, None)
    assert fault == Fault("share of frames with a large face above 0.5", 10 / 16)
    assert talking_head_filter(detect, max_share=0.7)(ROW, frames, None) == ROW
    assert talking_head_filter(detect, min_face=0.4)(ROW, frames, None) == ROW
    assert talking_head_filter(lambda frame: np.zeros((0, 4)))(ROW, frames, None) == ROW


def test_the_cascade_finds_a_drawn_face():
    """A sketch of what the Haar features ask for: dark eyes, a lighter nose, a dark mouth."""
    pytest.importorskip("cv2")
    frame = drawn_face()
    assert len(haar_faces()(frame)) == 1
    assert len(haar_faces(min_face=0.95)(frame)) == 0
    assert haar_faces()(np.full_like(frame, 90)).shape == (0, 4)


def drawn_face() -> np.ndarray:
    import cv2

    frame = np.full((200, 240, 3), 60, "uint8")
    cv2.ellipse(frame, (120, 100), (52, 70), 0, 0, 360, (205, 175, 155), -1)
    for x in (98, 142):
        cv2.ellipse(frame, (x, 84), (13, 7), 0, 0, 360, (45, 35, 30), -1)
        cv2.line(frame, (x - 15, 70), (x + 15, 70), (70, 50, 40), 5)
    cv2.line(frame, (120, 84), (120, 112), (230, 205, 185), 9)
    cv2.ellipse(frame, (120, 134), (22, 6), 0, 0, 360, (120, 50, 50), -1)
    return cv2.GaussianBlur(frame, (0, 0), 2.5)
