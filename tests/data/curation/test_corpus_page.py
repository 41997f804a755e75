import base64
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from keras_videoprism.data.curation.corpus import TABLE_8, UNITS, summarise
from keras_videoprism.data.curation.corpus_page import COLUMNS, PLOTS, corpus_page, plot

pytest.importorskip("matplotlib")


@pytest.fixture
def report():
    rng = np.random.default_rng(0)
    values = {"duration": rng.gamma(9, 0.8, 200), "caption length": rng.poisson(14, 200)}
    return {
        "clips": 1234,
        "measured": 200,
        "table_8": dict.fromkeys(TABLE_8) | {"clips": 1234, "optical flow": 2.468},
        "statistics": {name: summarise(v, UNITS[name]) for name, v in values.items()},
        "not_measured": {"grounding": "no model <b>given</b>"},
        "failed": [["<x>.mp4", "empty"]],
    }


def test_names_agree_with_the_statistics():
    assert tuple(COLUMNS) == TABLE_8 and PLOTS.keys() == UNITS.keys()


def test_the_page_stands_alone(report):
    page = corpus_page(report)
    HTMLParser().feed(page)
    assert "<script" not in page and "http" not in page
    for text in ("1,234", "2.47 px", "–", "no model &lt;b&gt;", "&lt;x&gt;.mp4", "median"):
        assert text in page
    picture = re.search(r'src="data:image/png;base64,([^"]+)"', page)
    assert picture and base64.b64decode(picture[1]).startswith(b"\x89PNG")


def test_plots_have_units_and_say_what_is_missing(report):
    axes = plot(report["statistics"]).axes
    labels = [(a.get_xlabel(), a.get_ylabel()) for a in axes]
    assert labels[:2] == [
        ("duration (s)", "number of clips"),
        ("words per caption", "number of captions"),
    ]
    assert [a.texts[0].get_text() for a in axes[2:]] == ["not measured"] * 2
