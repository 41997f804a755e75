"""Uploads go to a server on loopback that answers as Kaggle's does."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from kagglesdk import kaggle_env

from keras_videoprism import presets
from keras_videoprism.__main__ import main
from keras_videoprism.commands.publish import publish

ADDRESS = "kaggle://someone/videoprism/keras/tiny"
CLAIMS = {"licence": "apache-2.0", "training_data": "Clips of squares."}


@pytest.fixture
def folder(text_tower, tmp_path):
    presets.save(text_tower, tmp_path / "preset")
    return tmp_path / "preset"


class Kaggle(BaseHTTPRequestHandler):
    """The four calls of an upload of a new model."""

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        call = self.path.rsplit("/", 1)[-1]
        self.server.calls.append((call, body))
        if call == "GetModel":
            return self._answer(404, {"code": 404, "message": "Not found"})
        if call == "StartBlobUpload":
            port, name = self.server.server_address[1], body["name"]
            url = f"http://127.0.0.1:{port}/blob/{name}"
            return self._answer(200, {"token": f"token-{name}", "createUrl": url})
        return self._answer(200, {"id": 1, "url": "", "error": ""})

    def do_PUT(self):
        content = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.files[self.path.rsplit("/", 1)[-1]] = content
        self._answer(200, {})

    def _answer(self, status, content):
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def kaggle(monkeypatch):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Kaggle)
    server.calls, server.files = [], {}
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_address[1]}"
    everywhere = dict.fromkeys(kaggle_env.KaggleEnv, address)
    monkeypatch.setattr(kaggle_env, "_env_to_endpoint", everywhere)
    monkeypatch.setenv("KAGGLE_USERNAME", "someone")
    monkeypatch.setenv("KAGGLE_KEY", "secret")
    yield server
    server.shutdown()
    server.server_close()


def test_upload(folder, kaggle):
    card = publish(folder, ADDRESS, metrics={"recall@1": 0.4}, **CLAIMS)
    for file in folder.rglob("*"):
        if file.is_file():
            assert kaggle.files[file.name] == file.read_bytes(), file
    assert kaggle.files["README.md"].decode() == card
    calls = dict(kaggle.calls)
    assert calls["CreateModel"]["slug"] == "videoprism"
    body = calls["CreateModelInstance"]["body"]
    assert body["instanceSlug"] == "tiny" and body["licenseName"] == "Apache 2.0"
    (assets,) = body["directories"]
    assert assets["name"] == "assets"


def test_card(folder):
    card = publish(folder, ADDRESS, metrics={"recall@1": 0.4}, dry_run=True, **CLAIMS)
    assert (folder / "README.md").read_text() == card
    for part in (
        'license: "apache-2.0"',
        "VideoPrismLvT",
        f'from_preset("{ADDRESS}")',
        "Clips of squares.",
        "| hidden_dim | 16 |",
        "- recall@1: 0.4",
    ):
        assert part in card


def test_what_is_refused(folder, kaggle, tmp_path):
    for claims in ({**CLAIMS, "licence": ""}, {**CLAIMS, "training_data": " "}):
        with pytest.raises(ValueError, match="needs a licence"):
            publish(folder, ADDRESS, **claims)
    for address in ("someone/model", "kaggle://someone/model", "hf://../x/y"):
        with pytest.raises(ValueError, match="address must be"):
            publish(folder, address, **CLAIMS)
    with pytest.raises(ValueError, match="is no folder"):
        publish(tmp_path / "missing", ADDRESS, **CLAIMS)
    (folder / "model.weights.h5").write_bytes(b"broken")
    with pytest.raises((ValueError, OSError)):
        publish(folder, ADDRESS, **CLAIMS)
    assert not kaggle.calls and not (folder / "README.md").exists()


def test_command(folder, capsys):
    arguments = ["publish", str(folder), ADDRESS, "--dry-run", "--licence", "mit"]
    assert main(arguments) == 2
    assert "needs a licence and a sentence" in capsys.readouterr().err
    assert main([*arguments, "--training-data", "Squares."]) == 0
    assert 'license: "mit"' in capsys.readouterr().out
