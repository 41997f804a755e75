"""How many planted copies `find_duplicates` finds, how many distinct clips it takes for copies, and
how its time grows.

    python tools/measure_duplicates.py [--preset videoprism_tiny] [--json result.json]

The clips are those of the demo: digits and shapes that move over dark grounds, many of them alike.
Copies are of five kinds in turn, each with parameters drawn at random.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np

from keras_videoprism.commands.curate import clip_embedder
from keras_videoprism.commands.progress import progress_bar
from keras_videoprism.data import read_manifest, read_video
from keras_videoprism.data.curation.duplicates import find_duplicates
from keras_videoprism.data.curation.fingerprint import NUM_FRAMES, fingerprint
from keras_videoprism.data.decode import decode_each
from keras_videoprism.data.demo_corpus import FRAMES_PER_SECOND, render_demo_corpus
from keras_videoprism.data.manifest import Row

Copy = Callable[[np.random.Generator, np.ndarray, Path], None]


def write(path: Path, frames: np.ndarray, scale: float = 1.0, quality: int = 23) -> None:
    """Encode frames [T, H, W, 3] as H.264, resized; `quality` is x264's CRF, 0 best to 51."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            "libx264", FRAMES_PER_SECOND, options={"crf": str(quality), "mbtree": "0"}
        )
        stream.codec_context.thread_count = 1
        stream.height, stream.width = (2 * round(s * scale / 2) for s in frames.shape[1:3])
        stream.pix_fmt = "yuv420p"
        for pixels in frames:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            container.mux(stream.encode(frame.reformat(stream.width, stream.height)))
        container.mux(stream.encode())


def reencoded(rng: np.random.Generator, frames: np.ndarray, path: Path) -> None:
    """0.75 to 1.5 times the size, CRF 28 to 35."""
    write(path, frames, rng.uniform(0.75, 1.5), int(rng.integers(28, 36)))


def cropped(rng: np.random.Generator, frames: np.ndarray, path: Path) -> None:
    """A window anywhere with 80 to 95 % of the sides."""
    height, width = (int(rng.uniform(0.8, 0.95) * side) for side in frames.shape[1:3])
    top, left = (
        rng.integers(frames.shape[1] - height + 1),
        rng.integers(frames.shape[2] - width + 1),
    )
    write(path, frames[:, top : top + height, left : left + width])


def mirrored(rng: np.random.Generator, frames: np.ndarray, path: Path) -> None:
    """Left and right exchanged."""
    write(path, frames[:, :, ::-1])


def shifted(rng: np.random.Generator, frames: np.ndarray, path: Path) -> None:
    """The clip starts later by 10 to 35 % of its length."""
    write(path, frames[int(np.ceil(rng.uniform(0.1, 0.35) * len(frames))) :])


def respeeded(rng: np.random.Generator, frames: np.ndarray, path: Path) -> None:
    """Half to twice the speed: frames are repeated or left out."""
    speed = rng.choice([0.5, 0.75, 1.25, 1.5, 2.0])
    write(path, frames[np.arange(0, len(frames), speed).astype(int)])


KINDS: dict[str, Copy] = {
    "re-encoded": reencoded,
    "cropped": cropped,
    "mirrored": mirrored,
    "shifted in time": shifted,
    "other speed": respeeded,
}


def plant(rows: Sequence[Row], folder: Path, seed: int = 0) -> list[tuple[Row, str]]:
    """Write a copy of each clip, the kinds in turn; (row, kind) of each copy."""
    planted = []
    for index, row in enumerate(rows):
        kind = list(KINDS)[index % len(KINDS)]
        path = folder / f"{row.path.stem} {kind}.mp4"
        rng = np.random.default_rng([seed, index])
        KINDS[kind](rng, read_video(row.path).frames, path)
        planted.append((Row(path, path.name), kind))
    return planted


def look(rows: Sequence[Row], embed: Callable | None, progress: Callable) -> dict[str, np.ndarray]:
    """The arguments of `find_duplicates` for these clips."""
    prints, embeddings = [], []
    for video in decode_each(rows, num_frames=NUM_FRAMES):
        prints.append(fingerprint(video.frames))
        if embed is not None:
            embeddings.append(embed(video.frames))
        progress(len(prints), len(rows))
    found = {"fingerprints": np.stack(prints)}
    return found | ({"embeddings": np.stack(embeddings)} if embeddings else {})


