"""A small corpus of coloured digits and shapes in motion, for the demo and the tests.

Layout of a corpus:

    curated/  web/    MP4 clips; clean and noisy captions (two datasets for AGD)
    stills/           PNG images, in the part of the paper's image-text data (section 3.2.1)
    test/             MP4 clips of digit images that the other folders never show
    classes.json      names of the 30 class ids in order: 16 kinds, 6 colours, 8 directions
    corpus.json       the arguments that made the corpus

Each folder holds `captions.csv` (file, caption, label: class ids with spaces between) and
`objects.jsonl` (one line per file: kind, colour, direction and the boxes of each object).
"""

import csv
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import numpy as np

from keras_videoprism.data.demo_scenes import (
    CLASSES,
    COLOURS,
    DIGITS,
    DIRECTIONS,
    FRAME_SIZE,
    KINDS,
    Sprite,
    render_frames,
    sample_background,
    sample_scene,
    sprite_boxes,
)

MANIFEST_FILE = "corpus.json"
FRAMES_PER_SECOND = 8
MOTION_RATE, WRONG_MOTION_RATE = 0.1, 0.2  # web text names motion rarely, and not always rightly
WEB_OMISSION_RATE = 0.3

PLACES = (
    ("at the top left", "at the top", "at the top right"),
    ("on the left", "in the middle", "on the right"),
    ("at the bottom left", "at the bottom", "at the bottom right"),
)
MOTION_VERBS = ("moving", "drifting", "sliding")
TEMPLATES = {
    "curated": ("{}", "a video of {}", "a short clip of {}", "{} on a dark background"),
    "web": (
        "{}",
        "amazing clip {}",
        "{} video {number} free download",
        "watch {} now",
        "clip {number}: {}",
        "{} full hd",
    ),
    "stills": ("{}", "a picture of {}", "an image of {}", "{} on a dark background"),
    "test": ("{}",),
}
SPLITS = tuple(TEMPLATES)  # the position of a split is part of the seed of its clips

Example = tuple[tuple[str, str, str], dict]  # a row of captions.csv and a line of objects.jsonl


