"""The report holds what was found, and its page is safe and alone."""

import json

from keras_videoprism.data.validation.report import histogram, html_page, write_report

HOSTILE = "<script>alert(1)</script>"
FEATURES = {
    "label": {"clips": 4, "missing": 1, "values": [(0, 3), (2, 1)]},
    "source": {"clips": 4, "missing": 1, "values": [(HOSTILE, 4)]},
    "fps": {"clips": 0, "missing": 5, "values": []},
}
REPORT = {
    "folder": "records",
    "num_records": 5,
    "record_anomalies": [{"shard": "s", "record": 3, "file": HOSTILE, "reason": "no caption"}],
    "features": FEATURES,
    "others": {"previous": FEATURES},
    "feature_anomalies": [{"feature": "label", "kind": "BIG", "reason": "too large: 7"}],
    "distances": [
        {
            "feature": "label",
            "comparison": "drift",
            "measure": "L_INFTY",
            "value": 0.25,
            "threshold": 0.1,
        }
    ],
}


def test_page():
    page = html_page(REPORT)
    for text in ("no caption", "too large: 7", "0.250", "<td>0.5</td>", "orange: previous"):
        assert text in page
    assert '<tr class="bad"><td>drift</td>' in page
    assert "<script" not in page and "&lt;script&gt;" in page
    assert not any(word in page for word in ("http:", "https:", "src=", "url(", "@import"))


def test_page_without_statistics():
    page = html_page({"folder": "records", "num_records": 5, "record_anomalies": []})
    assert "0 anomalies" in page and "<h2>Features" not in page


def test_files(tmp_path):
    write_report(REPORT, tmp_path / "new")
    read = json.loads((tmp_path / "new" / "report.json").read_text())
    assert read["features"]["label"]["values"] == [[0, 3], [2, 1]]
    assert (tmp_path / "new" / "report.html").read_text().startswith("<!DOCTYPE html>")
    assert len(list((tmp_path / "new").iterdir())) == 2


def test_bars_of_few_numbers_are_the_numbers():
    bars = histogram([[(3, 1), (5, 3)], [(4, 2)]])
    assert bars == [("3", [0.25, 0.0]), ("4", [0.0, 1.0]), ("5", [0.75, 0.0])]
    assert histogram([[], []]) == []


def test_bars_of_many_numbers_are_ranges():
    bars = histogram([[(number, 1) for number in range(100)]])
    assert len(bars) == 20 and bars[0] == ("0 to 4", [0.05])
    extremes = histogram([[(-(2**63), 1), (2**63 - 1, 3)]])
    assert len(extremes) <= 24 and extremes[-1][1] == [0.75]


def test_bars_of_names_are_the_most_frequent():
    names = [(f"name {number}", number + 1) for number in range(30)]
    bars = histogram([names, []])
    assert len(bars) == 24 and bars[0] == ("name 29", [30 / 465, 0.0])
