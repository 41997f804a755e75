"""A localisation variant of the demo corpus, in the formats of AVA and ActivityNet.

Layout:

    boxes/    ava_train_v2.2.csv, ava_val_v2.2.csv, ava_action_list_v2.2.pbtxt and videos/<id>.mp4
    moves/    activity_net.v1-3.min.json and videos/v_<id>.mp4
    corpus.json    the arguments that made the corpus

A clip of boxes is one of the demo corpus, 2 s, with a key frame in its middle. Each sprite has two
actions: its direction, which no single frame shows (1 to 8), and its kind (9 to 24).

A clip of moves takes 8 s. One sprite rests and moves, one to three times, always in the direction
that is the label, as most videos of ActivityNet show one activity; the other sprites rest.
"""

import csv
import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from keras_videoprism.data.demo_corpus import (
    FRAMES_PER_SECOND,
    holds_corpus,
    load_digit_images,
    new_corpus,
    write_mp4,
)
from keras_videoprism.data.demo_scenes import (
    DIRECTIONS,
    FRAME_SIZE,
    KINDS,
    NUM_FRAMES,
    Sprite,
    render_frames,
    sample_background,
    sample_scene,
    sprite_boxes,
)

KEY_FRAME = NUM_FRAMES // 2
ACTIONS = (*(f"move {direction}" for direction in DIRECTIONS), *(f"show {kind}" for kind in KINDS))
MOVES_FRAMES = 64
MOVE_FRAMES = (8, 20)  # 1 s to 2.5 s
MIN_REST_FRAMES = 4  # before, between and after moves
MAX_MOVES = 3
SUBSETS = {"train": "training", "test": "validation"}  # ActivityNet's names; tests are public there
PARTS = ("boxes", "moves")  # the position of a part is part of the seed of its clips

BoxLines = list[tuple]  # lines of AVA's csv
Video = tuple[str, dict]  # an entry of ActivityNet's database
Progress = Callable[[int, int], None] | None


def actions_of(sprite: Sprite) -> list[int]:
    """Indices in ACTIONS: its direction, if it moves, and its kind."""
    directions = [] if sprite.direction is None else [sprite.direction]
    return [*directions, len(DIRECTIONS) + sprite.kind]


def _box_lines(video_id: str, sprites: list[Sprite]) -> BoxLines:
    lines = []
    time = KEY_FRAME / FRAMES_PER_SECOND
    for person, sprite in enumerate(sprites):
        top, left, bottom, right = sprite_boxes(sprite)[KEY_FRAME].round(4).tolist()
        for action in actions_of(sprite):
            lines.append((video_id, time, left, top, right, bottom, action + 1, person))
    return lines


def sample_moves(rng: np.random.Generator) -> list[tuple[int, int]]:
    """First and last frame of each move, in order, with rests around all of them."""
    lengths = rng.integers(MOVE_FRAMES[0], MOVE_FRAMES[1] + 1, rng.integers(1, MAX_MOVES + 1))
    num_rests = len(lengths) + 1
    spare = MOVES_FRAMES - 1 - lengths.sum() - num_rests * MIN_REST_FRAMES
    if spare < 0:
        return sample_moves(rng)
    rests = MIN_REST_FRAMES + rng.multinomial(spare, np.full(num_rests, 1 / num_rests))
    starts = np.cumsum(rests[:-1]) + np.cumsum(lengths) - lengths
    return list(zip(starts.tolist(), (starts + lengths).tolist(), strict=True))


def move_and_rest(sprite: Sprite, moves: list[tuple[int, int]]) -> Sprite:
    """The sprite, with the velocity that it has, moving from the first to the last frame of each
    move only; centres [MOVES_FRAMES, 2]."""
    half = FRAME_SIZE / 2
    step = (sprite.centres[1] - sprite.centres[0] + half) % FRAME_SIZE - half  # across the border
    frames = np.arange(MOVES_FRAMES)
    moved = np.zeros(MOVES_FRAMES)  # frames so far in which it moved
    for first, last in moves:
        moved += np.clip(frames - first, 0, last - first)
    centres = (sprite.centres[0] + np.multiply.outer(moved, step)) % FRAME_SIZE
    return replace(sprite, centres=centres)


def _write_boxes(index: int, *, split: str, folder: Path, seed: int, images: list) -> BoxLines:
    rng = _generator("boxes", split, index, seed)
    sprites = sample_scene(rng, images)
    video_id = f"{split}_{index:05d}"
    write_mp4(folder / f"{video_id}.mp4", render_frames(sprites, sample_background(rng)))
    return _box_lines(video_id, sprites)


