"""The whole method in minutes on two CPU cores: video files to measured numbers.

    python examples/demo.py --output demo

Renders a corpus of video files, writes records, trains stage 1 and stage 2, probes the frozen
encoders and writes demo/report.html. What is finished is not done again.
"""

import argparse
import json
import shutil
import time
from functools import partial
from pathlib import Path

import demo_report
import keras
from demo_measure import Demo, measure, pictures

from keras_videoprism import presets
from keras_videoprism.commands.progress import progress_bar
from keras_videoprism.commands.sources import Source, read_sources
from keras_videoprism.commands.train import train_stage1, train_stage2
from keras_videoprism.data import Tokenizer, read_manifest, train_tokenizer, write_records
from keras_videoprism.data.atomic import atomic_path
from keras_videoprism.data.demo_corpus import render_demo_corpus
from keras_videoprism.models import VideoPrism, VideoPrismLvT
from keras_videoprism.training import Stage2Model
from keras_videoprism.training.recipes import WarmupLinearDecay

IMAGE_SIZE = 40  # pixels; the preset's patch of 8 makes 5 x 5 patches
NUM_FRAMES = 8
TEXT_LENGTH = 28  # tokens; of a hundred captions one or two are longer
SOURCES = ("curated", "web", "stills")
DECODER = {"decoder_dim": 96, "decoder_layers": 2, "decoder_heads": 2, "decoder_mlp_dim": 384}
DEFAULTS = {
    "clips": 3000,
    "stills": 6000,
    "test_clips": 512,
    "stage1_steps": 700,
    "stage2_steps": 500,
    "batch_size": 64,
    "probe_clips": 1500,
    "probe_epochs": 15,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", type=Path, default=Path("demo"))
    parser.add_argument("--seed", type=int, default=0)
    for name, value in DEFAULTS.items():
        parser.add_argument("--" + name.replace("_", "-"), type=int, default=value)
    arguments = vars(parser.parse_args())
    report = run(arguments.pop("output"), arguments.pop("seed"), **arguments)
    print(f"The report is {report.resolve()}.")


def run(output: Path, seed: int = 0, **sizes: int) -> Path:
    """All steps; returns the path of the report."""
    sizes = {**DEFAULTS, **sizes}
    start = time.time()
    keras.utils.set_random_seed(seed)
    make_records(output, sizes)
    tokenizer = Tokenizer(output / "tokenizer.spm", max_length=TEXT_LENGTH)
    teacher, stage1_curves = stage1(output, tokenizer, seed, sizes)
    stage, stage2_curves = stage2(output, teacher, seed, sizes)
    demo = Demo(output, teacher, stage, IMAGE_SIZE, NUM_FRAMES, sizes["probe_clips"])
    results = measure(demo, probe_epochs=sizes["probe_epochs"], seed=seed)
    results["setup"]["minutes, all steps"] = round((time.time() - start) / 60, 1)
    with atomic_path(output / "results.json") as temporary:
        temporary.write_text(json.dumps(results, indent=1))
    curves = report_curves(stage1_curves, stage2_curves, results)
    path = output / "report.html"
    demo_report.write_report(path, results=results, curves=curves, pictures=pictures(demo))
    return path


def make_records(output: Path, sizes: dict[str, int]) -> None:
    """Video files, records and the tokenizer of the training captions."""
    corpus = output / "corpus"
    with progress_bar("render video files") as progress:
        render_demo_corpus(
            corpus,
            num_clips=sizes["clips"],
            num_stills=sizes["stills"],
            num_test=sizes["test_clips"],
            progress=progress,
        )
    for source in (*SOURCES, "test"):
        records = output / "records" / source
        if (records / "dataset.json").exists():
            continue
        shutil.rmtree(records, ignore_errors=True)
        with progress_bar(f"write records of {source}") as progress:
            write_records(
                read_manifest(corpus / source),
                records,
                short_side=IMAGE_SIZE,
                require_caption=True,
                source=source,
                progress=progress,
            )
    if not (output / "tokenizer.spm").exists():
        rows = [row for source in SOURCES for row in read_manifest(corpus / source)]
        texts = [caption for row in rows for caption in row.captions]
        train_tokenizer(texts, 256, output / "tokenizer.spm")


def stage1(
    output: Path, tokenizer: Tokenizer, seed: int, sizes: dict[str, int]
) -> tuple[VideoPrismLvT, dict]:
    """Contrast on two caption sources and one of images, alternating."""
    if (output / "stage1" / "curves.json").exists():
        return presets.from_preset(output / "stage1"), read_curves(output / "stage1")
    model = VideoPrismLvT.from_preset(
        "videoprism_lvt_tiny", load_weights=False, vocabulary_size=tokenizer.vocabulary_size
    )
    model.tokenizer = tokenizer
    batch_size, records = sizes["batch_size"], output / "records"
    sources = [
        Source(records / "curated", batch_size, NUM_FRAMES),
        Source(records / "web", batch_size, NUM_FRAMES),
        # A step of images takes half the time of one of clips, and kinds and colours show in both.
        Source(records / "stills", 2 * batch_size, 1, weight=6.0),
    ]
    steps = sizes["stage1_steps"]
    print(f"Stage 1: {steps} steps")
    curves = train_stage1(
        model,
        partial(read_sources, sources, IMAGE_SIZE, tokenizer, seed=seed),
        adamw(7e-4, steps, weight_decay=1e-4),
        steps,
        output=output / "stage1",
        seed=seed,
    )
    return model, curves


def stage2(
    output: Path, teacher: VideoPrismLvT, seed: int, sizes: dict[str, int]
) -> tuple[keras.Model, dict]:
    """Masked distillation on the clips of both sources, without their captions."""
    student = VideoPrism.from_preset("videoprism_tiny", load_weights=False)
    weights = output / "stage2" / "stage.weights.h5"  # with the decoders
    if weights.exists():
        stage = Stage2Model(student, teacher, seed=seed, **DECODER)
        stage.load_weights(weights)
        stage.compile()
        return stage, read_curves(output / "stage2")
    batch_size, records = sizes["batch_size"] // 4, output / "records"
    sources = [Source(records / name, batch_size, NUM_FRAMES) for name in ("curated", "web")]
    steps = sizes["stage2_steps"]
    print(f"Stage 2: {steps} steps")
    stage, curves = train_stage2(
        student,
        teacher,
        partial(read_sources, sources, IMAGE_SIZE, seed=seed),
        adamw(2e-3, steps, weight_decay=0.01),
        steps,
        output=output / "stage2",
        seed=seed,
        **DECODER,
    )
    stage.save_weights(weights)
    return stage, curves


def adamw(peak: float, steps: int, weight_decay: float) -> keras.Optimizer:
    """Learns faster than the paper's Adafactor where there are only hundreds of steps."""
    schedule = WarmupLinearDecay(peak, steps, steps // 12, 1e-5)
    return keras.optimizers.AdamW(schedule, weight_decay=weight_decay, beta_2=0.95)


def read_curves(folder: Path) -> dict:
    return json.loads((folder / "curves.json").read_text())


def report_curves(stage1_curves: dict, stage2_curves: dict, results: dict) -> dict:
    """Series of the report's charts; single values are dashed levels."""
    rows = results["stage2"]
    token_loss = {
        "step": stage2_curves["step"],
        "student, masked positions": stage2_curves["masked_token_loss"],
        "mean of the position": [rows["position_mean"]["token_loss"]],
        "the clip's own mean": [rows["clip_mean"]["token_loss"]],
    }
    return {
        "Stage 1: contrastive loss": {
            "step": stage1_curves["step"],
            "loss": stage1_curves["loss"],
        },
        "Stage 2: token loss": token_loss,
        "Stage 2: residual cosine": {
            "step": stage2_curves["step"],
            "student": stage2_curves["residual_cosine"],
        },
    }


if __name__ == "__main__":
    main()
