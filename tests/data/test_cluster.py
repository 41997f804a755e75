import pytest

from keras_videoprism.data.manifest import read_manifest
from keras_videoprism.data.write import write_records

pytest.importorskip("apache_beam")

OTHER_PROCESS = ["--direct_running_mode=multi_processing", "--direct_num_workers=1"]


def contents(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("options", [[], OTHER_PROCESS])
def test_beam_writes_the_same_bytes(video_folder, tmp_path, options):
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    rows = read_manifest(video_folder)
    rows.insert(2, rows[0]._replace(path=tmp_path / "bad.mp4", name="bad.mp4"))
    here = write_records(rows, tmp_path / "here", num_shards=3, num_frames=3)
    steps = []
    there = write_records(
        rows,
        tmp_path / "there",
        num_shards=3,
        num_frames=3,
        beam_options=options,
        progress=lambda *done: steps.append(done),
    )
    assert here == there and there.written == 6 and there.skipped[0][0] == "bad.mp4"
    assert contents(tmp_path / "here") == contents(tmp_path / "there") and steps[-1] == (7, 7)


def test_beam_keeps_the_shards_of_an_interrupted_call(video_folder, tmp_path):
    rows = read_manifest(video_folder)

    def interrupt(done, total):
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_records(rows, tmp_path / "out", num_shards=3, progress=interrupt)
    first = tmp_path / "out" / "clips-00000-of-00003.tfrecord"
    made = first.stat().st_mtime_ns
    write_records(rows, tmp_path / "out", num_shards=3, beam_options=[])
    write_records(rows, tmp_path / "whole", num_shards=3)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    assert first.stat().st_mtime_ns == made
