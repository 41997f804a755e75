"""The examples run as they stand, from a folder of their own."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from keras_videoprism import presets
from keras_videoprism.commands.caption import load_captioner
from keras_videoprism.commands.embed import fit_frames
from keras_videoprism.data import read_manifest, write_records
from keras_videoprism.data.demo_corpus import draw_clip, load_digit_images
from keras_videoprism.models import VideoClassifier, VideoPrismLvT

ROOT = Path(__file__).parents[1]
# `make demo` runs the demo's files: it trains for minutes.
EXAMPLES = {p.stem for p in (ROOT / "examples").glob("*.py") if not p.stem.startswith("demo")}
CALLS = [
    ("finetune_classification", "frozen", VideoClassifier),
    ("finetune_classification", "lora", VideoClassifier),
    ("finetune_retrieval", "full", VideoPrismLvT),
]


OTHERS = {"pretrain_tpu", "pretrain_gpu", "caption_videos"}


def test_every_example_is_called():
    assert {name for name, *_ in CALLS} | OTHERS == EXAMPLES


@pytest.mark.parametrize(("example", "tune", "cls"), CALLS)
def test_example(example: str, tune: str, cls: type, tmp_path: Path):
    result = subprocess.run(
        [sys.executable, str(ROOT / "examples" / f"{example}.py"), "--tune", tune],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    model = presets.from_preset(tmp_path / "finetuned")
    assert isinstance(model, cls)
    encoder = model.encoder if cls is VideoClassifier else model.video_encoder
    shipped = presets.from_preset(
        "videoprism_tiny" if cls is VideoClassifier else "videoprism_lvt_tiny"
    )
    before = getattr(shipped, "video_encoder", shipped).get_weights()
    changed = [(a != b).any() for a, b in zip(encoder.get_weights(), before, strict=True)]
    assert any(changed) == (tune != "frozen")
    if tune == "full":
        assert all(changed)


@pytest.fixture(scope="module")
def records(video_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("examples") / "records"
    write_records(read_manifest(video_folder), folder, short_side=40)
    return folder


def start(example: str, records: Path, folder: Path, *options: str, **environment: str):
    """A process of an example, which trains each stage for one step on four clips."""
    tokenizer = str(ROOT / "tests" / "golden" / "test_spm.model")
    sizes = ["--batch-size", "4", "--steps", "1", "1", "--frames", "2", "--dtype", "float32"]
    call = [str(records), "--tokenizer", tokenizer, "--output", "models", *sizes, *options]
    compile_fast = {"XLA_FLAGS": "--xla_backend_optimization_level=0", "PYTHONPATH": str(ROOT)}
    environment = {k: v for k, v in os.environ.items() if k != "KERAS_BACKEND"} | environment
    return subprocess.Popen(
        [sys.executable, str(ROOT / "examples" / f"{example}.py"), *call],
        cwd=folder,
        env=environment | compile_fast,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def assert_trained(processes: list[subprocess.Popen], folder: Path) -> None:
    for process in processes:
        _, errors = process.communicate(timeout=600)
        assert process.returncode == 0, errors
    towers = presets.from_preset(folder / "models" / "stage1")
    student = presets.from_preset(folder / "models" / "stage2")
    moved = zip(student.get_weights(), towers.video_encoder.get_weights(), strict=True)
    assert any((a != b).any() for a, b in moved)  # after a step from the teacher's weights


def test_pretrain_on_two_hosts(records: Path, tmp_path: Path):
    """Two processes, each with two clips of a batch and half of the variables."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    job = {
        "KERAS_DISTRIBUTION_JOB_ADDRESSES": address,
        "KERAS_DISTRIBUTION_NUM_PROCESSES": "2",
        "JAX_PLATFORMS": "cpu",
    }
    options = ("--preset", "tiny", "--shard", "--hosts")
    processes = [
        start("pretrain_tpu", records, tmp_path, *options, KERAS_DISTRIBUTION_PROCESS_ID=i, **job)
        for i in ("0", "1")
    ]
    assert_trained(processes, tmp_path)


def test_pretrain_on_two_replicas(records: Path, tmp_path: Path):
    options = ("--preset", "videoprism_lvt_tiny", "videoprism_tiny", "--virtual-devices", "2")
    assert_trained([start("pretrain_gpu", records, tmp_path, *options)], tmp_path)


def test_caption_videos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A few steps, and a caption by what it saved."""
    sizes = ["--clips", "4", "--test", "3", "--language-steps", "2", "--steps", "2"]
    call = [sys.executable, str(ROOT / "examples" / "caption_videos.py"), *sizes]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        call, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, result.stderr
    assert "test clips: F1 of kinds and colours 0." in result.stdout
    monkeypatch.chdir(tmp_path)
    captioner = load_captioner(
        "videoprism_lvt_tiny", "captioner/language_model", "captioner/resampler.keras"
    )
    frames, truth, _ = draw_clip("test", 0, load_digit_images()["test"])
    clip = fit_frames(frames, 8, captioner.encoder.image_size)[None]
    assert f"{captioner.generate(clip, max_tokens=40)[0]} | {truth}" in result.stdout
