"""Writers of tiny copies of all data sets of Table 12, in their own annotation formats.

Each copy has six clips to train on and six to test on (of science, the windows of two videos): the
squares of `video_folder`, one of three colours each. A square's colour is its class.
"""

import csv
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

COLOURS = ("blue", "green", "red")
CLIPS = range(6)
SECONDS = 1.5  # of each video
BOX = (0.2, 0.3, 0.6, 0.7)
TRAIN, TEST = "train", "test"


class Copy:
    """A folder with annotations, and its folder `videos`."""

    def __init__(self, folder: Path, videos: Path) -> None:
        self.folder = folder
        self.squares = sorted(videos.glob("*.mp4"))
        folder.mkdir()

    def video(self, name: str, number: int) -> str:
        """Put one of the squares there; returns its colour."""
        file = self.folder / "videos" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        square = self.squares[number % len(self.squares)]
        file.write_bytes(square.read_bytes())
        return square.stem.partition("_")[0]

    def text(self, name: str, content: str) -> None:
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content, encoding="utf-8")

    def json(self, name: str, content: Any) -> None:
        self.text(name, json.dumps(content))

    def table(self, name: str, rows: Iterable[Iterable], delimiter: str = ",") -> None:
        with (self.folder / name).open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, delimiter=delimiter).writerows(rows)


