"""Scenes of coloured digits and shapes that move over a dark background and wrap around it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

FRAME_SIZE = 80
NUM_FRAMES = 16
SPRITE_SIZES = (26, 34)  # pixels
SPEEDS = (2.0, 3.0)  # pixels per frame
MIN_DISTANCE = 28  # pixels between two centres at the middle frame: no heavy overlap there

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
COLOURS = {
    "red": (0.95, 0.12, 0.1),
    "green": (0.1, 0.8, 0.2),
    "blue": (0.15, 0.4, 1.0),
    "yellow": (1.0, 0.9, 0.1),
    "pink": (1.0, 0.4, 0.85),
    "white": (1.0, 1.0, 1.0),
}
DIRECTIONS = {  # (y, x), y downwards
    "up": (-1, 0),
    "upper right": (-1, 1),
    "right": (0, 1),
    "lower right": (1, 1),
    "down": (1, 0),
    "lower left": (1, -1),
    "left": (0, -1),
    "upper left": (-1, -1),
}


def _polygon(corners: list[tuple[float, float]]) -> Callable:
    """A test of which points (y, x) lie inside a polygon, by the even-odd rule."""

    def contains(y: np.ndarray, x: np.ndarray) -> np.ndarray:
        inside = np.zeros(np.broadcast(y, x).shape, bool)
        for (y0, x0), (y1, x1) in zip(corners, corners[1:] + corners[:1], strict=True):
            if y0 != y1:
                crosses = (y0 > y) != (y1 > y)
                inside ^= crosses & (x < (x1 - x0) * (y - y0) / (y1 - y0) + x0)
        return inside

    return contains


def _star_corners(num_points: int = 5, inner_radius: float = 0.42) -> list[tuple[float, float]]:
    angles = np.pi * np.arange(2 * num_points) / num_points
    radii = np.where(np.arange(2 * num_points) % 2, inner_radius, 1.0)
    return list(zip(-radii * np.cos(angles), radii * np.sin(angles), strict=True))


SHAPES: dict[str, Callable] = {  # each tells which points of [-1, 1] x [-1, 1] lie inside
    "circle": lambda y, x: np.hypot(y, x) < 0.9,
    "square": lambda y, x: np.maximum(abs(y), abs(x)) < 0.78,
    "triangle": _polygon([(-0.9, 0.0), (0.8, 1.0), (0.8, -1.0)]),
    "star": _polygon(_star_corners()),
    "cross": lambda y, x: (np.minimum(abs(y), abs(x)) < 0.27) & (np.maximum(abs(y), abs(x)) < 0.95),
    "ring": lambda y, x: abs(np.hypot(y, x) - 0.72) < 0.22,
}
KINDS = DIGITS + tuple(SHAPES)
CLASSES = {"kinds": KINDS, "colours": tuple(COLOURS), "directions": tuple(DIRECTIONS)}


def _smooth_weights(num_out: int, num_in: int) -> np.ndarray:
    """Gaussian interpolation from num_in to num_out samples of one axis: [num_out, num_in]."""
    positions = (np.arange(num_out) + 0.5) * num_in / num_out - 0.5
    weights = np.exp(-3.5 * (positions[:, None] - np.arange(num_in)) ** 2)
    return weights / weights.sum(axis=1, keepdims=True)


def _crop(alpha: np.ndarray) -> np.ndarray:
    rows, columns = np.nonzero(alpha > 0.1)
    return alpha[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]


def digit_alpha(image: np.ndarray, size: int) -> np.ndarray:
    """The opacity [h, w] of a digit image [8, 8], drawn with smooth edges on `size` pixels."""
    padded = np.pad(image, 1)  # room for strokes at the border to fade out
    weights = _smooth_weights(size * len(padded) // len(image), len(padded))
    ink = weights @ padded @ weights.T
    return _crop(np.clip((ink - 0.3) / 0.45, 0, 1).astype("float32"))


def shape_alpha(name: str, size: int, oversampling: int = 4) -> np.ndarray:
    """The opacity [h, w] of a shape on `size` pixels, anti-aliased by oversampling."""
    axis = np.linspace(-1, 1, 2 * size * oversampling + 1)[1::2]
    inside = SHAPES[name](axis[:, None], axis[None, :])
    blocks = inside.reshape(size, oversampling, size, oversampling)
    return _crop(blocks.mean(axis=(1, 3), dtype="float32"))


@dataclass(frozen=True)
class Sprite:
    """One object of a clip: class indices, look, and centres [T, 2] as (y, x) in pixels."""

    kind: int
    colour: int
    direction: int | None  # None in a still
    rgb: np.ndarray
    alpha: np.ndarray
    centres: np.ndarray


def sample_centres(rng: np.random.Generator, num_sprites: int, margin: float) -> np.ndarray:
    """Centres [n, 2] at the middle frame, at least MIN_DISTANCE apart on the torus.

    Without a margin each centre alone is uniform over the frame at every time, whatever the
    motion, so that no single frame tells the motion.
    """
    while True:
        centres = rng.uniform(margin, FRAME_SIZE - margin, (num_sprites, 2))
        gaps = abs(centres[:, None] - centres[None])
        distances = np.linalg.norm(np.minimum(gaps, FRAME_SIZE - gaps), axis=-1)
        if (distances[np.triu_indices(num_sprites, 1)] >= MIN_DISTANCE).all():
            return centres


def _trajectory(rng: np.random.Generator, centre: np.ndarray, direction: int) -> np.ndarray:
    vector = np.array(list(DIRECTIONS.values())[direction], float)
    step = rng.uniform(*SPEEDS) * vector / np.linalg.norm(vector)
    times = np.arange(NUM_FRAMES) - NUM_FRAMES // 2
    return (centre + times[:, None] * step) % FRAME_SIZE


def sample_scene(
    rng: np.random.Generator, digit_images: list[np.ndarray], *, still: bool = False
) -> list[Sprite]:
    """One to three sprites of distinct kinds and colours; all factors drawn independently.

    Args:
        rng: source of all choices.
        digit_images: ten arrays [n, 8, 8] in [0, 1].
        still: one frame with every sprite inside, as a photographer frames his subjects,
            in place of NUM_FRAMES frames in which sprites cross the border.
    """
    num_sprites = int(rng.integers(1, 4))
    kinds = rng.permutation(len(KINDS))[:num_sprites]
    colours = rng.permutation(len(COLOURS))[:num_sprites]
    centres = sample_centres(rng, num_sprites, margin=SPRITE_SIZES[1] / 2 if still else 0)
    sprites = []
    for kind, colour, centre in zip(kinds, colours, centres, strict=True):
        size = int(rng.integers(SPRITE_SIZES[0], SPRITE_SIZES[1] + 1))
        if kind < len(DIGITS):
            alpha = digit_alpha(rng.choice(digit_images[kind]), size)
        else:
            alpha = shape_alpha(KINDS[kind], size)
        rgb = np.array(list(COLOURS.values())[colour], "float32") * rng.uniform(0.88, 1)
        direction = None if still else int(rng.integers(len(DIRECTIONS)))
        path = centre[None] if direction is None else _trajectory(rng, centre, direction)
        sprites.append(Sprite(int(kind), int(colour), direction, rgb, alpha, path))
    return sprites


def sample_background(rng: np.random.Generator) -> np.ndarray:
    """A dark texture [H, W, 3] of low contrast: smooth noise around one dim tint."""
    weights = _smooth_weights(FRAME_SIZE, 6)
    noise = rng.uniform(-0.06, 0.06, (3, 6, 6))
    texture = np.moveaxis(weights @ noise @ weights.T, 0, -1)
    return (rng.uniform(0.07, 0.2, 3) + texture).clip(0, 1).astype("float32")


def _wrapping_weights(starts: np.ndarray, length: int) -> np.ndarray:
    """How much of each pixel each sprite row covers, around the border: [T, FRAME_SIZE, length]."""
    pixels = np.arange(FRAME_SIZE, dtype="float32")[:, None]
    rows = np.arange(length, dtype="float32")[None, :]
    distances = abs(pixels - rows - starts[:, None, None].astype("float32"))
    return np.maximum(1 - np.minimum(distances, abs(FRAME_SIZE - distances)), 0)


def render_frames(sprites: list[Sprite], background: np.ndarray) -> np.ndarray:
    """Paint the sprites, the last on top: uint8 [T, H, W, 3]."""
    num_frames = len(sprites[0].centres)
    planes = np.repeat(background.transpose(2, 0, 1)[None], num_frames, axis=0)  # [T, 3, H, W]
    for sprite in sprites:
        height, width = sprite.alpha.shape
        rows = _wrapping_weights(sprite.centres[:, 0] - height / 2, height)
        columns = _wrapping_weights(sprite.centres[:, 1] - width / 2, width)
        alpha = (rows @ sprite.alpha @ columns.transpose(0, 2, 1))[:, None]  # [T, 1, H, W]
        planes += alpha * (sprite.rgb[:, None, None] - planes)
    return np.ascontiguousarray((planes * 255 + 0.5).astype("uint8").transpose(0, 2, 3, 1))


def sprite_boxes(sprite: Sprite) -> np.ndarray:
    """Boxes [T, 4] as (y0, x0, y1, x1) in [0, 1] of the frame.

    Where a sprite crosses the border, the box holds the piece with its centre, the largest.
    """
    half = np.array(sprite.alpha.shape) / 2
    corners = np.concatenate([sprite.centres - half, sprite.centres + half], axis=1)
    return corners.clip(0, FRAME_SIZE) / FRAME_SIZE
