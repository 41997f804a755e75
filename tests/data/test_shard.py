import os
import subprocess
import sys
from pathlib import Path

import pytest

from keras_videoprism.data.decode import Decoders
from keras_videoprism.data.manifest import read_manifest
from keras_videoprism.data.shard import Job, read_receipt, write_shard
from keras_videoprism.data.write import write_records

OPTIONS = {"fps": None, "num_frames": 2, "short_side": None, "require_caption": False}


def job(folder: Path) -> Job:
    return Job(str(folder), "demo", 1, OPTIONS, 60.0)


def test_receipt_tells_what_was_made(video_folder, tmp_path):
    rows = read_manifest(video_folder)
    rows[1] = rows[1]._replace(path=tmp_path / "missing.mp4")
    with Decoders(1) as decoders:
        receipt = write_shard(job(tmp_path), 0, rows, decoders)
        fingerprint, stored = read_receipt(job(tmp_path), 0)
        assert receipt.written == stored.written == [0, 2, 3, 4, 5]
        assert "No such file" in receipt.skipped[0][1] and len(fingerprint) == 64
        made = (tmp_path / job(tmp_path).shard(0)).stat().st_mtime_ns
        write_shard(job(tmp_path), 0, rows, decoders)
        assert (tmp_path / job(tmp_path).shard(0)).stat().st_mtime_ns == made
        write_shard(job(tmp_path), 0, rows[:3], decoders)
        assert read_receipt(job(tmp_path), 0)[0] != fingerprint


LIMITED = """
import resource, signal, sys
from keras_videoprism.__main__ import main

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
sys.exit(main(["write-records", *sys.argv[1:], "--shards", "2"]))
"""


def run_limited(*arguments) -> subprocess.CompletedProcess[str]:
    """`write-records` where a file can have 20 kB: a full disk that needs no rights to make."""
    return subprocess.run(
        [sys.executable, "-c", LIMITED, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )


def test_a_full_disk_ends_the_job_and_leaves_no_shard(video_folder, tmp_path):
    failed = run_limited(video_folder, tmp_path / "out")
    assert failed.returncode == 2, failed.stderr
    assert "cannot be written" in failed.stderr and "Traceback" not in failed.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == []
    write_records(read_manifest(video_folder), tmp_path / "out", num_shards=2)
    write_records(read_manifest(video_folder), tmp_path / "whole", num_shards=2)
    for path in (tmp_path / "whole").iterdir():
        assert path.read_bytes() == (tmp_path / "out" / path.name).read_bytes()


def test_a_full_file_system(video_folder, tmp_path):
    """The same on a real one of 64 kB, where this user may mount it."""
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(small)]
    try:
        mounted = subprocess.run(mount, capture_output=True)
    except FileNotFoundError:
        pytest.skip("no `mount` here")
    if mounted.returncode:
        pytest.skip("this user may not mount a file system")
    try:
        with pytest.raises(OSError, match="cannot be written"):
            write_records(read_manifest(video_folder), small / "out", num_shards=2)
        left = {path.name for path in (small / "out").iterdir()}
        assert all(name.replace(".tfrecord", ".json") in left for name in left)
        assert "dataset.json" not in left
    finally:
        subprocess.run(["umount", str(small)], check=True)