def load_digit_images() -> dict[str, list[np.ndarray]]:
    """The handwritten digits of scikit-learn, the last fifth of each class kept for the test.

    Returns:
        "train" and "test", each a list of ten arrays [n, 8, 8] in [0, 1].

    Raises:
        ImportError: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError(
            "The demo corpus draws the digits of scikit-learn, which is not installed. "
            'Install the extra `demo`: pip install "keras-videoprism[demo]"'
        ) from error
    digits = load_digits()
    by_class = [digits.images[digits.target == digit] / 16 for digit in range(10)]
    return {
        "train": [images[: len(images) * 4 // 5] for images in by_class],
        "test": [images[len(images) * 4 // 5 :] for images in by_class],
    }


def _place_name(sprite: Sprite) -> str:
    row, column = (sprite.centres[len(sprite.centres) // 2] * 3 // FRAME_SIZE).astype(int)
    return PLACES[row][column]


def _motion_phrase(rng: np.random.Generator, direction: int | None) -> str:
    if direction is None:
        return ""
    error = rng.integers(1, len(DIRECTIONS)) if rng.random() < WRONG_MOTION_RATE else 0
    name = list(DIRECTIONS)[(direction + error) % len(DIRECTIONS)]
    where = name if name in ("up", "down") else f"to the {name}"
    return f"{rng.choice(MOTION_VERBS)} {where}"


def describe(sprite: Sprite, *, numeral: bool = False, omit: str = "", motion: str = "") -> str:
    """One sprite in words, such as "a red seven at the top left".

    Args:
        sprite: the sprite.
        numeral: write a digit as "7", not "seven".
        omit: "colour" or "place" leaves that out.
        motion: words put last, such as "moving up".
    """
    kind = str(sprite.kind) if numeral and sprite.kind < len(DIGITS) else KINDS[sprite.kind]
    noun = kind if omit == "colour" else f"{list(COLOURS)[sprite.colour]} {kind}"
    article = "an" if noun in ("eight", "8") else "a"
    place = "" if omit == "place" else _place_name(sprite)
    return " ".join(filter(None, [article, noun, place, motion]))


def write_caption(rng: np.random.Generator, split: str, sprites: list[Sprite]) -> str:
    """A caption in the manner of one split: clean, noisy as web text, or canonical (test)."""
    if split != "test":
        sprites = [sprites[i] for i in rng.permutation(len(sprites))]
    names_motion = split != "test" and rng.random() < MOTION_RATE
    omissions = [""] * len(sprites)
    if split == "web" and rng.random() < WEB_OMISSION_RATE:
        omissions[rng.integers(len(sprites))] = str(rng.choice(["colour", "place"]))
    phrases = [
        describe(
            s,
            numeral=split == "web" and rng.random() < 0.5,
            omit=omission,
            motion=_motion_phrase(rng, s.direction) if names_motion else "",
        )
        for s, omission in zip(sprites, omissions, strict=True)
    ]
    listing = " and ".join(filter(None, [", ".join(phrases[:-1]), phrases[-1]]))
    return str(rng.choice(TEMPLATES[split])).format(listing, number=rng.integers(10))


def write_mp4(path: Path, frames: np.ndarray) -> None:
    """Encode frames, uint8 [T, H, W, 3], as H.264."""
    with av.open(str(path), "w") as container:
        # Macroblock trees and threads make libx264 write other bytes from run to run at this size.
        options = {"crf": "14", "preset": "veryfast", "mbtree": "0"}
        stream = container.add_stream("libx264", FRAMES_PER_SECOND, options=options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def write_png(path: Path, image: np.ndarray) -> None:
    """Encode one image, uint8 [H, W, 3]."""
    encoder = av.CodecContext.create("png", "w")
    encoder.height, encoder.width = image.shape[:2]
    encoder.pix_fmt, encoder.time_base = "rgb24", Fraction(1, 1)
    frame = av.VideoFrame.from_ndarray(image, format="rgb24")
    path.write_bytes(b"".join(map(bytes, [*encoder.encode(frame), *encoder.encode()])))


def _class_ids(sprites: list[Sprite]) -> list[int]:
    ids = {sprite.kind for sprite in sprites}
    ids |= {len(KINDS) + sprite.colour for sprite in sprites}
    offset = len(KINDS) + len(COLOURS)
    return sorted(ids | {offset + s.direction for s in sprites if s.direction is not None})


def _object_record(sprite: Sprite) -> dict:
    return {
        "kind": KINDS[sprite.kind],
        "colour": list(COLOURS)[sprite.colour],
        "direction": None if sprite.direction is None else list(DIRECTIONS)[sprite.direction],
        "boxes": sprite_boxes(sprite).round(4).tolist(),
    }


def draw_clip(
    split: str, index: int, digit_images: list[np.ndarray], seed: int = 0
) -> tuple[np.ndarray, str, list[Sprite]]:
    """A clip of the corpus without its file: its index seeds it, so any order gives the same.

    Args:
        split: one of `SPLITS`.
        index: number of the clip in its split.
        digit_images: of `load_digit_images`, those of the test for the split "test".
        seed: of the corpus.

    Returns:
        Frames uint8 [T, H, W, 3], one in a still; the caption; the objects.
    """
    rng = np.random.default_rng([seed, SPLITS.index(split), index])
    sprites = sample_scene(rng, digit_images, still=split == "stills")
    frames = render_frames(sprites, sample_background(rng))
    return frames, write_caption(rng, split, sprites), sprites


def _write_example(
    index: int, *, folder: Path, seed: int, digit_images: list[np.ndarray]
) -> Example:
    """Draw and write one example."""
    split = folder.name
    frames, caption, sprites = draw_clip(split, index, digit_images, seed)
    file = f"{split}_{index:05d}" + (".png" if split == "stills" else ".mp4")
    if split == "stills":
        write_png(folder / file, frames[0])
    else:
        write_mp4(folder / file, frames)
    row = (file, caption, " ".join(map(str, _class_ids(sprites))))
    return row, {"file": file, "objects": [_object_record(sprite) for sprite in sprites]}


def _write_tables(folder: Path, examples: list[Example]) -> None:
    lines = [json.dumps(objects) + "\n" for _, objects in examples]
    (folder / "objects.jsonl").write_text("".join(lines))
    with open(folder / "captions.csv", "w", newline="") as file:
        csv.writer(file).writerows([("file", "caption", "label"), *(row for row, _ in examples)])


def _write_corpus(
    root: Path, sizes: dict[str, int], seed: int, progress: Callable[[int, int], None] | None
) -> None:
    digit_images = load_digit_images()
    done = 0
    with ThreadPoolExecutor(os.cpu_count()) as executor:  # encoders and numpy release the GIL
        for split, size in sizes.items():
            folder = root / split
            folder.mkdir()
            images = digit_images["test" if split == "test" else "train"]
            write = partial(_write_example, folder=folder, seed=seed, digit_images=images)
            examples = []
            for example in executor.map(write, range(size)):
                examples.append(example)
                done += 1
                if progress:
                    progress(done, sum(sizes.values()))
            _write_tables(folder, examples)


def holds_corpus(output_dir: str | os.PathLike, manifest: bytes, name: str) -> bool:
    """Whether a folder holds the corpus of a manifest; ValueError where it holds something else."""
    output_dir = Path(output_dir).resolve()
    marker = output_dir / MANIFEST_FILE
    if marker.is_file() and marker.read_bytes() == manifest:
        return True
    if output_dir.exists() and (not output_dir.is_dir() or any(output_dir.iterdir())):
        raise ValueError(
            f"{output_dir} exists and does not hold {name}. Remove it or choose another folder."
        )
    return False


@contextmanager
def new_corpus(output_dir: str | os.PathLike, manifest: bytes) -> Iterator[Path]:
    """A folder to fill, which becomes `output_dir` when the block succeeds."""
    output_dir = Path(output_dir).resolve()
    output_dir.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".demo-corpus-", dir=output_dir.parent) as staging:
        root = Path(staging) / "corpus"
        root.mkdir()
        yield root
        (root / MANIFEST_FILE).write_bytes(manifest)
        os.replace(root, output_dir)


def render_demo_corpus(
    output_dir: str | os.PathLike,
    *,
    num_clips: int = 4000,
    num_stills: int = 6000,
    num_test: int = 512,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Render the demo corpus (see the head of this module) into a new folder.

    The same arguments give the same files. The folder appears only when it is complete; where
    it already holds the corpus of the same arguments, nothing is done.

    Args:
        output_dir: folder to make; it may exist if empty.
        num_clips: training clips; half of them curated, half web.
        num_stills: training images.
        num_test: test clips.
        seed: seed of all random choices, at least 0.
        progress: called with (files written, files in all) after each file.

    Raises:
        ValueError: a number too small, or `output_dir` holds something else.
        ImportError: scikit-learn is not installed.
    """
    smallest = {"num_clips": 2, "num_stills": 1, "num_test": 1, "seed": 0}
    arguments = dict(num_clips=num_clips, num_stills=num_stills, num_test=num_test, seed=seed)
    for name, value in arguments.items():
        if value < smallest[name]:
            raise ValueError(f"{name} must be at least {smallest[name]}, got {value}.")
    manifest = json.dumps({"version": 1, **arguments}, indent=2).encode()
    if holds_corpus(output_dir, manifest, f"the demo corpus of {arguments}"):
        return
    num_web = num_clips // 2
    sizes = dict(curated=num_clips - num_web, web=num_web, stills=num_stills, test=num_test)
    with new_corpus(output_dir, manifest) as root:
        _write_corpus(root, sizes, seed, progress)
        (root / "classes.json").write_text(json.dumps(CLASSES, indent=2))
