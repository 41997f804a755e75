import pytest

from keras_videoprism.data.annotations.windows import window_rows


def test_windows_lie_side_by_side_and_take_the_label_of_the_centre_frame():
    labels = [[0], [0], [3, 1], [0], [0], [0], [2], [0], [0], [9]]
    first, second = window_rows("v", "a.mp4", labels, fps=10, span=4)
    assert (first.labels, second.labels) == ((1, 3), (2,))  # frames 2 and 6
    assert (first.start, first.end) == (0.0, 0.35)
    assert (second.start, second.end) == (0.35, 0.75)  # the last two frames fill no window


def test_each_window_holds_its_frames_even_if_times_are_rounded():
    rows = window_rows("v", "a.mkv", [[0]] * 60, fps=30000 / 1001, span=16, step=3)
    times = [round(frame * 1001 / 30000, 3) for frame in range(60)]  # Matroska counts milliseconds
    for index, row in enumerate(rows):
        inside = [frame for frame, time in enumerate(times) if row.start <= time < row.end]
        assert inside == list(range(3 * index, 3 * index + 16))
    assert len(rows) == 15  # (60 - 16) // 3 + 1


def test_a_short_video_is_one_clip_and_an_empty_one_an_error():
    (row,) = window_rows("v", "a.mp4", [[0], [1], [2]], fps=1, span=16)
    assert (row.start, row.end, row.labels) == (0.0, 2.5, (1,))
    with pytest.raises(ValueError, match="no frame of a.mp4"):
        window_rows("v", "a.mp4", [], fps=1, span=16)


@pytest.mark.parametrize("numbers", [(0, 16, 1), (30, 0, 1), (30, 16, 0), (30, 16, -1)])
def test_numbers_must_be_positive(numbers):
    fps, span, step = numbers
    with pytest.raises(ValueError, match="positive"):
        window_rows("v", "a.mp4", [[0]] * 20, fps=fps, span=span, step=step)
