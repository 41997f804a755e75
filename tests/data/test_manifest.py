import json
import os
from pathlib import Path

import pytest

from keras_videoprism.data import remote
from keras_videoprism.data.manifest import Row, list_videos, read_manifest, read_table, write_table
from keras_videoprism.data.schema import stable_clip_id


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
    assert list_videos(tmp_path) == [str(tmp_path / name) for name in ("b/a.png", "z.MP4")]
    for folder in (tmp_path / "missing", tmp_path / "b" / "empty"):
        with pytest.raises(ValueError, match="no video or image in this folder"):
            list_videos(folder)


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
        ("path,end\na.mp4,1e999", "line 2: end must be seconds"),
        ("path,start,end\na.mp4,2,2", "line 2: end must be after start"),
        ("path,start\na.mp4,-0.1", "line 2: start must be seconds from the first frame"),
        ("path,start\na.mp4,1\na.mp4,1.0000001", "line 3: a.mp4 .* listed twice"),
        ("path,start\na.mp4,\nb/../a.mp4,", "line 3: a.mp4 .* listed twice"),
        ("path,label\na.mp4,2147483648", "line 2: label must not be negative or above"),
        ("path,caption\na.mp4,one, two", "line 2: more values than columns"),
        ('path,caption\na.mp4,"one\nb.mp4,two', "line 2: unexpected end of data"),
        ('path,caption\na.mp4,"one" two', "line 2: .*expected after"),
        ("path,caption\na.mp4," + 10**6 * "x", "line 2: field larger than field limit"),
        ("path\na\0.mp4", "line 2: path holds a zero byte"),
        ("path\ns3://b/a.mp4", "line 2: the path 's3://b/a.mp4' is outside the folder"),
        ("path\nfile:///etc/passwd", "line 2: .*outside the folder"),
        ("path", "lists no clip"),
    ],
)
def test_bad_tables(tmp_path, lines, message):
    with pytest.raises(ValueError, match=message):
        read_manifest(write(tmp_path / "a.csv", lines))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "not JSON"),
        ("[1]", "not a JSON object"),
        (10**5 * "[", "not JSON"),
        ('{"path": ["a.mp4"]}', "path must be text"),
        ('{"path": "\\udcff.mp4"}', "path is not Unicode text"),
        ('{"path": "a.mp4", "caption": "\\ud83d"}', "caption is not Unicode text"),
        ('{"path": "a.mp4", "captions": ["one", 2]}', "caption must be text, received 2"),
        ('{"path": "a.mp4", "captions": "one"}', "captions must be a list"),
        (json.dumps({"path": "a.mp4", "caption": 10**6 * "x"}), "caption has 1000000 characters"),
        ('{"path": "a.mp4", "end": 1' + 400 * "0" + "}", "end must be seconds"),
        ('{"path": "a.mp4", "start": NaN}', "start must be seconds"),
        ('{"path": "a.mp4", "label": [1.5]}', "label must be integers"),
    ],
)
def test_bad_lines(tmp_path, line, message):
    table = write(tmp_path / "a.jsonl", f'{{"path": "good.mp4"}}\n{line}\n')
    with pytest.raises(ValueError, match=f"a.jsonl, line 2: {message}"):
        read_manifest(table)


def test_long_captions(tmp_path):
    caption = 2**17 * "x"
    for name, text in (
        ("a.csv", f"path,caption\na.mp4,{caption}\n"),
        ("a.jsonl", json.dumps({"path": "a.mp4", "caption": caption})),
    ):
        assert read_manifest(write(tmp_path / name, text))[0].captions == (caption,)


def test_byte_order_marks_quotes_and_line_ends(tmp_path):
    text = '\ufeffpath,caption\r\n"a, b.mp4","say ""hi"",\ntwice"\r\n\r\nc.mp4,5" wide\r\n'
    (tmp_path / "a.csv").write_bytes(text.encode())
    assert [(row.name, row.captions) for row in read_manifest(tmp_path / "a.csv")] == [
        ("a, b.mp4", ('say "hi",\ntwice',)),
        ("c.mp4", ('5" wide',)),
    ]
    (tmp_path / "a.jsonl").write_bytes('\ufeff{"path": "a.mp4"}\r\n{"path": "b.mp4"}'.encode())
    assert [row.name for row in read_manifest(tmp_path / "a.jsonl")] == ["a.mp4", "b.mp4"]


def test_names_in_all_scripts(tmp_path):
    names = sorted(["видео.mp4", "動画 1.mp4", "two\nlines.mp4", "e\u0301.mp4", "\u00e9.mp4"])
    for name in names:
        write(tmp_path / name, "")
    assert [row.name for row in read_manifest(tmp_path)] == names
    lines = [json.dumps({"path": name}) for name in names]
    assert read_manifest(write(tmp_path / "a.jsonl", "\n".join(lines))) == read_manifest(tmp_path)
    quoted = "".join(f'"{name}"\n' for name in names)
    assert read_manifest(write(tmp_path / "a.csv", f"path\n{quoted}")) == read_manifest(tmp_path)


def test_a_name_that_is_no_text(tmp_path):
    with open(os.fsencode(tmp_path) + b"/\xff.mp4", "w"):
        pass
    with pytest.raises(ValueError, match="path is not Unicode text: .*udcff.mp4"):
        read_manifest(tmp_path)


