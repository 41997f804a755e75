"""The tasks of Table 12: which files each reads, and by which protocol it is scored.

A task reads the annotation files of its data set, by their own names, in one folder, and the videos
in its folder `videos`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from keras_videoprism.commands.evaluate import loaders
from keras_videoprism.commands.evaluate.loaders import Data, Labelled
from keras_videoprism.commands.evaluate.protocol import Recipe, Task
from keras_videoprism.data import annotations
from keras_videoprism.data.annotations.files import File
from keras_videoprism.data.demo_scenes import COLOURS, DIRECTIONS, KINDS


def load_task(
    name: str, data: File, videos: File | None = None, **recipe: Any
) -> tuple[Task, Data]:
    """A task and its clips.

    Args:
        name: key of `TASKS`.
        data: folder of the annotation files.
        videos: folder of the videos; default: `videos` in `data`.
        **recipe: values that replace those of the task's recipe.

    Raises:
        ValueError: an unknown task or value of the recipe, missing files, classes that disagree, or
            what the parser finds.
    """
    if name not in TASKS:
        raise ValueError(f"no task {name!r}; `list-tasks` lists them: {[*TASKS]}")
    unknown = sorted(recipe.keys() - set(Recipe._fields))
    if unknown:
        raise ValueError(f"a recipe has no {unknown}; it has {Recipe._fields}")
    task, data = TASKS[name], Path(data)
    task = task._replace(recipe=task.recipe._replace(**recipe))
    missing = [file for file in task.files if not (data / file).exists()]
    if missing:
        raise ValueError(
            f"{data} lacks {missing}; {name} reads {list(task.files)} there, and the videos in "
            f"{videos or data / 'videos'}"
        )
    found = task.load(data, Path(videos) if videos else data / "videos")
    if isinstance(found, Labelled):
        _check_classes(name, found, task.multi_label)
    return task, found


def _check_classes(name: str, found: Labelled, multi_label: bool) -> None:
    rows = [*found.train, *found.test]
    train, test = ({c for row in part for c in row.labels} for part in (found.train, found.test))
    beyond = sorted((train | test) - set(range(len(found.classes))))
    if beyond:
        raise ValueError(
            f"{name}: clips have the class ids {beyond[:5]}, but there are {len(found.classes)} "
            "classes: annotations and class names are of different releases"
        )
    if found.train and not train & test:
        raise ValueError(f"{name}: no class of the clips to test on is trained")
    other = [row.name for row in rows if len(row.labels) != 1]
    if other and not multi_label:
        raise ValueError(f"{name}: {len(other)} clips have not one class each: {other[:5]} ...")


# VideoGLUE's classification: 25 frames a second with a stride of 4.
_KINETICS_RECIPE = Recipe(epochs=150, fps=25 / 4, strong=True)
_SSV2_RECIPE = Recipe(
    warmup_share=0.2,
    fps=12,
    train_sampling="random_segment",
    test_sampling="segment_centres",
    views=(1, 3),
    flip=False,
    strong=True,
)
_CHARADES_RECIPE = Recipe(epochs=50, fps=6, flip=False, strong=True)
# Clips of 16 frames around a key frame, 30 frames a second with a stride of 4.
_AVA_RECIPE = Recipe(
    epochs=50, finetune_rate=1e-2, layer_decay=0.75, fps=30 / 4, test_sampling="uniform"
)
_ACTIVITYNET_RECIPE = Recipe(epochs=10, batch_size=32, frozen_rate=4e-3, weight_decay=1e-4)
# Windows of 16 frames, all of them stored (Appendix H). The number of epochs is not published.
_SCIENCE_RECIPE = Recipe(
    epochs=50, frozen_rate=5e-5, train_sampling="uniform", test_sampling="uniform", views=(1, 1)
)
# Clips, or questions, that pass the language model together; nothing is trained.
_LANGUAGE_RECIPE = Recipe(batch_size=16)
# Footnote 2 of the paper.
_MSRVTT_SHOTS = (("who is talking to his family?", "man"), ("what is a woman doing?", "talk"))
_MSVD_SHOTS = (
    ("who is using a wrench on a pipe fitting?", "man"),
    ("who breaks an egg into a bowl?", "woman"),
)
_DEMO_RECIPE = Recipe(
    augment=None,
    epochs=30,
    batch_size=64,
    frozen_rate=1e-3,
    finetune_rate=5e-4,
    dropout=0.1,
    train_sampling="uniform",
    test_sampling="uniform",
    views=(1, 1),
    flip=False,
)


def _captions(title: str, file: str, parser: Callable, **options: Any) -> Task:
    load = loaders.captions(parser, file, **options)
    return Task(f"{title}, captions", "caption", "cider", (file,), load, _LANGUAGE_RECIPE)


TASKS = {
    # Video-only understanding: VideoGLUE.
    "k400": Task(
        "Kinetics-400",
        "classify",
        "top1",
        ("train.csv", "val.csv"),
        loaders.kinetics,
        _KINETICS_RECIPE,
    ),
    "mit": Task(
        "Moments in Time",
        "classify",
        "top1",
        ("trainingSet.csv", "validationSet.csv", "moments_categories.txt"),
        loaders.moments,
        Recipe(epochs=50, fps=25 / 4),
    ),
    "ssv2": Task(
        "Something-Something v2",
        "classify",
        "top1",
        ("train.json", "validation.json", "labels.json"),
        loaders.ssv2,
        _SSV2_RECIPE,
    ),
    "diving48": Task(
        "Diving48",
        "classify",
        "top1",
        ("Diving48_V2_train.json", "Diving48_V2_test.json", "Diving48_vocab.json"),
        loaders.diving48,
        Recipe(epochs=100, fps=25 / 4),
    ),
    "charades": Task(
        "Charades",
        "classify",
        "map",
        ("Charades_v1_train.csv", "Charades_v1_test.csv", "Charades_v1_classes.txt"),
        loaders.charades,
        _CHARADES_RECIPE,
        multi_label=True,
    ),
    "activitynet": Task(
        "ActivityNet, temporal localisation",
        "segments",
        "map",
        ("activity_net.v1-3.min.json",),
        loaders.activitynet,
        _ACTIVITYNET_RECIPE,
    ),
    "ava": Task(
        "AVA v2.2", "boxes", "map", loaders.AVA_FILES, loaders.ava, _AVA_RECIPE, multi_label=True
    ),
    "ava_kinetics": Task(
        "AVA-Kinetics",
        "boxes",
        "map",
        (*loaders.AVA_FILES, *loaders.KINETICS_BOXES),
        loaders.ava_kinetics,
        _AVA_RECIPE,
        multi_label=True,
    ),
    # Zero-shot, with the text tower.
    "msrvtt_1ka": Task(
        "MSR-VTT, retrieval, split 1K-A",
        "retrieve",
        "text_to_video_r1",
        ("MSRVTT_JSFUSION_test.csv",),
        loaders.captions(annotations.msrvtt_1ka, "MSRVTT_JSFUSION_test.csv"),
    ),
    "msrvtt": Task(
        "MSR-VTT, retrieval, full test split",
        "retrieve",
        "text_to_video_r1",
        ("test_videodatainfo.json",),
        loaders.captions(annotations.msrvtt, "test_videodatainfo.json", split="test"),
    ),
    "vatex": Task(
        "VATEX, retrieval",
        "retrieve",
        "text_to_video_r1",
        ("vatex_validation_v1.0.json",),
        loaders.captions(annotations.vatex, "vatex_validation_v1.0.json"),
    ),
    "activitynet_paragraphs": Task(
        "ActivityNet Captions, retrieval of paragraphs",
        "retrieve",
        "text_to_video_r1",
        ("val_1.json",),
        loaders.captions(annotations.activitynet_captions, "val_1.json"),
    ),
    "k400_zero_shot": Task(
        "Kinetics-400, zero-shot", "zero_shot", "top1", ("val.csv",), loaders.kinetics_zero_shot
    ),
    "k600_zero_shot": Task(
        "Kinetics-600, zero-shot", "zero_shot", "top1", ("val.csv",), loaders.kinetics_zero_shot
    ),
    "ssv2_temporal": Task(
        "SSv2-Temporal, zero-shot",
        "zero_shot",
        "top1",
        ("eval_ssv2_temporal.csv",),
        loaders.ssv2_subset("eval_ssv2_temporal.csv"),
    ),
    "ssv2_events": Task(
        "SSv2-Events, zero-shot",
        "zero_shot",
        "top1",
        ("eval_ssv2_events.csv",),
        loaders.ssv2_subset("eval_ssv2_events.csv"),
    ),
    "nextqa_atp_hard": Task(
        "NExT-QA ATP-Hard, multiple choice",
        "choose",
        "accuracy",
        ("val.csv", "atp-hard-ct4.txt"),
        loaders.nextqa,
    ),
    "charades_zero_shot": Task(
        "Charades, zero-shot",
        "zero_shot",
        "map",
        ("Charades_v1_test.csv", "Charades_v1_classes.txt"),
        loaders.charades_test,
        multi_label=True,
    ),
    "charades_sta": Task(
        "Charades-STA, multiple choice",
        "choose",
        "accuracy",
        ("charades_sta_test.txt",),
        loaders.charades_sta,
    ),
    # Zero-shot, with a language model.
    "msrvtt_captions": _captions(
        "MSR-VTT", "test_videodatainfo.json", annotations.msrvtt, split="test"
    ),
    "vatex_captions": _captions("VATEX", "vatex_public_test_english_v1.1.json", annotations.vatex),
    "youcook2_captions": _captions(
        "YouCook2", "youcookii_annotations_trainval.json", annotations.youcook2, subset="validation"
    ),
    "msrvtt_qa": Task(
        "MSRVTT-QA",
        "answer",
        "accuracy",
        loaders.QA_FILES,
        loaders.msrvtt_qa,
        _LANGUAGE_RECIPE,
        shots=_MSRVTT_SHOTS,
    ),
    "msvd_qa": Task(
        "MSVD-QA",
        "answer",
        "accuracy",
        (*loaders.QA_FILES, "youtube_mapping.txt"),
        loaders.msvd_qa,
        _LANGUAGE_RECIPE,
        shots=_MSVD_SHOTS,
    ),
    "nextqa_open": Task(
        "NExT-QA, open questions",
        "answer",
        "wups",
        ("train.csv", "val.csv", "test.csv"),
        loaders.nextqa_open,
        _LANGUAGE_RECIPE,
    ),
    # Science.
    "fly_vs_fly": Task(
        "Fly vs. Fly",
        "classify",
        "map",
        ("train", "test"),
        loaders.parts(annotations.fly_vs_fly, [*annotations.FLY_BEHAVIOURS], fps=30.0),
        _SCIENCE_RECIPE,
        multi_label=True,
    ),
    "calms21": Task(
        "CalMS21",
        "classify",
        "map",
        ("calms21_task1_train.json", "calms21_task1_test.json"),
        loaders.calms21,
        _SCIENCE_RECIPE,
        left_out=("other",),
    ),
    "crim13_side": Task(
        "CRIM13, side view",
        "classify",
        "map",
        ("train", "test"),
        loaders.crim13("side"),
        _SCIENCE_RECIPE,
        multi_label=True,
        left_out=("other",),
    ),
    "crim13_top": Task(
        "CRIM13, top view",
        "classify",
        "map",
        ("train", "test"),
        loaders.crim13("top"),
        _SCIENCE_RECIPE,
        multi_label=True,
        left_out=("other",),
    ),
    "kabr": Task(
        "KABR",
        "classify",
        "macro_accuracy",
        ("train.csv", "val.csv", "classes.json"),
        loaders.kabr,
        _SCIENCE_RECIPE._replace(frozen_rate=5e-6),
        loss="equalization",
    ),
    "chimpact": Task(
        "ChimpACT",
        "boxes",
        "map",
        ("labels", "action_list.txt"),
        loaders.chimpact,
        _SCIENCE_RECIPE._replace(num_frames=64),
        multi_label=True,
    ),
    # The demo corpus and its variant for localisation.
    "demo_kinds": Task(
        "Demo corpus, kinds",
        "classify",
        "map",
        ("curated", "test"),
        loaders.demo(0, [*KINDS]),
        _DEMO_RECIPE,
        multi_label=True,
    ),
    "demo_boxes": Task(
        "Demo corpus, actions in boxes",
        "boxes",
        "map",
        ("boxes",),
        loaders.demo_boxes,
        _DEMO_RECIPE,
        multi_label=True,
    ),
    "demo_moves": Task(
        "Demo corpus, moves in time",
        "segments",
        "map",
        ("moves",),
        loaders.demo_moves,
        _DEMO_RECIPE._replace(
            batch_size=32,
            frozen_rate=2e-3,
            weight_decay=1e-4,
            window=1.0,
            window_step=0.25,
            temporal_scale=32,
            detector_dim=64,
        ),
    ),
    "demo_motion": Task(
        "Demo corpus, directions",
        "classify",
        "map",
        ("curated", "test"),
        loaders.demo(len(KINDS) + len(COLOURS), [*DIRECTIONS]),
        _DEMO_RECIPE,
        multi_label=True,
    ),
}
