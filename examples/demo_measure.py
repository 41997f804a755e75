"""What the stages of the demo have learned: the numbers and pictures of its report."""

import json
from pathlib import Path
from typing import NamedTuple

import demo_report
import keras
import numpy as np

from keras_videoprism.commands.probe import Features, probe_features
from keras_videoprism.data import Row, read_manifest, read_records, stable_clip_id
from keras_videoprism.evaluation import distillation, metrics, retrieval, zero_shot
from keras_videoprism.layers.masking import tube_visible
from keras_videoprism.models import VideoPrism, VideoPrismLvT
from keras_videoprism.training import Stage2Model

BATCH = 64
TEMPLATES = ("a {}", "a {} in the middle", "a {} on the left", "a {} on the right")


class Demo(NamedTuple):
    """Where the records are, and the trained models."""

    output: Path
    teacher: VideoPrismLvT
    stage2: Stage2Model
    image_size: int
    num_frames: int
    probe_clips: int

    def batches(self, source: str, limit: int | None = None) -> list[dict[str, np.ndarray]]:
        """Batches of BATCH clips, always the same, with multi-hot labels."""
        dataset = read_records(
            self.output / "records" / source,
            batch_size=BATCH,
            num_frames=self.num_frames,
            image_size=self.image_size,
            num_classes=sum(len(names) for names in self.classes.values()),
        )
        if limit is not None:
            dataset = dataset.take(limit // BATCH)
        return list(dataset.as_numpy_iterator())

    @property
    def classes(self) -> dict[str, list[str]]:
        return json.loads((self.output / "corpus" / "classes.json").read_text())


def measure(demo: Demo, probe_epochs: int, seed: int) -> dict:
    """All numbers of the report (see `demo_report.write_report`)."""
    train, test = demo.batches("curated", demo.probe_clips), demo.batches("test")
    labels = np.concatenate([batch["labels"] for batch in test])
    tasks = _tasks(demo.classes)
    encoders = {
        "random": VideoPrism.from_preset("videoprism_tiny", load_weights=False),
        "stage1": demo.teacher.video_encoder,
        "stage2": demo.stage2.student,
    }
    chance = {
        f"{task}_map": metrics.chance_average_precision(labels[:, columns])
        for task, columns in tasks.items()
    }
    rows: dict[str, dict] = {"chance": chance}
    tokens = {}
    for name, encoder in encoders.items():
        print(f"Probe the {name} encoder")
        tokens[name] = [_tokens(encoder, batches) for batches in (train, test)]
        rows[name] = _probe_scores(tokens[name], train, test, tasks, probe_epochs, seed)
    for name, (chance_score, score) in _text_scores(demo, test).items():
        rows["chance"][name] = chance_score
        rows["stage1"][name] = score
    return {
        "encoders": rows,
        "stage2": _stage2_scores(demo, tokens["stage1"], test),
        "setup": {
            "share of the clip mean in the teacher's token variance": round(
                distillation.clip_mean_share(tokens["stage1"][1]), 3
            ),
        },
    }


def _tasks(classes: dict[str, list[str]]) -> dict[str, slice]:
    """Columns of the labels that belong to what is seen and to how it moves."""
    num_appearance = len(classes["kinds"]) + len(classes["colours"])
    num_classes = num_appearance + len(classes["directions"])
    return {"appearance": slice(0, num_appearance), "motion": slice(num_appearance, num_classes)}


def _tokens(encoder: keras.Model, batches: list[dict]) -> np.ndarray:
    return np.concatenate([encoder.predict_on_batch(batch["videos"]) for batch in batches])


def _probe_scores(
    tokens: list[np.ndarray],
    train: list[dict],
    test: list[dict],
    tasks: dict,
    epochs: int,
    seed: int,
) -> dict[str, float]:
    labels = [np.concatenate([batch["labels"] for batch in batches]) for batches in (train, test)]
    scores = {}
    for task, columns in tasks.items():
        features = [Features(t, y[:, columns]) for t, y in zip(tokens, labels, strict=True)]
        scores[f"{task}_map"] = probe_features(
            *features,
            num_classes=columns.stop - columns.start,
            num_heads=3,
            epochs=epochs,
            learning_rate=3e-3,
            seed=seed,
            verbose=2,
        )
    return scores


def _text_scores(demo: Demo, test: list[dict]) -> dict[str, tuple[float, float]]:
    """(chance, stage 1) of retrieval and of naming the colour and kind of an object."""
    captions = _captions(demo, test)
    video, text = _embeddings(demo, test, captions)
    recalls = retrieval.retrieval_recall(video, text, ks=(1,), texts=captions)
    same = retrieval.same_text(captions).sum(axis=1)
    chance = retrieval.chance_recall(len(captions), 1, same)
    names, positives = _object_names(demo, test)
    classes = zero_shot.class_embeddings(
        lambda texts: demo.teacher.encode_text(texts), names, TEMPLATES
    )
    hits = zero_shot.zero_shot_hit_rate(zero_shot.zero_shot_scores(video, classes), positives)
    return {
        **{name: (chance, recall) for name, recall in recalls.items()},
        "zero_shot": (zero_shot.chance_hit_rate(positives), hits),
    }


def _rows(demo: Demo, batches: list[dict]) -> list[Row]:
    """The manifest's rows of the clips that the batches hold; shards have an order of their own."""
    manifest = read_manifest(demo.output / "corpus" / "test")
    rows = {stable_clip_id(row.name, row.start, row.end): row for row in manifest}
    return [rows[int(clip_id)] for batch in batches for clip_id in batch["clip_id"]]


def _captions(demo: Demo, batches: list[dict]) -> list[str]:
    return [row.captions[0] for row in _rows(demo, batches)]


def _embeddings(
    demo: Demo, batches: list[dict], captions: list[str]
) -> tuple[np.ndarray, np.ndarray]:
    video = [demo.teacher.encode_video(batch["videos"]) for batch in batches]
    text = [
        demo.teacher.encode_text(captions[start : start + BATCH])
        for start in range(0, len(captions), BATCH)
    ]
    return tuple(
        np.concatenate([keras.ops.convert_to_numpy(part) for part in parts])
        for parts in (video, text)
    )


def _object_names(demo: Demo, batches: list[dict]) -> tuple[list[str], np.ndarray]:
    """All colours with all kinds, and which of them each clip shows."""
    classes = demo.classes
    names = [f"{colour} {kind}" for colour in classes["colours"] for kind in classes["kinds"]]
    lines = (demo.output / "corpus" / "test" / "objects.jsonl").read_text().splitlines()
    objects = {clip["file"]: clip["objects"] for clip in map(json.loads, lines)}
    positives = [
        np.isin(names, [f"{thing['colour']} {thing['kind']}" for thing in objects[row.name]])
        for row in _rows(demo, batches)
    ]
    return names, np.array(positives)


def _stage2_scores(demo: Demo, tokens: list[np.ndarray], test: list[dict]) -> dict[str, dict]:
    """The student on test clips, and the predictors that it must beat."""
    scores = distillation.trivial_predictors(*tokens)
    train_mean, test_embeddings = (
        keras.ops.convert_to_numpy(demo.teacher.pool(part)) for part in tokens
    )
    cosines = distillation.cosine(train_mean.mean(axis=0), test_embeddings)
    scores["global_mean"]["global_loss"] = float(1.0 - cosines.mean())
    arrays = {key: np.concatenate([b[key] for b in test]) for key in ("videos", "clip_id")}
    student = demo.stage2.evaluate(arrays, batch_size=BATCH, verbose=0, return_dict=True)
    scores["student"] = {
        "token_loss": student["masked_token_loss"],
        "residual_cosine": student["residual_cosine"],
        "global_loss": student["global_loss"],
    }
    return scores


def pictures(demo: Demo) -> list[tuple]:
    """Masks on real frames, clips nearest to captions, similarity of a patch to all others."""
    test = demo.batches("test")
    grid = demo.stage2.student.encoder.grid(test[0]["videos"])
    clip = test[0]["videos"][0] / 255
    clip_id = test[0]["clip_id"][:1].astype("int32")
    tube = tube_visible(0, 0, clip_id, grid, 0.5).positions(grid)
    bevt = demo.stage2.visible(clip_id, grid)
    return [
        (
            "Tube mask",
            "Stage 1 drops half of the patches, the same in all frames.",
            demo_report.mask_picture(clip, _masked(tube, grid)),
        ),
        (
            "BEVT mask",
            "Stage 2 hides 65% of the tokens: blocks, in a run of frames.",
            demo_report.mask_picture(clip, _masked(bevt, grid)),
        ),
        (
            "Clips for captions",
            "The nearest test clips by the stage-1 embeddings.",
            _neighbours(demo, test),
        ),
        (
            "One patch, everywhere",
            "Cosine of the outlined patch's token with all tokens.",
            _similarity(demo, test, grid),
        ),
    ]


def _masked(visible: np.ndarray, grid: tuple[int, int, int]) -> np.ndarray:
    masked = np.ones(grid, dtype=bool)
    masked.ravel()[keras.ops.convert_to_numpy(visible)[0]] = False
    return masked


def _neighbours(demo: Demo, test: list[dict], num_captions: int = 4, num_best: int = 3):
    captions = _captions(demo, test)
    video, text = _embeddings(demo, test, captions)
    videos = np.concatenate([batch["videos"] for batch in test]) / 255
    best = np.argsort(-(text[:num_captions] @ video.T), axis=1)[:, :num_best]
    frames = [[videos[clip][::3] for clip in row] for row in best]
    correct = [[captions[clip] == captions[i] for clip in row] for i, row in enumerate(best)]
    return demo_report.neighbours_picture(captions[:num_captions], frames, correct)


def _similarity(demo: Demo, test: list[dict], grid: tuple[int, int, int]):
    clip = test[0]["videos"][:1]
    brightness = clip[0].max(axis=-1).reshape(grid[0], grid[1], 8, grid[2], 8).mean(axis=(2, 4))
    query = np.unravel_index(brightness[0].argmax(), grid[1:])
    query = (0, int(query[0]), int(query[1]))
    maps = {}
    for name, encoder in (
        ("Stage 1", demo.teacher.video_encoder),
        ("Stage 2", demo.stage2.student),
    ):
        tokens = encoder.predict_on_batch(clip)[0]
        token = tokens[np.ravel_multi_index(query, grid)]
        maps[name] = distillation.cosine(token, tokens).reshape(grid)
    return demo_report.similarity_picture(clip[0] / 255, maps, query)
