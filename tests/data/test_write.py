import json

import pytest
import tensorflow as tf

from keras_videoprism.data import remote
from keras_videoprism.data.index import open_records
from keras_videoprism.data.manifest import read_manifest
from keras_videoprism.data.schema import parse_clip, parse_record
from keras_videoprism.data.write import write_records


def records(folder) -> list[bytes]:
    shards = [str(path) for path in sorted(folder.glob("*.tfrecord"))]
    return [record.numpy() for record in tf.data.TFRecordDataset(shards)]


def test_writes_shards_and_summary(video_folder, tmp_path):
    steps = []
    report = write_records(
        read_manifest(video_folder),
        tmp_path / "out",
        num_shards=4,
        num_frames=5,
        short_side=24,
        source="demo",
        progress=lambda done, total: steps.append((done, total)),
    )
    assert report == (6, []) and steps == [(done, 6) for done in range(1, 7)]
    names = [f"demo-{index:05d}-of-00004.tfrecord" for index in range(4)]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["dataset.json", *names]
    summary = json.loads((tmp_path / "out" / "dataset.json").read_text())
    assert [shard["num_clips"] for shard in summary["shards"]] == [2, 2, 1, 1]
    counts = [summary[key] for key in ("num_clips", "num_captioned", "num_labelled", "num_classes")]
    assert counts == [6, 6, 6, 3]
    for record in records(tmp_path / "out"):
        parse_record(record)
        clip = parse_clip(record)
        assert clip["frames"].shape == (5,) and (int(clip["height"]), int(clip["width"])) == (
            24,
            32,
        )


def test_bad_clips_are_skipped_and_listed(video_folder, tmp_path):
    (tmp_path / "good.mp4").write_bytes((video_folder / "red_left.mp4").read_bytes())
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    table = "path,caption\ngood.mp4,a\nbad.mp4,b\nmissing.mp4,c\n./good.mp4,\n"
    (tmp_path / "a.csv").write_text(table.replace("./good.mp4,", "other.mp4,"))
    (tmp_path / "other.mp4").write_bytes((video_folder / "red_left.mp4").read_bytes())
    report = write_records(read_manifest(tmp_path / "a.csv"), tmp_path / "o", require_caption=True)
    assert report.written == 1
    assert [file for file, _ in report.skipped] == ["bad.mp4", "missing.mp4", "other.mp4"]
    reasons = [reason for _, reason in report.skipped]
    assert "cannot be read" in reasons[0] and "No such file" in reasons[1]
    assert reasons[2] == "no caption"
    summary = json.loads((tmp_path / "o" / "dataset.json").read_text())
    assert len(summary["skipped"]) == 3
    rows = [row for row in read_manifest(tmp_path / "a.csv") if row.name != "good.mp4"]
    assert summary["skipped_ids"] == [row.clip_id for row in rows]


def test_the_same_input_gives_the_same_bytes(video_folder, tmp_path):
    for name in ("a", "b"):
        write_records(read_manifest(video_folder), tmp_path / name, num_frames=3)
    assert records(tmp_path / "a") == records(tmp_path / "b")


def test_parts_of_a_video(video_folder, tmp_path):
    table = tmp_path / "a.csv"
    table.write_text("path,start,end\nred_left.mp4,0,0.5\nred_left.mp4,0.5,1.5\n")
    rows = read_manifest(table, root=video_folder)
    write_records(rows, tmp_path / "out", num_shards=1)
    first, second = map(parse_clip, records(tmp_path / "out"))
    assert first["timestamps"].numpy().tolist() == [0.0, 0.125, 0.25, 0.375]
    assert second["timestamps"].numpy().tolist()[0] == 0.5
    assert first["clip_id"] != second["clip_id"]