def count_found(arrays: dict[str, np.ndarray], distinct: int, kinds: Sequence[str]) -> dict:
    """Copies found by kind, in all, and distinct clips removed. Copy i is of clip i."""
    pairs = [(copy.clip, copy.original) for copy in find_duplicates(**arrays)]
    found = [kinds[clip - distinct] for clip, original in pairs if clip - distinct == original]
    return {
        "found": {kind: found.count(kind) for kind in KINDS},
        "found in all": len(found),
        "distinct removed": sum(clip < distinct for clip, _ in pairs),
        "copies taken for others": sum(clip >= distinct for clip, _ in pairs) - len(found),
    }


def time_growth(arrays: dict[str, np.ndarray], sizes: Sequence[int]) -> dict[str, list[float]]:
    """Seconds of `find_duplicates` among the first n clips, the best of three; their ratios."""
    seconds = []
    for size in sizes:
        part = {name: array[:size] for name, array in arrays.items()}
        tries = []
        for _ in range(3):
            start = time.perf_counter()
            find_duplicates(**part)
            tries.append(time.perf_counter() - start)
        seconds.append(min(tries))
    ratios = [after / before for before, after in zip(seconds, seconds[1:], strict=False)]
    return {"clips": list(sizes), "seconds": seconds, "ratios": ratios}


def measure(
    distinct: int, planted: int, preset: str | None, sizes: Sequence[int], seed: int, folder: Path
) -> dict[str, Any]:
    """All numbers of the table; see the options of the command line."""
    with progress_bar("render") as progress:
        render_demo_corpus(
            folder / "corpus",
            num_clips=2 * max(distinct, *sizes),  # half of them stand in each folder
            num_stills=1,
            num_test=1,
            seed=seed,
            progress=progress,
        )
    rows = read_manifest(folder / "corpus" / "curated")
    copies = plant(rows[:planted], folder, seed)
    embed = None
    if preset is not None:
        from keras_videoprism import presets

        embed = clip_embedder(presets.from_preset(preset))
    with progress_bar("look at clips") as progress:
        start = time.perf_counter()
        arrays = look([*rows, *(row for row, _ in copies)], embed, progress)
        seconds = (time.perf_counter() - start) / (len(rows) + len(copies))
    chosen = [*range(distinct), *range(len(rows), len(rows) + planted)]
    kinds = [kind for _, kind in copies]
    hashes = {"fingerprints": arrays["fingerprints"]}
    result = {
        "distinct": distinct,
        "planted": {kind: kinds.count(kind) for kind in KINDS},
        "seconds to look at a clip": seconds,
        "hashes alone": count_found(_rows(hashes, chosen), distinct, kinds),
        "time of the search": time_growth(hashes, sizes),
    }
    if preset is not None:
        name = f"hashes and {preset}"
        result[name] = count_found(_rows(arrays, chosen), distinct, kinds)
        result[f"time of the search, {name}"] = time_growth(arrays, sizes)
    return result


def _rows(arrays: dict[str, np.ndarray], chosen: Sequence[int]) -> dict[str, np.ndarray]:
    return {name: array[list(chosen)] for name, array in arrays.items()}


def print_table(result: dict[str, Any]) -> None:
    """The result, for the eye."""
    planted = result["planted"]
    for name, found in result.items():
        if isinstance(found, dict) and "found" in found:
            print(f"\n{name}: {found['found in all']} of {sum(planted.values())} copies found")
            for kind in KINDS:
                print(f"  {kind:16}{found['found'][kind]:4} of {planted[kind]}")
            print(f"  distinct removed{found['distinct removed']:4} of {result['distinct']}")
        elif isinstance(found, dict) and "ratios" in found:
            print(f"\n{name}:")
            for size, seconds in zip(found["clips"], found["seconds"], strict=True):
                print(f"  {size:6} clips {seconds:7.2f} s")
            print("  ratios", *(f"{ratio:.2f}" for ratio in found["ratios"]))
    print(f"\nlooking at a clip takes {1000 * result['seconds to look at a clip']:.0f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--distinct", type=int, default=1000, help="clips of the demo")
    parser.add_argument("--planted", type=int, default=200, help="copies, of the first clips")
    parser.add_argument("--preset", help="a model whose embeddings help")
    parser.add_argument("--sizes", nargs="+", type=int, default=[500, 1000, 2000], help="to time")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="file to write the numbers to")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = measure(
            options.distinct,
            options.planted,
            options.preset,
            options.sizes,
            options.seed,
            Path(folder),
        )
    print_table(result)
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