def kinetics(copy: Copy, parts: dict[str, str]) -> None:
    header = ("label", "youtube_id", "time_start", "time_end", "split", "is_cc")
    for part, file in parts.items():
        rows = []
        for i in CLIPS:
            colour = COLOURS[i // 2]
            copy.video(f"{colour}/{part}{i}_000003_000013.mp4", i)
            rows.append((colour, f"{part}{i}", 3, 13, part, 0))
        copy.table(file, [header, *rows])


def moments(copy: Copy) -> None:
    copy.table("moments_categories.txt", [(colour, i) for i, colour in enumerate(COLOURS)])
    for part, file in ((TRAIN, "trainingSet.csv"), (TEST, "validationSet.csv")):
        names = [f"{COLOURS[i // 2]}/{part}{i}.mp4" for i in CLIPS]
        copy.table(file, [(name, copy.video(name, i), 3, 0) for i, name in enumerate(names)])


def ssv2(copy: Copy) -> None:
    names = [f"Moving something {colour} to the side" for colour in COLOURS]
    copy.json("labels.json", {name: str(i) for i, name in enumerate(names)})
    for part, file in ((TRAIN, "train.json"), (TEST, "validation.json")):
        entries = []
        for i in CLIPS:
            number = f"{len(part)}{i}{len(file)}"
            template = f"Moving [something] {copy.video(f'{number}.webm', i)} to the side"
            entries.append({"id": number, "label": "moving a square", "template": template})
        copy.json(file, entries)


def ssv2_subset(copy: Copy, file: str) -> None:
    prompt = 'Human: Does this video entail the description: "{}"?\nAI: '
    rows: list[tuple] = [("videopath", "caption", "match")]
    for i in CLIPS:
        colour = copy.video(f"{i}.webm", i)
        rows += [
            (f"videos/{i}.avi", prompt.format(f"Moving [something] {name}"), int(name == colour))
            for name in COLOURS
        ]
    copy.table(file, rows)


def diving48(copy: Copy) -> None:
    copy.json("Diving48_vocab.json", [["Back", "15som", colour] for colour in COLOURS])
    for part in (TRAIN, TEST):
        entries = []
        for i in CLIPS:
            label = COLOURS.index(copy.video(f"{part}_{i:05d}.mp4", i))
            times = {"start_frame": 0, "end_frame": 11}
            entries.append({"vid_name": f"{part}_{i:05d}", "label": label, **times})
        copy.json(f"Diving48_V2_{part}.json", entries)


CHARADES = "id,subject,scene,quality,relevance,verified,script,objects,descriptions,actions,length"


def charades(copy: Copy, parts: tuple[str, ...] = (TRAIN, TEST)) -> None:
    copy.text(
        "Charades_v1_classes.txt", "".join(f"c{i:03d} See {c}\n" for i, c in enumerate(COLOURS))
    )
    for part in parts:
        rows: list[Any] = [CHARADES.split(",")]
        for i in CLIPS:
            label = COLOURS.index(copy.video(f"{part.upper()}{i}.mp4", i))
            actions = f"c{label:03d} 0.00 1.00;c{(label + i % 2) % 3:03d} 0.50 1.50"
            start = (f"{part.upper()}{i}", "S", "Kitchen", 6, 7, "Yes", "A, b.", "food")
            rows.append((*start, "One eats.;Two.", actions, SECONDS))
        copy.table(f"Charades_v1_{part}.csv", rows)


def activitynet(copy: Copy) -> None:
    database = {}
    for part, subset in ((TRAIN, "training"), (TEST, "validation")):
        for i in CLIPS:
            colour = copy.video(f"v_{part}{i}.mp4", i)
            found = [{"segment": [0.2 + 0.1 * (i % 2), 1.1], "label": colour}]
            content = {"duration": SECONDS, "subset": subset, "annotations": found}
            database[f"{part}{i}"] = {**content, "resolution": "64x48", "url": ""}
    copy.json(
        "activity_net.v1-3.min.json", {"version": "1.3", "taxonomy": [], "database": database}
    )


ACTIONS = "ava_action_list_v2.2_for_activitynet_2019.pbtxt"


def ava(copy: Copy) -> None:
    items = [
        f'item {{\n  name: "{colour}"\n  id: {i + 3}\n}}\n' for i, colour in enumerate(COLOURS)
    ]
    copy.text(ACTIONS, "".join(items))
    for part, name in ((TRAIN, "train"), (TEST, "val")):
        rows = []
        for i in CLIPS:
            action = COLOURS.index(copy.video(f"{part}{i}.mp4", i)) + 3
            rows += [(f"{part}{i}", "0001", *BOX, action, 0), (f"{part}{i}", "0001", *BOX, 80, 0)]
            rows.append((f"{part}{i}", "0001", 0.6, 0.1, 0.9, 0.9, 3, 1))
        copy.table(f"ava_{name}_v2.2.csv", rows)
    copy.table("ava_val_excluded_timestamps_v2.2.csv", [("test5", "0001")])


def ava_kinetics(copy: Copy) -> None:
    ava(copy)
    for part, name in ((TRAIN, "train"), (TEST, "val")):
        rows: list[tuple] = []
        for i in CLIPS:
            action = COLOURS.index(copy.video(f"k_{part}{i}.mp4", i)) + 3
            rows.append((f"k_{part}{i}", 0.75, *BOX, action))
        copy.video(f"k_{part}_empty.mp4", 0)
        copy.table(f"kinetics_{name}_v1.0.csv", [*rows, (f"k_{part}_empty", 0.5)])


def msrvtt_1ka(copy: Copy) -> None:
    rows: list[tuple] = [("key", "vid_key", "video_id", "sentence")]
    for i in CLIPS:
        colour = copy.video(f"video977{i}.mp4", i)
        rows.append((f"ret{i}", f"msr977{i}", f"video977{i}", f"the {colour} square number {i}"))
    copy.table("MSRVTT_JSFUSION_test.csv", rows)


def msrvtt(copy: Copy) -> None:
    videos, sentences = [], []
    for i in CLIPS:
        name = f"video{7010 + i}"
        colour = copy.video(f"{name}.mp4", i)
        videos.append({"id": 7010 + i, "video_id": name, "category": 9, "split": "test"})
        for text in (f"a {colour} square", f"number {i} is {colour}"):
            sentences.append({"sen_id": len(sentences), "video_id": name, "caption": text})
    copy.json("test_videodatainfo.json", {"info": {}, "videos": videos, "sentences": sentences})


def vatex(copy: Copy, file: str) -> None:
    entries = []
    for i in CLIPS:
        name = f"abcdefghij{i}_000122_000132"
        colour = copy.video(f"{name}.mp4", i)
        entries.append({"videoID": name, "enCap": [f"{colour} {i}", f"{i} moves"], "chCap": ["?"]})
    copy.json(file, entries)


def youcook2(copy: Copy) -> None:
    database = {}
    for i in range(4):
        colour = copy.video(f"cook{i}.mp4", i)
        steps = [
            {"segment": times, "id": number, "sentence": f"move the {colour} square {number} times"}
            for number, times in enumerate(([0.0, 0.7], [0.6, 1.5]))
        ]
        subset = "validation" if i else "training"
        content = {"duration": SECONDS, "subset": subset, "recipe_type": "113", "video_url": ""}
        database[f"cook{i}"] = {**content, "annotations": steps}
    copy.json("youcookii_annotations_trainval.json", {"database": database})


def paragraphs(copy: Copy) -> None:
    content = {}
    for i in CLIPS:
        colour = copy.video(f"v_{i}.mp4", i)
        sentences = [f"A {colour} square moves.", f" It is the number {i} of all squares here."]
        times = [[0.0, 0.7], [0.5, 1.5]]
        content[f"v_{i}"] = {"duration": SECONDS, "timestamps": times, "sentences": sentences}
    copy.json("val_1.json", content)


def nextqa(copy: Copy) -> None:
    choices = (*COLOURS, "black", "white")
    header = "video,frame_count,width,height,question,answer,qid,type".split(",")
    rows: list[tuple] = [(*header, *(f"a{i}" for i in range(5)))]
    for i in CLIPS:
        colour = copy.video(f"{4000 + i // 2}.mp4", 2 * (i // 2))  # two questions of each video
        question = ("which colour is it", "what does it look like")[i % 2]
        start = (4000 + i // 2, 12, 64, 48, question, choices.index(colour), i, "TN")
        rows.append((*start, *choices))
    copy.table("val.csv", rows)
    copy.text("atp-hard-ct4.txt", "0\n1\n2\n4\n")


def nextqa_open(copy: Copy) -> None:
    header = "video,frame_count,width,height,question,answer,qid,type".split(",")
    for part in ("train", "val", "test"):
        rows: list[tuple] = [(*header,)]
        for i in CLIPS:
            colour = copy.video(f"0101/{4000 + i // 2}.mp4", 2 * (i // 2))
            start = (4000 + i // 2, 12, 64, 48, f"what is the number {i}", f"a {colour} square")
            rows.append((*start, i, ("TN", "DC", "DL", "CW", "CH", "DO")[i]))
        copy.table(f"{part}.csv", rows)
    copy.json("map_vid_vidorID.json", {str(4000 + i): f"0101/{4000 + i}" for i in range(3)})
    copy.json("add_reference_answer_test.json", {"4000": {"0": "the square"}})


def video_qa(copy: Copy, name: str) -> None:
    """MSRVTT-QA and MSVD-QA; `name` of the videos. Each part asks once about each of its clips."""
    mapping = ""
    for part, first in (("train", 0), ("val", 20), ("test", 40)):
        entries = []
        for i in CLIPS:
            number = first + i
            file = name.format(number)
            colour = copy.video(file, i)
            mapping += f"{Path(file).stem} vid{number}\n"
            question = f"which colour has square {i}?"
            entry = {"answer": colour, "id": number, "question": question, "video_id": number}
            entries.append(entry)
        copy.json(f"{part}_qa.json", entries)
    if name.endswith(".avi"):
        copy.text("youtube_mapping.txt", mapping)


def charades_sta(copy: Copy) -> None:
    lines = []
    for i in range(3):
        colour = copy.video(f"STA{i}.mp4", 2 * i)
        lines += [f"STA{i} 0.0 0.7##a {colour} square.", f"STA{i} 0.6 1.5##it goes on moving."]
    copy.text("charades_sta_test.txt", "\n".join(lines) + "\n")


def flies(copy: Copy) -> None:
    from scipy.io import savemat

    names = ["lunge", "wing threat", "tussle", "wing extension", "circle", "copulation", "charge"]
    for part in (TRAIN, TEST):
        for i in range(2):
            folder = copy.folder / part / f"movie{i}"
            folder.mkdir(parents=True)
            copy.video(f"movie{i}/movie{i}.mp4", i)
            bouts = np.empty((1, len(names)), object)
            for place in range(len(names)):
                bouts[0, place] = np.array([[1 + 16 * (place % 2), 16 + 16 * (place % 2), 1]])
            behs = np.array([names], object)
            savemat(folder / f"movie{i}_actions.mat", {"behs": behs, "bouts": bouts})
            track = {"names": "x", "data": np.zeros((1, 45, 2)), "flags": 0}
            savemat(folder / f"movie{i}_track.mat", {"trk": track})


def calms21(copy: Copy) -> None:
    vocab = {"attack": 0, "investigation": 1, "mount": 2, "other": 3}
    for part in (TRAIN, TEST):
        sequences = {}
        for i in range(2):
            name = f"task1/{part}/mouse00{i}_task1_annotator1"
            copy.video(f"{name}.mp4", i)
            labels = [i] * 16 + [2 + i] * 29
            sequences[name] = {"annotations": labels, "metadata": {"vocab": vocab}}
        copy.json(f"calms21_task1_{part}.json", {"annotator-id_0": sequences})


def crim13(copy: Copy, view: str) -> None:
    names = "approach attack other".split()
    for part in (TRAIN, TEST):
        for i in range(2):
            copy.video(f"{view}/Dec{i}.mp4", i)
            header = "Caltech Behavior Annotator - Annotation File\n\nConfiguration file:\n"
            keys = "".join(f"{name} {name[0]}\n" for name in names)
            rows = f"  1  16  {names[i]}\n  17  37  {names[i + 1]}\n"
            stream = f"S1: start    end     type\n-----------------\n{rows}"
            copy.text(f"{part}/Dec{i}.txt", f"{header}{keys}\n{stream}\n")


def kabr(copy: Copy) -> None:
    copy.json("classes.json", {"Walk": 0, "Graze": 1, "Browse": 2})
    for part, file in ((TRAIN, "train.csv"), (TEST, "val.csv")):
        rows: list[Any] = ["original_vido_id video_id frame_id path labels".split()]
        for i in CLIPS:
            name = f"{'ZG' if part == TRAIN else 'ZP'}000{i}.1"
            label = COLOURS.index(copy.video(f"{name}.mp4", i))
            rows += [(name, i + 1, f, f"{name}/{f}.jpg", label) for f in range(1, 46)]
        copy.table(file, rows, " ")


def chimpact(copy: Copy) -> None:
    copy.text("action_list.txt", "".join(f"behaviour {i}\n" for i in range(23)))
    for name in ("2015_11_25_x_clip_0_1000", "2015_11_25_d_clip_1000_2000"):
        name = f"Azibo_ObsChimp_{name}"
        copy.video(f"{name}.mp4", len(name))
        size = {"width": 1280, "height": 720}
        images = [{"id": 7 + i, "file_name": f"{name}/{i:06d}.jpg", **size} for i in range(4)]
        boxes = [
            {"image_id": 7 + i, "bbox": [320, 90, 640, 360], "bbox_id": 4, "behaviors": [i, 20]}
            for i in range(3)
        ]
        copy.json(f"labels/{name}.json", {"images": images, "annotations": boxes})


def demo(copy: Copy) -> None:
    from keras_videoprism.data.demo_corpus import render_demo_corpus

    copy.folder.rmdir()
    render_demo_corpus(copy.folder, num_clips=6, num_stills=2, num_test=6)


def demo_localisation(copy: Copy) -> None:
    from keras_videoprism.data.demo_localisation import render_demo_localisation

    copy.folder.rmdir()
    render_demo_localisation(copy.folder, num_train=6, num_test=6)


KINETICS = {TRAIN: "train.csv", TEST: "val.csv"}
WRITERS: dict[str, Callable[[Copy], None]] = {
    "k400": lambda copy: kinetics(copy, KINETICS),
    "mit": moments,
    "ssv2": ssv2,
    "diving48": diving48,
    "charades": charades,
    "activitynet": activitynet,
    "ava": ava,
    "ava_kinetics": ava_kinetics,
    "msrvtt_1ka": msrvtt_1ka,
    "msrvtt": msrvtt,
    "vatex": lambda copy: vatex(copy, "vatex_validation_v1.0.json"),
    "activitynet_paragraphs": paragraphs,
    "k400_zero_shot": lambda copy: kinetics(copy, {TEST: "val.csv"}),
    "k600_zero_shot": lambda copy: kinetics(copy, {TEST: "val.csv"}),
    "ssv2_temporal": lambda copy: ssv2_subset(copy, "eval_ssv2_temporal.csv"),
    "ssv2_events": lambda copy: ssv2_subset(copy, "eval_ssv2_events.csv"),
    "nextqa_atp_hard": nextqa,
    "charades_zero_shot": lambda copy: charades(copy, (TEST,)),
    "charades_sta": charades_sta,
    "msrvtt_captions": msrvtt,
    "vatex_captions": lambda copy: vatex(copy, "vatex_public_test_english_v1.1.json"),
    "youcook2_captions": youcook2,
    "msrvtt_qa": lambda copy: video_qa(copy, "video{}.mp4"),
    "msvd_qa": lambda copy: video_qa(copy, "-4wsuPCjDBc_{}_15.avi"),
    "nextqa_open": nextqa_open,
    "fly_vs_fly": flies,
    "calms21": calms21,
    "crim13_side": lambda copy: crim13(copy, "side"),
    "crim13_top": lambda copy: crim13(copy, "top"),
    "kabr": kabr,
    "chimpact": chimpact,
    "demo_kinds": demo,
    "demo_motion": demo,
    "demo_boxes": demo_localisation,
    "demo_moves": demo_localisation,
}
