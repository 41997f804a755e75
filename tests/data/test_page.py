from matplotlib.figure import Figure

from keras_videoprism.data.page import page, picture, section, table


def test_a_page_is_whole_and_loads_nothing():
    image = picture(Figure(figsize=(1, 1)), 'the "plot"')
    text = page("a < b", section("Rows & more", "x > y", table(("n", "m"), [("<b>", 1)])), image)
    assert text.startswith("<!doctype html>") and text.endswith("</html>\n")
    assert "<title>a &lt; b</title>" in text and "<h2>Rows &amp; more</h2>" in text
    assert "<td>&lt;b&gt;</td><td>1</td>" in text and "x &gt; y" in text
    assert 'alt="the &quot;plot&quot;" src="data:image/png;base64,iVBOR' in text
    assert "http://" not in text and "https://" not in text and "<script" not in text
