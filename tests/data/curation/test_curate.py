import shutil

import numpy as np
import pytest

from keras_videoprism.data.curation.curate import curate
from keras_videoprism.data.curation.filters import Fault, column_filter, header_filter
from keras_videoprism.data.manifest import Row, read_table


@pytest.fixture(scope="module")
def clips(video_folder, tmp_path_factory):
    """Squares of three colours that move left, their mirror images, a copy and a damaged file."""
    folder = tmp_path_factory.mktemp("curate") / "videos"
    shutil.copytree(video_folder, folder)
    shutil.copy(folder / "red_right.mp4", folder / "copy.mp4")
    (folder / "broken.mp4").write_bytes(b"no video")
    extra = [Row(folder / name, name, ("a copy",)) for name in ("copy.mp4", "broken.mp4")]
    return [*read_table(folder), *((row, {}) for row in extra)]


def names(rows) -> list[str]:
    return [row.name for row, _ in rows]


def test_copies_go_and_damaged_files_are_listed(clips):
    steps = []
    found = curate(clips, progress=lambda *step: steps.append(step))
    assert [(row.name, fault.reason) for row, fault in found.dropped] == [
        ("red_right.mp4", "near-duplicate of red_left.mp4, mirrored"),
        ("green_right.mp4", "near-duplicate of green_left.mp4, mirrored"),
        ("blue_right.mp4", "near-duplicate of blue_left.mp4, mirrored"),
        ("copy.mp4", "near-duplicate of red_left.mp4, mirrored"),
    ]
    assert all(fault.value < 0.15 for _, fault in found.dropped)
    assert [file for file, _ in found.failed] == ["broken.mp4"]
    assert names(found.kept) == ["red_left.mp4", "green_left.mp4", "blue_left.mp4"]
    assert steps[-1] == (16, 16) and steps == sorted(steps)


def test_duplicates_may_stay(clips):
    found = curate(clips, keep_duplicates=True)
    assert len(found.kept) == 7 and found.dropped == []


def test_benchmarks_win(clips):
    (row, _), (broken, _) = clips[1], clips[-1]
    found = curate(clips[:3], against=[row, broken])
    reasons = {dropped.name: fault.reason for dropped, fault in found.dropped}
    assert reasons["red_right.mp4"] == "near-duplicate of benchmark red_right.mp4"
    assert [file for file, _ in found.failed] == ["broken.mp4"]


def test_filters_are_asked_in_order(clips):
    """What a table filter drops is never decoded; a frame filter sees what an earlier one left."""
    asked = []

    def shorten(row, frames, embedding):
        assert frames.dtype == np.uint8 and embedding.tolist() == [len(frames)]
        return row._replace(captions=("short",))

    def note(row, frames, embedding):
        asked.append(row)
        return Fault("left", 3) if "left" in row.name else row

    found = curate(
        [(row, {"views": str(i)}) for i, (row, _) in enumerate(clips[:4])],
        table_filters=[column_filter({"views": 1}), header_filter(max_duration=2)],
        frame_filters=[shorten, note],
        embed=lambda frames: np.array([len(frames)]),
        keep_duplicates=True,
    )
    assert [row.captions for row in asked] == [("short",)] * 3
    assert [fault for _, fault in found.dropped] == [Fault("views below 1", 0.0), Fault("left", 3)]
    assert [(row.captions, record) for row, record in found.kept] == [
        (("short",), {"views": "1"}),
        (("short",), {"views": "3"}),
    ]