def test_links(tmp_path):
    """A link within the folder is a clip, even a broken one; no folder is entered by a link."""
    folder = tmp_path / "in"
    (folder / "b").mkdir(parents=True)
    write(folder / "b" / "a.mp4", "")
    (folder / "b" / "again").symlink_to(folder)
    (folder / "folder.mp4").mkdir()
    (folder / "link.mp4").symlink_to("b/a.mp4")
    (folder / "broken.mp4").symlink_to("nothing")
    (folder / "self.mp4").symlink_to("self.mp4")
    names = ["b/a.mp4", "broken.mp4", "link.mp4", "self.mp4"]
    assert [row.name for row in read_manifest(folder)] == names
    write(tmp_path / "secret.mp4", "")
    (folder / "out.mp4").symlink_to("../secret.mp4")
    with pytest.raises(ValueError, match="out.mp4 is a link out of the folder .*pass `root`"):
        read_manifest(folder)
    assert len(read_manifest(folder, root=tmp_path)) == 5


@pytest.fixture
def remote_folder(s3, tmp_path):
    """A folder on the server with two files, and another beside it."""
    for name in ("in/a.mp4", "in/b/ä.mp4", "in/notes.txt", "in/.c.mp4", "in2/d.mp4"):
        remote.upload(write(tmp_path / "file", name), f"{s3}/{tmp_path.name}/{name}")
    return f"{s3}/{tmp_path.name}/in"


def upload(tmp_path, text, path):
    remote.upload(write(tmp_path / "file", text), path)
    return path


def test_remote_folder(remote_folder, tmp_path):
    rows = [Row(f"{remote_folder}/{name}", name) for name in ("a.mp4", "b/ä.mp4")]
    assert read_manifest(remote_folder) == read_manifest(f"{remote_folder}/") == rows
    above = remote_folder.rpartition("/")[0]
    names = [row.name for row in read_manifest(remote_folder, root=above)]
    assert names == ["in/a.mp4", "in/b/ä.mp4"]
    upload(tmp_path, "path,caption\na.mp4,one", f"{remote_folder}/captions.csv")
    assert read_manifest(remote_folder) == [rows[0]._replace(captions=("one",))]


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_remote_table(remote_folder, tmp_path, suffix):
    paths = ["b/../a.mp4", f"{remote_folder}/b/./ä.mp4"]
    lines = ["path", *paths] if suffix == "csv" else [json.dumps({"path": path}) for path in paths]
    text = "\n".join(lines)
    rows = [Row(f"{remote_folder}/{name}", name) for name in ("a.mp4", "b/ä.mp4")]
    assert read_manifest(upload(tmp_path, text, f"{remote_folder}/t.{suffix}")) == rows
    assert read_manifest(write(tmp_path / f"t.{suffix}", text), root=remote_folder) == rows


@pytest.mark.parametrize(
    "path",
    [
        "../in2/d.mp4",
        "b/../../in2/d.mp4",
        "{root}2/d.mp4",
        "{root}/../in2/d.mp4",
        "/etc/passwd",
        "file:///etc/passwd",
        "gs://videos/a.mp4",
    ],
)
def test_remote_paths_outside_the_root(remote_folder, tmp_path, path):
    table = upload(tmp_path, f"path\n{path.format(root=remote_folder)}", f"{remote_folder}/t.csv")
    with pytest.raises(ValueError, match=f"{table}, line 2: .* is outside the folder s3://"):
        read_manifest(table)


def test_bad_remote_paths(s3, tmp_path):
    with pytest.raises(ValueError, match=f"{s3}/none/t.csv: no such file"):
        read_manifest(f"{s3}/none/t.csv")
    with pytest.raises(ValueError, match=f"{s3}/none: no video or image"):
        read_manifest(f"{s3}/none")
    with pytest.raises(FileNotFoundError, match="bucket.*s3://no-such-bucket"):
        read_manifest("s3://no-such-bucket/folder")
    with pytest.raises(ValueError, match="pass a remote path as text"):
        read_manifest(write(tmp_path / "a.csv", "path\na.mp4"), root=Path(s3))


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


def test_the_id_of_a_clip_is_that_of_its_record():
    row = Row(Path("videos/a.mp4"), "a.mp4", start=0.5, end=1.0)
    assert row.clip_id == stable_clip_id("a.mp4", 0.5, 1.0)
    assert row._replace(path=Path("elsewhere/a.mp4"), captions=("b",)).clip_id == row.clip_id
    assert row._replace(end=1.5).clip_id != row.clip_id


def test_prompts(tmp_path):
    """They come back from `write_table`, and stay with their captions."""
    record = {"path": "a.mp4", "captions": ["red", "A dog."], "prompts": [" which? ", ""]}
    rows = read_manifest(write(tmp_path / "a.jsonl", json.dumps(record)))
    assert rows[0].captions == ("red", "A dog.") and rows[0].prompts == ("which?", "")
    write_table(tmp_path / "b.jsonl", [(rows[0], record)])
    assert read_manifest(tmp_path / "b.jsonl") == rows


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prompts": ["a?"]}, "1 prompts but 2 captions"),
        ({"captions": ["b", " "]}, "2 prompts but 1 captions"),
        ({"prompts": "a?"}, "prompts must be a list of strings"),
        ({"prompts": ["a?", 2]}, "prompt must be text, received 2"),
    ],
)
def test_prompts_without_captions(tmp_path, change, message):
    record = {"path": "a.mp4", "captions": ["b", "c"], "prompts": ["b?", "c?"], **change}
    with pytest.raises(ValueError, match=f"line 1: .*{message}"):
        read_manifest(write(tmp_path / "a.jsonl", json.dumps(record)))
