"""The command line, called as a user does; long work is replaced by tiny sizes."""

import csv
import json

import numpy as np
import pytest

from keras_videoprism.__main__ import main
from keras_videoprism.models import VideoPrism, VideoPrismLvT
from keras_videoprism.presets import save

TINY = {
    "patch_size": 8,
    "position_shape": (4, 3, 3),
    "hidden_dim": 16,
    "num_spatial_layers": 1,
    "num_temporal_layers": 1,
    "num_heads": 2,
    "mlp_dim": 32,
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("main") / "corpus"
    assert main(["demo-corpus", str(folder), "--clips", "16", "--stills", "8", "--test", "8"]) == 0
    return folder


@pytest.fixture(scope="module")
def records(corpus, tmp_path_factory):
    folder = tmp_path_factory.mktemp("records")
    for source in ("curated", "stills"):
        call = ["write-records", str(corpus / source), str(folder / source), "--short-side", "24"]
        assert main(call) == 0
    return folder


@pytest.fixture(scope="module")
def preset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("preset") / "tiny"
    save(VideoPrism(**TINY), folder)
    return folder


COMMANDS = (
    *("demo-corpus", "write-records", "pretrain", "lit", "probe", "plan", "embed", "classify"),
    *("index", "search", "convert", "publish", "validate-records", "curate", "corpus-report"),
    *("caption", "ask", "evaluate", "list-tasks", "videoglue-report", "demo-localisation"),
)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each_command(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    assert command in capsys.readouterr().out


def test_wrong_call_is_status_2(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["embed"])
    assert stop.value.code == 2
    assert main(["write-records", str(tmp_path), str(tmp_path / "out")]) == 2
    assert str(tmp_path) in capsys.readouterr().err


def test_embed_goes_on_and_lists_what_failed(corpus, preset, tmp_path, capsys):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    good = sorted((corpus / "test").glob("*.mp4"))[:2]
    output = tmp_path / "e.npz"
    files = [str(good[0]), str(broken), str(good[1])]
    assert main(["embed", *files, "--preset", str(preset), "--output", str(output)]) == 1
    with np.load(output, allow_pickle=False) as arrays:
        assert arrays["embeddings"].shape == (2, 16)
        assert list(arrays["files"]) == [files[0], files[2]]
        assert np.abs(arrays["embeddings"][0] - arrays["embeddings"][1]).max() > 0
    assert "broken.mp4" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_index_search_and_classify(corpus, text_tower, tmp_path, capsys):
    save(text_tower, tmp_path / "preset")
    preset, output = ["--preset", str(tmp_path / "preset")], str(tmp_path / "index.npz")
    (tmp_path / "videos").mkdir()
    for file in sorted((corpus / "test").glob("*.mp4"))[:2]:
        (tmp_path / "videos" / file.name).write_bytes(file.read_bytes())
    (tmp_path / "videos" / "broken.mp4").write_bytes(b"no video")
    call = ["index", str(tmp_path / "videos"), "--output", output, "--window", "1", *preset]
    assert main(call) == 1
    printed = capsys.readouterr()
    assert "4 windows of 2 files" in printed.out and "broken.mp4" in printed.err
    assert main(["search", output, "a red star", "--top", "3", *preset]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and all("0.0-1.0 s" in line or "1.0-2.0 s" in line for line in lines)
    assert main(["search", output, *preset]) == 2
    assert "either a sentence or --video" in capsys.readouterr().err
    files = sorted((tmp_path / "videos").glob("test*.mp4"))
    call = ["classify", *map(str, files), "--classes", "red", "blue", "--top", "1", *preset]
    assert main(call) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert main(["classify", str(files[0]), *preset]) == 2
    assert "--classes-file" in capsys.readouterr().err


def test_validate_records(records, capsys):
    assert main(["validate-records", str(records / "curated"), "--num-classes", "30"]) == 0
    assert "8 records, 0 anomalies." in capsys.readouterr().out
    assert main(["validate-records", str(records / "curated"), "--num-classes", "1"]) == 1
    assert "are not all in 0 to 0" in capsys.readouterr().err


def test_convert(preset, tmp_path, capsys):
    assert main(["convert", str(preset), str(tmp_path / "out"), "--to", "transformers"]) == 0
    assert "largest difference" in capsys.readouterr().out
    assert (tmp_path / "out" / "model.safetensors").is_file()
    assert main(["convert", str(preset), str(tmp_path / "out")]) == 2
    assert "exists" in capsys.readouterr().err


def test_pretrain_both_stages_and_probe(corpus, records, tmp_path, capsys):
    from keras_videoprism.data import read_manifest, train_tokenizer

    texts = [row.captions[0] for row in read_manifest(corpus / "curated")]
    train_tokenizer(texts, 60, tmp_path / "vocabulary.spm")
    shape = VideoPrismLvT(**TINY, num_auxiliary_layers=0, vocabulary_size=60, num_text_layers=1)
    save(shape, tmp_path / "shape")
    save(VideoPrism(**TINY), tmp_path / "student")
    sizes = ["--steps", "2", "--batch-size", "4", "--image-size", "24"]
    folders = [str(records / "curated"), str(records / "stills")]
    stage1 = ["pretrain", "1", *folders, "--frames", "4", "1", "--preset", str(tmp_path / "shape")]
    stage1 += ["--tokenizer", str(tmp_path / "vocabulary.spm"), "--micro-batches", "2"]
    stage1 += ["--contrast", "sigmoid"]
    assert main([*stage1, "--output", str(tmp_path / "stage1"), *sizes]) == 0
    stage2 = ["pretrain", "2", folders[0], "--frames", "4", "--preset", str(tmp_path / "student")]
    stage2 += ["--teacher", str(tmp_path / "stage1"), "--no-global", "--mask", "tube"]
    assert main([*stage2, "--output", str(tmp_path / "stage2"), *sizes]) == 0
    curves = json.loads((tmp_path / "stage2" / "curves.json").read_text())
    assert np.isfinite(curves["token_loss"]).all() and "global_loss" not in curves
    run = json.loads((tmp_path / "stage2.run" / "run.json").read_text())
    assert run["arguments"]["steps"] == 2 and run["arguments"]["batch_size"] == 4
    assert run["arguments"]["mask"] == "tube" and "shuffle" not in run["arguments"]
    with (tmp_path / "stage1.run" / "steps.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["step"] == "2" and np.isfinite(float(row["clips_per_second"]))
    seen = [float(row[f"loss/{name}"] or "nan") for name in ("curated", "stills")]
    assert np.isfinite(seen).any()
    assert float(row["logit_bias"]) != -10.0
    probe = ["probe", folders[0], folders[0], "--preset", str(tmp_path / "stage2")]
    assert main([*probe, "--num-classes", "30", "--multi-label", "--epochs", "1"]) == 0
    assert "mean average precision" in capsys.readouterr().out
    wrong = [*stage2, "--output", str(tmp_path / "out"), *sizes, "--contrast", "sigmoid"]
    assert main(wrong) == 2
    assert "stage 2 has no ['contrast']" in capsys.readouterr().err
    again = [*stage2, "--output", str(tmp_path / "stage2"), *sizes]
    assert main(again) == 2  # never overwrites


def test_pretrain_needs_a_teacher(records, preset, tmp_path, capsys):
    call = ["pretrain", "2", str(records / "curated"), "--preset", str(preset), "--steps", "1"]
    assert main([*call, "--output", str(tmp_path / "out")]) == 2
    assert "teacher" in capsys.readouterr().err
