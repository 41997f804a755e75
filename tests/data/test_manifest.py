import json

import pytest

from keras_videoprism.data.manifest import Row, read_manifest, read_table, write_table


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_folder_with_captions(video_folder):
    rows = read_manifest(video_folder)
    assert len(rows) == 6
    assert rows[1] == Row(
        path=video_folder / "red_right.mp4",
        name="red_right.mp4",
        captions=("A red square, moving right!",),
        labels=(0,),
    )


def test_folder_without_captions(tmp_path):
    (tmp_path / "b").mkdir()
    for name in ("z.MP4", "b/a.png", "notes.txt", ".hidden.mp4"):
        write(tmp_path / name, "")
    assert [row.name for row in read_manifest(tmp_path)] == ["b/a.png", "z.MP4"]


def test_csv(tmp_path):
    table = write(
        tmp_path / "a.csv",
        "path,caption,label,start,end,licence\n"
        'x/1.mp4,"one, two",3,,,by\n'
        "2.mp4,,1;4,0.5,2,by\n"
        "2.mp4, ,1 4,2,,by\n",
    )
    assert read_manifest(table) == [
        Row(tmp_path / "x/1.mp4", "x/1.mp4", ("one, two",), (3,)),
        Row(tmp_path / "2.mp4", "2.mp4", (), (1, 4), 0.5, 2.0),
        Row(tmp_path / "2.mp4", "2.mp4", (), (1, 4), 2.0, None),
    ]


def test_jsonl(tmp_path):
    records = [
        {"file": "a.mp4", "captions": ["one", "two"], "label": [5, 7]},
        {"path": "b.mp4", "caption": "three", "label": 2, "start": 1},
    ]
    table = write(tmp_path / "a.jsonl", "\n\n".join(map(json.dumps, records)))
    assert read_manifest(table) == [
        Row(tmp_path / "a.mp4", "a.mp4", ("one", "two"), (5, 7)),
        Row(tmp_path / "b.mp4", "b.mp4", ("three",), (2,), 1.0),
    ]


def test_table_with_other_columns(tmp_path, video_folder):
    table = write(tmp_path / "a.csv", "path,label,views\na.mp4,3,12\n")
    row = Row(tmp_path / "a.mp4", "a.mp4", (), (3,))
    assert read_table(table) == [(row, {"path": "a.mp4", "label": "3", "views": "12"})]
    (tmp_path / "b.mp4").touch()
    table.unlink()
    assert read_table(tmp_path) == [(Row(tmp_path / "b.mp4", "b.mp4"), {})]


def test_what_is_written_is_read_again(tmp_path):
    rows = [
        Row(tmp_path / "a b/1.mp4", "a b/1.mp4", ("ein Käfer", "two"), (1, 4), 0.5, 2.0),
        Row(tmp_path / "2.mp4", "2.mp4"),
    ]
    record = {"file": "old.mp4", "caption": "old", "views": "12", None: ["left over"]}
    write_table(tmp_path / "out.jsonl", [(row, record) for row in rows])
    assert read_manifest(tmp_path / "out.jsonl") == rows
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert lines[1] == {"path": "2.mp4", "views": "12"}
    elsewhere = tmp_path / "b" / "out.jsonl"
    elsewhere.parent.mkdir()
    write_table(elsewhere, [(row, {}) for row in rows])
    assert read_manifest(elsewhere, root=tmp_path) == rows


def test_root(tmp_path):
    videos = tmp_path / "videos"
    table = write(tmp_path / "a.csv", f"path\na.mp4\n{videos}/b/../c.mp4\n")
    rows = read_manifest(table, root=videos)
    assert [(row.path, row.name) for row in rows] == [
        (videos / "a.mp4", "a.mp4"),
        (videos / "c.mp4", "c.mp4"),
    ]
    assert len(read_manifest(write(tmp_path / "b.csv", "path\n/etc/x.mp4\n"), root="/")) == 1


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("path\n../a.mp4", "line 2: .*outside the folder"),
        ("path\n/etc/passwd", "line 2: .*outside the folder"),
        ("name,caption\na.mp4,x", "line 2: .*the columns are name, caption"),
        ("path\na.mp4\na.mp4", "line 3: a.mp4 .* listed twice"),
        ("path,label\na.mp4,cat", "line 2: label must be integers, received 'cat'"),
        ("path,label\na.mp4,-1", "line 2: label must not be negative"),
        ("path,start\na.mp4,now", "line 2: start must be seconds, received 'now'"),
        ("path,end\na.mp4,nan", "line 2: end must be seconds"),
        ("path,start,end\na.mp4,2,1", "line 2: end must be after start"),
        ("path", "lists no clip"),
    ],
)
def test_bad_tables(tmp_path, lines, message):
    with pytest.raises(ValueError, match=message):
        read_manifest(write(tmp_path / "a.csv", lines))


def test_bad_paths(tmp_path):
    with pytest.raises(ValueError, match="no video or image"):
        read_manifest(tmp_path)
    with pytest.raises(ValueError, match="no such file"):
        read_manifest(tmp_path / "a.csv")
    with pytest.raises(ValueError, match="expected a folder"):
        read_manifest(write(tmp_path / "a.txt", ""))
    with pytest.raises(ValueError, match="line 1: not JSON"):
        read_manifest(write(tmp_path / "a.jsonl", "{"))
    (tmp_path / "b.csv").write_bytes(b"path\n\xff.mp4\n")
    with pytest.raises(ValueError, match="not UTF-8"):
        read_manifest(tmp_path / "b.csv")
