import pytest

from keras_videoprism.commands.videoglue import Comparison
from keras_videoprism.commands.videoglue_page import (
    CATEGORIES,
    draw,
    gains,
    write_videoglue_page,
)

MEASURED = [
    Comparison("charades", "frozen", "map", 45.0, None, None, None),
    Comparison("k400", "adapter", "top1", 99.0, None, None, None),  # Figure 2 is of frozen encoders
    Comparison("vatex", "zero_shot", "text_to_video_r1", 50.0, None, None, None),
]


def test_gains_are_in_descending_order() -> None:
    found = gains(MEASURED)
    values = [gain.paper for gain in found]
    assert len(found) == 33 and values == sorted(values, reverse=True)
    assert found[0] == ("Charades", "video understanding", pytest.approx(22.4), pytest.approx(5.1))
    measured = {gain.name: gain.measured for gain in found if gain.measured is not None}
    assert measured == {
        "Charades": pytest.approx(45.0 - 39.9),
        "VATEX text to video": pytest.approx(50.0 - 53.2),
    }
    assert len({gain.name for gain in found}) == 33
    counts = [sum(gain.category == name for gain in found) for name in CATEGORIES]
    assert counts == [8, 13, 6, 6]


def test_the_figure_has_a_bar_for_each_gain_and_a_point_for_each_measurement() -> None:
    found = gains(MEASURED)
    (axes,) = draw(found).axes
    assert len(axes.patches) == 33
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names[0] == "Charades   +22.4" and names[-1] == "VATEX captions   -8.4"
    assert [name.split("   ")[0] for name in names] == [gain.name for gain in found]
    widths = {round(bar.get_y() + bar.get_height() / 2): bar.get_width() for bar in axes.patches}
    assert [widths[row] for row in range(33)] == pytest.approx([gain.paper for gain in found])
    points = axes.lines[0].get_xydata()
    assert {row: x for x, row in points.tolist()} == {
        row: pytest.approx(gain.measured)
        for row, gain in enumerate(found)
        if gain.measured is not None
    }
    (axes,) = draw(gains([])).axes
    assert len(axes.lines) == 1  # the line at 0


def test_cells_of_the_page_are_text(tmp_path) -> None:
    path = tmp_path / "page.html"
    write_videoglue_page(path, MEASURED, [("Left out", ("reason",), [("<script>",)])])
    text = path.read_text()
    assert "&lt;script&gt;" in text and "<script>" not in text and "Left out" in text
