"""The S3 server is moto's. What no good server does, a server of a few lines below does."""

import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from keras_videoprism.data import remote

CONTENT = bytes(range(256)) * 20


@pytest.fixture(autouse=True)
def no_waits(monkeypatch):
    monkeypatch.setattr(remote, "WAITS", (0.0, 0.0))


@pytest.fixture
def local(tmp_path):
    path = tmp_path / "local.bin"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture(params=["", "s3", "file://", "memory://"])
def folder(request, tmp_path):
    """A folder that is local, on the S3 server, of TensorFlow, or of a plain fsspec system."""
    if request.param == "s3":
        return f"{request.getfixturevalue('s3')}/{tmp_path.name}"
    return f"{request.param}{tmp_path}" if request.param else tmp_path


class Answers(BaseHTTPRequestHandler):
    """Answers GET with a range of CONTENT; the next `num_broken` times with half of it."""

    num_broken = 0
    num_requests = 0
    pause = 0.0

    def do_HEAD(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.send_header("Accept-Ranges", "bytes")
        self.end_headers()

    def do_GET(self):
        time.sleep(self.pause)
        first, last = map(int, self.headers["Range"].removeprefix("bytes=").split("-"))
        body = CONTENT[first : last + 1]
        self.send_response(206)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        type(self).num_requests += 1
        if self.num_broken:
            type(self).num_broken -= 1
            body = body[: len(body) // 2]
        self.wfile.write(body)
        self.close_connection = True

    def log_message(self, *arguments):
        pass


@pytest.fixture
def answers():
    """(address of a file, the class that answers, with counters of its own)."""
    handler = type("Answers", (Answers,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.handle_error = lambda *arguments: None  # a client that gave up is no news
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/a.bin", handler
    server.shutdown()
    server.server_close()


def test_what_is_remote():
    assert remote.is_remote("s3://b/x") and remote.is_remote("gs://b")
    for path in ("a.mp4", "/a/b.mp4", "C://a", "a:/b", "://a", Path("/a/b")):
        assert not remote.is_remote(path)
    with pytest.raises(ValueError, match="s3:/b/x: pass a remote path as text"):
        remote.is_remote(Path("s3://b/x"))


def test_join():
    assert remote.join("s3://b/x/", "a/b.mp4") == "s3://b/x/a/b.mp4"
    assert remote.join(Path("/x"), "a.mp4") == "/x/a.mp4"


def test_a_file_is_written_read_listed_and_removed(folder, local):
    path = remote.join(folder, "ä b%20#?/c.bin")
    if not remote.is_remote(path):
        Path(path).parent.mkdir()
        local = local.rename(local.with_name("ü")).parent / "ü"
    assert not remote.exists(path)
    remote.upload(local, path)
    assert remote.exists(path) and not remote.exists(path.rpartition("/")[0])
    assert remote.size(path) == len(CONTENT)
    assert remote.read_range(path, 250, 20) == CONTENT[250:270]
    assert remote.read_range(path, len(CONTENT), 0) == b""
    assert "ä b%20#?/c.bin" in remote.list_files(folder)
    remote.remove(path)
    remote.remove(path)
    assert not remote.exists(path)
    with pytest.raises(FileNotFoundError, match="c.bin"):
        remote.read_range(path, 0, 5)


def test_a_new_version_is_seen_at_once(folder, tmp_path):
    (tmp_path / "new").write_text("ä" * 7, encoding="utf-8")
    (tmp_path / "old").write_text("old", encoding="utf-8")
    path = remote.join(folder, "text")
    for name, text in (("old", "old"), ("new", "ä" * 7)):
        remote.upload(tmp_path / name, path)
        assert remote.read_text(path) == text
        assert remote.size(path) == len(text.encode())
        assert "text" in remote.list_files(folder)


def test_what_others_write_is_seen_at_once(s3, local):
    """s3fs keeps what it has listed."""
    import boto3

    folder = f"{s3}/others"
    remote.upload(local, f"{folder}/a")
    assert remote.list_files(folder) == ["a"]
    boto3.client("s3").put_object(Bucket="videos", Key="others/b", Body=b"new")
    assert remote.list_files(folder) == ["a", "b"]
    boto3.client("s3").put_object(Bucket="videos", Key="others/a", Body=b"shorter")
    assert remote.size(f"{folder}/a") == 7


def test_an_upload_that_arrives_in_part_is_an_error(local, tmp_path, monkeypatch):
    def put_half(self, source, path):
        Path(path.removeprefix("file://")).write_bytes(Path(source).read_bytes()[:1000])

    monkeypatch.setattr(remote._TensorFlowFiles, "put_file", put_half)
    with pytest.raises(OSError, match=f"1000 bytes arrived of {len(CONTENT)}.*copy"):
        remote.upload(local, f"file://{tmp_path}/copy")


def test_an_open_file_reads_and_seeks(folder, local):
    path = remote.join(folder, "file")
    remote.upload(local, path)
    with remote.open_binary(path, block_size=100) as file:
        assert file.read(3) == CONTENT[:3]
        assert file.seek(-6, 2) == len(CONTENT) - 6 and file.read(10) == CONTENT[-6:]
        assert file.seek(250) == 250 and file.seek(5, 1) == 255
        assert file.read(300) == CONTENT[255:555] and file.tell() == 555
        assert file.seek(10**6) == 10**6 and file.read(5) == b""
        with pytest.raises((OSError, ValueError)):
            file.seek(-1)


def test_only_what_is_asked_for_is_fetched(answers):
    path, handler = answers
    with remote.open_binary(path, block_size=512) as file:
        for position in (0, 100, 400, 3000):
            file.seek(position)
            assert file.read(16) == CONTENT[position : position + 16]
    assert handler.num_requests == 2  # of bytes 0 to 511 and 3000 to 3511


def test_a_folder_lists_no_sibling(s3, local):
    for name in ("one/a.bin", "one_more/b.bin"):
        remote.upload(local, f"{s3}/lists/{name}")
    assert (
        remote.list_files(f"{s3}/lists/one") == remote.list_files(f"{s3}/lists/one/") == ["a.bin"]
    )
    assert remote.list_files(f"{s3}/lists") == ["one/a.bin", "one_more/b.bin"]


@pytest.mark.parametrize("scheme", ["s3://no-such-bucket", "file:///no-such-folder"])
def test_missing_buckets_are_named(s3, scheme):
    path = f"{scheme}/a.bin"
    for read in (remote.size, remote.read_text, remote.open_binary):
        with pytest.raises(FileNotFoundError, match=f"no such file, folder or bucket.*{path}"):
            read(path)
    assert not remote.exists(path)


def test_an_upload_to_no_bucket_is_an_error(s3, local):
    with pytest.raises(FileNotFoundError, match="bucket.*s3://no-such-bucket/a.bin"):
        remote.upload(local, "s3://no-such-bucket/a.bin")


def test_a_broken_answer_is_asked_for_again(answers):
    path, handler = answers
    handler.num_broken = 2
    assert remote.read_range(path, 100, 1000) == CONTENT[100:1100]
    assert handler.num_requests == 3


def test_answers_that_always_break_are_an_error(answers):
    path, handler = answers
    handler.num_broken = 100
    with pytest.raises(OSError, match="failed 3 times, at last with: .*a.bin"):
        remote.read_range(path, 100, 1000)
    assert handler.num_requests == 3
    with remote.open_binary(path) as file, pytest.raises(OSError, match="failed 3 times"):
        file.read(10)


def test_a_server_that_hangs_is_an_error(answers, monkeypatch):
    path, handler = answers
    handler.pause = 2.0
    monkeypatch.setattr(remote, "TIME_LIMIT", 0.2)
    start = time.monotonic()
    with pytest.raises(OSError, match="failed 3 times.*Timeout.*a.bin"):
        remote.read_range(path, 0, 10)
    assert time.monotonic() - start < 2


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_short_range_is_an_error(scheme, local):
    path = f"{scheme}{local}"
    with pytest.raises(OSError, match=f"6 bytes came of 10; .*{path}"):
        remote.read_range(path, len(CONTENT) - 6, 10)


def test_missing_packages_are_named(monkeypatch):
    with pytest.raises(OSError, match=r"foo.*keras-videoprism\[remote\].*foo://x/a"):
        remote.read_text("foo://x/a")
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(OSError, match=r"fsspec.*keras-videoprism\[remote\].*s3://b/a"):
        remote.size("s3://b/a")


def test_chained_addresses_are_refused():
    with pytest.raises(OSError, match="may not hold `::`"):
        remote.read_text("memory://a::file:///etc/passwd")


@pytest.fixture
def fresh_schemes():
    remote._knows_scheme.cache_clear()
    yield
    remote._knows_scheme.cache_clear()


def test_who_serves_a_scheme(fresh_schemes, monkeypatch):
    assert remote.known_to_tensorflow("/a") and remote.known_to_tensorflow("gs://b/a")
    assert not remote.known_to_tensorflow("s3://b/a")
    monkeypatch.setattr(remote, "find_spec", lambda name: None)
    remote._knows_scheme.cache_clear()
    assert not remote.known_to_tensorflow("gs://b/a")


@pytest.mark.parametrize(("version", "known"), [("2.17.1", True), ("2.18.0", False)])
def test_tensorflow_io_serves_where_it_loads(fresh_schemes, monkeypatch, version, known):
    gfile = SimpleNamespace(get_registered_schemes=lambda: ["s3", "gs"])
    tensorflow = SimpleNamespace(__version__=version, io=SimpleNamespace(gfile=gfile))
    monkeypatch.setattr(remote, "find_spec", lambda name: name)
    monkeypatch.setitem(sys.modules, "tensorflow", tensorflow)
    monkeypatch.setitem(sys.modules, "tensorflow_io", SimpleNamespace())
    assert remote.known_to_tensorflow("s3://b/a") is known
    assert not remote.known_to_tensorflow("sftp://b/a")