def test_prompts_without_captions_are_refused(video_folder, tmp_path):
    rows = read_manifest(video_folder)
    rows[2] = rows[2]._replace(prompts=("a?", "b?"))
    with pytest.raises(ValueError, match=f"{rows[2].name}: 2 prompts but 1 captions"):
        write_records(rows, tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_refusals_leave_nothing_behind(video_folder, tmp_path):
    rows = read_manifest(video_folder)
    missing = [row._replace(path=tmp_path / "no.mp4") for row in rows]
    with pytest.raises(ValueError, match="none of 6 clips could be written; .*No such file"):
        write_records(missing, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())
    with pytest.raises(ValueError, match="there is no clip"):
        write_records([], tmp_path / "out")
    with pytest.raises(ValueError, match="source must be"):
        write_records(rows, tmp_path / "out", source="../x")
    with pytest.raises(ValueError, match="num_shards"):
        write_records(rows, tmp_path / "out", num_shards=0)
    write_records(rows[:1], tmp_path / "out")
    with pytest.raises(ValueError, match="holds a data set already"):
        write_records(rows, tmp_path / "out")


def write_and_interrupt(rows, folder):
    """Ends in the second of three shards."""

    def interrupt(done, total):
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_records(rows, folder, num_shards=3, progress=interrupt)


def test_an_interrupted_call_goes_on(video_folder, tmp_path):
    """Shards that are whole are not made again, and all bytes are those of one call."""
    rows = read_manifest(video_folder)
    write_and_interrupt(rows, tmp_path / "out")
    first = tmp_path / "out" / "clips-00000-of-00003.tfrecord"
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {first.name, first.with_suffix(".json").name}
    made = first.stat().st_mtime_ns
    # A killed process leaves its temporary file.
    (tmp_path / "out" / ".clips-00001-of-00003.tfrecord.1.tmp").write_bytes(b"half")
    write_records(rows, tmp_path / "out", num_shards=3)
    write_records(rows, tmp_path / "whole", num_shards=3)
    assert first.stat().st_mtime_ns == made
    whole = {path.name: path.read_bytes() for path in (tmp_path / "whole").iterdir()}
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == whole


def test_other_options_make_shards_again(video_folder, tmp_path):
    rows = read_manifest(video_folder)
    write_and_interrupt(rows, tmp_path / "out")
    write_records(rows, tmp_path / "out", num_shards=3, num_frames=2)
    assert all(parse_clip(record)["frames"].shape == (2,) for record in records(tmp_path / "out"))


def test_a_shard_without_clips_is_left_out(video_folder, tmp_path):
    good = (video_folder / "red_left.mp4").read_bytes()
    for index in range(4):
        (tmp_path / f"{index}.mp4").write_bytes(good if index % 2 else b"")
    report = write_records(read_manifest(tmp_path), tmp_path / "out", num_shards=2)
    assert report.written == 2 and [name for name, _ in report.skipped] == ["0.mp4", "2.mp4"]
    assert len(open_records(tmp_path / "out").offsets) == 2
    assert len(list((tmp_path / "out").glob("*.tfrecord"))) == 1


def test_a_corpus_on_a_server_gives_the_same_records(video_folder, s3, tmp_path):
    """Manifest, videos and record folder are remote; a file that is missing there is listed."""
    for file in video_folder.iterdir():
        remote.upload(file, f"{s3}/{tmp_path.name}/videos/{file.name}")
    remote.remove(f"{s3}/{tmp_path.name}/videos/red_left.mp4")
    output = f"{s3}/{tmp_path.name}/out"
    rows = read_manifest(f"{s3}/{tmp_path.name}/videos")
    report = write_records(rows, output, num_shards=2, num_frames=2)
    assert report.written == 5
    ((name, reason),) = report.skipped
    assert name == "red_left.mp4" and "no such file" in reason
    local_rows = read_manifest(video_folder)
    local_rows[0] = local_rows[0]._replace(path=tmp_path / "missing.mp4")
    write_records(local_rows, tmp_path / "out", num_shards=2, num_frames=2)
    shards = sorted(path.name for path in (tmp_path / "out").glob("*.tfrecord"))
    assert remote.list_files(output) == sorted([*shards, "dataset.json"])
    for shard in shards:
        content = (tmp_path / "out" / shard).read_bytes()
        assert remote.size(f"{output}/{shard}") == len(content)
        assert remote.read_range(f"{output}/{shard}", 0, len(content)) == content
    with pytest.raises(ValueError, match=f"{output} holds a data set already"):
        write_records(rows, output)
