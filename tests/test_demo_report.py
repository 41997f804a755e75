import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from examples import demo_report

RNG = np.random.default_rng(0)
FRAMES = RNG.random((4, 12, 18, 3))
RESULTS = {
    "setup": {"Test clips": 64, "Machine <b>": "2 cores"},
    "encoders": {
        "chance": {"appearance_map": 0.125, "motion_map": 0.125, "text_to_video_r1": 0.01},
        "random": {"appearance_map": 0.25, "motion_map": 0.5},
        "stage1": {"appearance_map": 0.75, "motion_map": 0.25, "text_to_video_r1": 0.05},
        "stage2": {"appearance_map": 0.7, "motion_map": 0.375},
    },
    "stage2": {
        "student": {"token_loss": 0.2, "residual_cosine": 0.3},
        "position_mean": {"token_loss": 0.35},
        "clip_mean": {"token_loss": 0.1},
    },
}
CURVES = {"Stage 2": {"step": [0, 10, 20], "student": [0.9, 0.5, 0.3], "position mean": [0.35]}}


def write(path: Path, results: dict = RESULTS) -> str:
    masked = np.arange(4 * 2 * 3).reshape(4, 2, 3) % 2 == 0
    pictures = [
        ("Masks", "what is <hidden>", demo_report.mask_picture(FRAMES, masked)),
        ("Frames", "as they are", (FRAMES[0] * 255).astype("uint8")),
    ]
    demo_report.write_report(path, results=results, curves=CURVES, pictures=pictures)
    return path.read_text(encoding="utf-8")


def shown(figure: Figure) -> list[np.ndarray]:
    """The images on a figure, in order."""
    return [np.asarray(image.get_array()) for axes in figure.axes for image in axes.images]


def test_report_is_one_file_that_loads_nothing(tmp_path: Path) -> None:
    text = write(tmp_path / "demo" / "report.html")
    sources = re.findall(r'(?:src|href)\s*=\s*"?([^"]{0,30})', text)
    assert len(sources) == 3
    assert all(source.startswith("data:image/png;base64,iVBOR") for source in sources)
    assert "http" not in text and "<script" not in text and "@import" not in text
    assert "what is &lt;hidden&gt;" in text and "Machine &lt;b&gt;" in text
    assert [file.name for file in (tmp_path / "demo").iterdir()] == ["report.html"]


class Cells(HTMLParser):
    """Collects the texts of the table cells, row by row."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.in_table = False

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.in_table |= tag == "table"
        if tag == "tr":
            self.rows.append([])
        elif tag in ("th", "td"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        self.in_table &= tag != "table"

    def handle_data(self, data: str) -> None:
        if self.in_table and self.rows and self.rows[-1]:
            self.rows[-1][-1] += f"{data}|"


def test_tables(tmp_path: Path) -> None:
    cells = Cells()
    cells.feed(write(tmp_path / "report.html"))
    rows = {row[0].split("|")[0]: row[1:] for row in cells.rows if row[0]}
    assert rows["Chance"][:3] == ["0.125|", "0.125|", "0.010|"]
    assert rows["Random encoder"][:3] == ["0.250|2.0 × chance|", "0.500|4.0 × chance|", "–|"]
    assert rows["Stage 1"][2] == "0.050|5.0 × chance|"
    assert rows["Stage-2 student"] == ["0.200|", "0.300|", "–|"]
    assert "Global mean" not in rows


def test_findings_say_good_and_bad_alike() -> None:
    sentences = demo_report.findings(RESULTS["encoders"], RESULTS["stage2"])
    assert "Motion: stage 2 0.375, stage 1 0.250." in sentences
    assert "Motion: stage 2 0.375, random encoder 0.500." in sentences
    assert "Token loss: the student 0.200, the clip's own mean 0.100." in sentences
    assert not any("Global loss" in sentence for sentence in sentences)


def test_a_misspelt_column_is_refused_and_the_old_report_stays(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    before = write(path)
    with pytest.raises(ValueError, match="motion_mpa"):
        write(path, RESULTS | {"encoders": {"stage1": {"motion_mpa": 0.1}}})
    assert path.read_text(encoding="utf-8") == before


def test_mask_picture_greys_exactly_the_masked_patches() -> None:
    masked = np.zeros((4, 2, 3), bool)
    masked[1, 0, 2] = True
    images = shown(demo_report.mask_picture(FRAMES, masked))
    changed = np.stack(images) != FRAMES
    assert changed[1, :6, 12:].all()
    assert changed.sum() == 6 * 6 * 3
    assert np.ptp(images[1][:6, 12:]) <= 0.15


def test_pictures_refuse_patches_that_do_not_tile_the_frames() -> None:
    with pytest.raises(ValueError, match=r"\(4, 5, 3\)"):
        demo_report.mask_picture(FRAMES, np.zeros((4, 5, 3), bool))


def test_neighbours_picture_marks_right_and_wrong_clips() -> None:
    best, correct = [[FRAMES, FRAMES[::-1]]] * 3, [[True, False]] * 3
    figure = demo_report.neighbours_picture(["a", "b", "c"], best, correct)
    assert [axes.get_xlabel() for axes in figure.axes] == ["1. ✓", "2. ✗"] * 3
    np.testing.assert_array_equal(shown(figure)[1][:, 1:19], FRAMES[3])


def test_similarity_picture_leaves_the_query_out_of_the_colour_range() -> None:
    cosines = np.linspace(0.2, 0.5, 4 * 2 * 3).reshape(4, 2, 3)
    cosines[2, 1, 0] = 1.0
    figure = demo_report.similarity_picture(FRAMES, {"Stage 1": cosines}, (2, 1, 0))
    assert len(figure.axes) == 2 * 4
    heat = figure.axes[4].images[1]
    assert (heat.norm.vmin, heat.norm.vmax) == pytest.approx((0.2, 0.5))
    outlined = [axes for axes in figure.axes if axes.patches]
    assert outlined == [figure.axes[2], figure.axes[6]]
    assert outlined[0].patches[0].get_bbox().bounds == pytest.approx((-0.5, 5.5, 6, 6))


def test_curves_picture_draws_lines_and_levels() -> None:
    chart, empty = demo_report.curves_picture(CURVES).axes
    student, level = chart.lines
    np.testing.assert_array_equal(student.get_xdata(), [0, 10, 20])
    assert level.get_linestyle() == "--" and level.get_label() == "position mean"
    assert not empty.axison
