import pytest

from keras_videoprism.data.annotations.files import (
    clip,
    read_csv,
    read_json,
    read_jsonl,
    read_keys,
    rows_of,
    seconds,
)


def test_byte_order_mark_and_quotes(tmp_path):
    (tmp_path / "a.csv").write_bytes('\ufeffname,text\n"a","x, ""y"""\n'.encode())
    assert read_csv(tmp_path / "a.csv") == [{"name": "a", "text": 'x, "y"'}]
    assert read_csv(tmp_path / "a.csv", ("n", "t"))[1] == {"n": "a", "t": 'x, "y"'}
    (tmp_path / "a.json").write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert read_json(tmp_path / "a.json") == {"a": 1}


def test_keys_of_an_object(tmp_path):
    (tmp_path / "a.json").write_text('{"a": 1, "b": {"c": [2]}}')
    assert read_keys(tmp_path / "a.json", "b", "a") == [{"c": [2]}, 1]
    with pytest.raises(ValueError, match="a.json: no 'c' in it"):
        read_keys(tmp_path / "a.json", "a", "c")
    (tmp_path / "a.json").write_text("[1]")
    with pytest.raises(ValueError, match=r"a.json: has \[1\] and no object"):
        read_keys(tmp_path / "a.json", "a")


def test_json_lines(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b'\xef\xbb\xbf{"a": 1}\n\n[2]\n')
    assert list(read_jsonl(tmp_path / "a.jsonl")) == [{"a": 1}, [2]]
    (tmp_path / "a.jsonl").write_text("1\n\n{")
    with pytest.raises(ValueError, match="a.jsonl, line 3: not JSON"):
        list(read_jsonl(tmp_path / "a.jsonl"))


def test_lines_of_a_wrong_length(tmp_path):
    (tmp_path / "a.csv").write_text("a b\n1\n")
    assert read_csv(tmp_path / "a.csv", delimiter=" ") == [{"a": "1"}]
    (tmp_path / "a.csv").write_text("a b\n1 2\n1 2 3\n")
    with pytest.raises(ValueError, match="a.csv, line 3: more values than the 2 columns"):
        read_csv(tmp_path / "a.csv", delimiter=" ")


def test_files_that_are_no_text(tmp_path):
    (tmp_path / "a").write_bytes(b"\xff\xfe\x00")
    for read in (read_csv, read_json, read_jsonl):
        with pytest.raises(ValueError, match=str(tmp_path / "a")):
            list(read(tmp_path / "a"))


def test_a_long_entry_is_shown_in_part():
    with pytest.raises(ValueError) as error:
        rows_of("a.json", ["x" * 10_000], lambda entry: clip("v", "a.mp4", labels=entry.labels))
    assert len(str(error.value)) < 700


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


@pytest.mark.parametrize(
    "times",
    [(2.0, 1.0), (-1.0, 1.0), (1.0, 1.0), (-1.0, None), (None, -1.0), (1.0, float("inf"))]
    + [(float("nan"), 1.0), (0.0, float("nan")), (float("inf"), None)],
)
def test_wrong_times(times):
    with pytest.raises(ValueError, match="0 <= start < end"):
        clip("videos", "a.mp4", start=times[0], end=times[1])


def test_empty_captions_are_left_out():
    assert clip("videos", "a.mp4", ["  a ", "", " "]).captions == ("a",)


def test_seconds():
    assert seconds("01:02:03.5") == 3723.5 and seconds("00:00:09") == 9.0
    for wrong in ("1:60:00", "62.5", "-0:00:01"):
        with pytest.raises(ValueError, match="expected a time such as"):
            seconds(wrong)
