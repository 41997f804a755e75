import pytest

from keras_videoprism.data.annotations.files import clip, read_csv, read_json, rows_of


def test_byte_order_mark_and_quotes(tmp_path):
    (tmp_path / "a.csv").write_bytes('\ufeffname,text\n"a","x, ""y"""\n'.encode())
    assert read_csv(tmp_path / "a.csv") == [{"name": "a", "text": 'x, "y"'}]
    assert read_csv(tmp_path / "a.csv", ("n", "t"))[1] == {"n": "a", "t": 'x, "y"'}
    (tmp_path / "a.json").write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert read_json(tmp_path / "a.json") == {"a": 1}


def test_errors_name_file_and_entry(tmp_path):
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(ValueError, match="a.json: not JSON"):
        read_json(tmp_path / "a.json")
    with pytest.raises(ValueError, match="a.csv, entry 2: no value 'id'"):
        rows_of("a.csv", [{"id": "x"}, {"name": "y"}], lambda entry: clip("v", entry["id"]))
    with pytest.raises(ValueError, match="a.csv: no clip"):
        rows_of("a.csv", [], lambda entry: clip("v", entry))


@pytest.mark.parametrize("name", ["../a.mp4", "/a.mp4", "x/../../a.mp4"])
def test_no_path_leaves_the_folder(name):
    with pytest.raises(ValueError, match="outside"):
        clip("videos", name)


@pytest.mark.parametrize("times", [(2.0, 1.0), (-1.0, 1.0), (1.0, 1.0)])
def test_wrong_times(times):
    with pytest.raises(ValueError, match="0 <= start < end"):
        clip("videos", "a.mp4", start=times[0], end=times[1])


def test_empty_captions_are_left_out():
    assert clip("videos", "a.mp4", ["  a ", "", " "]).captions == ("a",)