def _write_moves(index: int, *, split: str, folder: Path, seed: int, images: list) -> Video:
    rng = _generator("moves", split, index, seed)
    mover, *others = sample_scene(rng, images)
    moves = sample_moves(rng)
    sprites = [move_and_rest(other, []) for other in others] + [move_and_rest(mover, moves)]
    video_id = f"{split}_{index:05d}"
    write_mp4(folder / f"v_{video_id}.mp4", render_frames(sprites, sample_background(rng)))
    label = ACTIONS[actions_of(mover)[0]]
    return video_id, {
        "duration": MOVES_FRAMES / FRAMES_PER_SECOND,
        "subset": SUBSETS[split],
        "resolution": f"{FRAME_SIZE}x{FRAME_SIZE}",
        "annotations": [
            {"segment": [first / FRAMES_PER_SECOND, last / FRAMES_PER_SECOND], "label": label}
            for first, last in moves
        ],
    }


def _generator(part: str, split: str, index: int, seed: int) -> np.random.Generator:
    """Its index seeds a clip, so any order of work gives the same."""
    return np.random.default_rng([seed, PARTS.index(part), list(SUBSETS).index(split), index])


def _write_box_tables(folder: Path, boxes: dict[str, list[BoxLines]]) -> None:
    names = {"train": "ava_train_v2.2.csv", "test": "ava_val_v2.2.csv"}
    for split, clips in boxes.items():
        with (folder / names[split]).open("w", newline="") as file:
            csv.writer(file).writerows(line for lines in clips for line in lines)
    items = (f'item {{ name: "{name}" id: {i} }}\n' for i, name in enumerate(ACTIONS, 1))
    (folder / "ava_action_list_v2.2.pbtxt").write_text("".join(items))


def _write_move_table(folder: Path, videos: dict[str, list[Video]]) -> None:
    database = dict(entry for entries in videos.values() for entry in entries)
    content = {"version": "demo", "taxonomy": [], "database": database}
    (folder / "activity_net.v1-3.min.json").write_text(json.dumps(content))


def _write_corpus(root: Path, sizes: dict[str, int], seed: int, progress: Progress) -> None:
    digit_images = load_digit_images()
    done, total = 0, len(PARTS) * sum(sizes.values())

    def write_all(part: str, write: Callable) -> dict[str, list]:
        nonlocal done
        folder = root / part / "videos"
        folder.mkdir(parents=True)
        results: dict[str, list] = {split: [] for split in sizes}
        for split, size in sizes.items():
            images = digit_images[split]
            task = partial(write, split=split, folder=folder, seed=seed, images=images)
            for result in executor.map(task, range(size)):
                results[split].append(result)
                done += 1
                if progress:
                    progress(done, total)
        return results

    with ThreadPoolExecutor(os.cpu_count()) as executor:  # encoders and numpy release the GIL
        _write_box_tables(root / "boxes", write_all("boxes", _write_boxes))
        _write_move_table(root / "moves", write_all("moves", _write_moves))


def render_demo_localisation(
    output_dir: str | os.PathLike,
    *,
    num_train: int = 400,
    num_test: int = 100,
    seed: int = 0,
    progress: Progress = None,
) -> None:
    """Render the corpus (see the head of this module) into a new folder.

    The same arguments give the same files. The folder appears only when it is complete; where it
    already holds the corpus of the same arguments, nothing is done. Test clips show digit images
    that no training clip shows.

    Args:
        output_dir: folder to make; it may exist if empty.
        num_train: clips of boxes for training, and as many of moves.
        num_test: the same for the test.
        seed: seed of all random choices, at least 0.
        progress: called with (files written, files in all) after each file.

    Raises:
        ValueError: a number too small, or `output_dir` holds something else.
        ImportError: scikit-learn is not installed.
    """
    arguments = dict(num_train=num_train, num_test=num_test, seed=seed)
    for name, value in arguments.items():
        if value < (smallest := 0 if name == "seed" else 1):
            raise ValueError(f"{name} must be at least {smallest}, got {value}.")
    manifest = json.dumps({"version": 1, "localisation": True, **arguments}, indent=2).encode()
    if holds_corpus(output_dir, manifest, f"the localisation corpus of {arguments}"):
        return
    with new_corpus(output_dir, manifest) as root:
        _write_corpus(root, dict(train=num_train, test=num_test), seed, progress)
