"""The commands `curate` and `corpus-report`, called as a user does."""

import json
import shutil
import sys

import numpy as np
import pytest

from keras_videoprism.__main__ import main
from keras_videoprism.commands.curate import (
    clip_embedder,
    frame_embedder,
    short_side,
    text_embedder,
)
from keras_videoprism.commands.embed import embed
from keras_videoprism.data import read_manifest, read_video
from keras_videoprism.presets import save


@pytest.fixture(scope="module")
def folder(video_folder, tmp_path_factory):
    """Six clips with views, a copy of the first and a damaged file.

    Two clips of a colour are mirror images of each other, and so near-duplicates.
    """
    folder = tmp_path_factory.mktemp("commands") / "videos"
    shutil.copytree(video_folder, folder)
    shutil.copy(folder / "red_left.mp4", folder / "zcopy.mp4")
    (folder / "broken.mp4").write_bytes(b"no video")
    rows = [
        {"path": row.path.name, "caption": row.captions[0], "views": i, "licence": "by"}
        for i, row in enumerate(read_manifest(video_folder))
    ]
    rows += [{"path": name, "views": 9} for name in ("zcopy.mp4", "broken.mp4")]
    (folder / "all.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


@pytest.fixture(scope="module")
def preset(text_tower, tmp_path_factory):
    path = tmp_path_factory.mktemp("preset") / "tiny"
    save(text_tower, path)
    return str(path)


def call(*arguments) -> int:
    return main([str(argument) for argument in arguments])


def test_curate(folder, capsys):
    output = folder / "clean.jsonl"
    limits = ["--min-duration", 1, "--min-short-side", 48, "--min", "views=1"]
    assert call("curate", folder / "all.jsonl", output, *limits) == 1
    printed = capsys.readouterr()
    assert "red_left.mp4\tviews below 1\t0\n" in printed.out
    assert "broken.mp4" in printed.err.splitlines()[-1]
    kept = read_manifest(output)
    assert f"{len(kept)} of 8 clips kept" in printed.out
    assert [row.name for row in kept] == ["red_right.mp4", "green_left.mp4", "blue_left.mp4"]
    assert "green_right.mp4\tnear-duplicate of green_left.mp4, mirrored" in printed.out
    assert "zcopy.mp4\tnear-duplicate of red_right.mp4, mirrored" in printed.out
    assert json.loads(output.read_text().splitlines()[0])["licence"] == "by"


def test_curate_against_a_benchmark_and_with_a_model(
    folder, video_folder, preset, tmp_path, capsys
):
    filters = ["--min-grounding", -1, "--max-static", 1, "--no-talking-heads", "--preset", preset]
    arguments = [folder / "all.jsonl", tmp_path / "clean.jsonl", *filters]
    assert call("curate", *arguments, "--against", video_folder) == 2
    printed = capsys.readouterr()
    assert "zcopy.mp4\tnear-duplicate of benchmark red_left.mp4" in printed.out
    assert "no clip is left" in printed.err and not (tmp_path / "clean.jsonl").exists()
    assert call("curate", *arguments, "--keep-duplicates") == 1
    assert len(read_manifest(tmp_path / "clean.jsonl", root="/")) == 7
    assert "7 of 8 clips kept" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["out.csv"], "must be a .jsonl file"),
        (["out.jsonl", "--min-grounding", "0.0"], "give --preset"),
        (["out.jsonl", "--max", "views"], "COLUMN=NUMBER, received 'views'"),
        (["out.jsonl", "--min", "=3"], "COLUMN=NUMBER, received '=3'"),
    ],
)
def test_wrong_calls(folder, tmp_path, arguments, message, capsys):
    output, *options = arguments
    assert call("curate", folder / "all.jsonl", tmp_path / output, *options) == 2
    assert message in capsys.readouterr().err


def test_corpus_report(folder, preset, tmp_path, capsys):
    pytest.importorskip("cv2")
    pytest.importorskip("matplotlib")
    arguments = [folder / "all.jsonl", tmp_path / "report", "--preset", preset]
    assert call("corpus-report", *arguments) == 1
    printed = capsys.readouterr()
    assert "7 clips described" in printed.out and "broken.mp4" in printed.err
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert -1 <= report["table_8"]["grounding"] <= 1
    assert report["statistics"]["grounding"]["count"] == 6
    assert "<h1>" in (tmp_path / "report" / "report.html").read_text()
    assert call("corpus-report", *arguments[:2], "--wordnet", tmp_path) == 2
    assert "nltk.downloader" in capsys.readouterr().err


def test_clips_are_embedded_as_by_embed(text_tower, video_folder):
    """Frames of 48 x 64 pixels are cropped to the model's aspect, not squeezed."""
    file = sorted(video_folder.glob("*.mp4"))[0]
    expected = embed(text_tower, [file]).embeddings[0]
    found = clip_embedder(text_tower)(read_video(file).frames)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_what_is_asked_of_a_model(text_tower):
    frames = np.random.default_rng(0).integers(0, 255, (6, 30, 40, 3), dtype=np.uint8)
    texts = text_embedder(text_tower)(("a red square", "a " * 5000))
    assert texts.shape == (2, 16)
    np.testing.assert_allclose(
        texts[0], text_tower.encode_text(["a red square"])[0], rtol=0, atol=1e-5
    )
    assert clip_embedder(text_tower)(frames).shape == (16,)
    assert frame_embedder(text_tower)(frames).shape == (4, 16)  # the model takes 4 frames
    assert short_side(text_tower) == short_side(None) == 256  # it takes 24
    with pytest.raises(ValueError, match="received VideoPrism"):
        text_embedder(text_tower.video_encoder)


def test_a_missing_package_is_a_plain_error(video_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "cv2", None)
    arguments = [str(video_folder), str(tmp_path / "a.jsonl"), "--no-talking-heads"]
    assert main(["curate", *arguments]) == 2
    assert 'pip install "keras-videoprism[curation]"' in capsys.readouterr().err
