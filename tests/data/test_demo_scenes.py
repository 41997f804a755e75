import math

import numpy as np
import pytest

from keras_videoprism.data.demo_scenes import (
    CLASSES,
    COLOURS,
    DIRECTIONS,
    FRAME_SIZE,
    KINDS,
    MIN_DISTANCE,
    NUM_FRAMES,
    SHAPES,
    Sprite,
    digit_alpha,
    render_frames,
    sample_scene,
    shape_alpha,
    sprite_boxes,
)

DIGIT_IMAGES = [np.pad(np.full((1, 8, 4), 1.0), ((0, 0), (0, 0), (2, 2)))] * 10  # an upright bar


@pytest.fixture(scope="module")
def scenes():
    return [sample_scene(np.random.default_rng([7, i]), DIGIT_IMAGES) for i in range(2000)]


def sprite(colour="white", centre=(40, 40), height=20, width=12):
    alpha = np.ones((height, width), "float32")
    return Sprite(0, 0, 0, np.array(COLOURS[colour], "float32"), alpha, np.array([centre], float))


BLACK = np.zeros((FRAME_SIZE, FRAME_SIZE, 3), "float32")


def test_digits_are_scaled_cropped_and_keep_their_strokes():
    alpha = digit_alpha(DIGIT_IMAGES[0][0], 32)
    assert abs(alpha.shape[0] - 32) <= 3 and abs(alpha.shape[1] - 16) <= 3
    assert alpha.max() == 1 and alpha[8:24, 5:11].min() == 1


@pytest.mark.parametrize(
    "name, area",  # of the square [-1, 1] x [-1, 1]
    [
        ("circle", math.pi * 0.81),
        ("square", 1.56**2),
        ("triangle", 1.7),
        ("star", 10 * 0.42 * math.sin(math.pi / 5) / 2),
        ("cross", 4 * 0.54 * 0.95 - 0.54**2),
        ("ring", math.pi * (0.94**2 - 0.5**2)),
    ],
)
def test_shapes_have_their_areas(name, area):
    size = 40
    assert shape_alpha(name, size).sum() * 4 / size**2 == pytest.approx(area, rel=0.03)


def test_classes_are_kinds_colours_directions():
    assert [len(names) for names in CLASSES.values()] == [16, 6, 8]
    assert CLASSES["kinds"][10:] == tuple(SHAPES)


def test_kinds_colours_and_directions_are_balanced_and_independent(scenes):
    kinds, colours, directions = np.array(
        [(s.kind, s.colour, s.direction) for scene in scenes for s in scene]
    ).T
    for a, b in [(kinds, directions), (colours, directions), (kinds, colours)]:
        table = np.zeros((a.max() + 1, b.max() + 1))
        np.add.at(table, (a, b), 1)
        expected = len(a) / table.size  # equal shares: balance and independence at once
        chi_square = ((table - expected) ** 2 / expected).sum()
        assert chi_square < table.size + 4 * np.sqrt(2 * table.size)
    assert (len(np.unique(kinds)), len(np.unique(colours))) == (len(KINDS), len(COLOURS))


def test_scenes_have_one_to_three_distinct_sprites_apart_at_the_middle_frame(scenes):
    assert {len(scene) for scene in scenes} == {1, 2, 3}
    for scene in scenes[:300]:
        assert len({s.kind for s in scene}) == len({s.colour for s in scene}) == len(scene)
        for i, first in enumerate(scene):
            for second in scene[:i]:
                gap = abs(first.centres - second.centres)[NUM_FRAMES // 2]
                assert np.linalg.norm(np.minimum(gap, FRAME_SIZE - gap)) >= MIN_DISTANCE


def test_sprites_move_straight_at_constant_speed_in_their_direction(scenes):
    for scene in scenes[:300]:
        for s in scene:
            steps = np.diff(s.centres, axis=0)
            steps = (steps + FRAME_SIZE / 2) % FRAME_SIZE - FRAME_SIZE / 2
            np.testing.assert_allclose(steps, np.repeat(steps[:1], NUM_FRAMES - 1, 0), atol=1e-9)
            assert 2 <= np.linalg.norm(steps[0]) <= 3
            signs = tuple(np.sign(steps[0].round(9)).astype(int))
            assert signs == list(DIRECTIONS.values())[s.direction]


@pytest.mark.parametrize("frame", [0, NUM_FRAMES // 2, NUM_FRAMES - 1])
def test_the_place_in_one_frame_does_not_tell_the_direction(scenes, frame):
    for direction in range(len(DIRECTIONS)):
        centres = np.array(
            [s.centres[frame] for scene in scenes for s in scene if s.direction == direction]
        )
        circular_mean = np.exp(2j * np.pi * centres / FRAME_SIZE).mean(axis=0)
        assert (abs(circular_mean) < 3.5 / np.sqrt(len(centres))).all()


def test_sprites_of_a_still_lie_inside_the_frame():
    for i in range(50):
        for s in sample_scene(np.random.default_rng(i), DIGIT_IMAGES, still=True):
            size = (sprite_boxes(s)[0, 2:] - sprite_boxes(s)[0, :2]) * FRAME_SIZE
            assert s.direction is None and len(s.centres) == 1
            np.testing.assert_allclose(size, s.alpha.shape)


@pytest.mark.parametrize("centre", [(40, 40), (33.3, 20.7), (2, 40), (79, 78)])
def test_sprites_wrap_and_boxes_hold_the_piece_with_the_centre(centre):
    bar = sprite(centre=centre)
    painted = render_frames([bar], BLACK)[0, ..., 0]
    assert painted.sum() / 255 == pytest.approx(20 * 12, rel=0.01)  # nothing is lost
    y0, x0, y1, x1 = sprite_boxes(bar)[0] * FRAME_SIZE
    inside = painted[math.ceil(y0) : math.floor(y1), math.ceil(x0) : math.floor(x1)]
    assert (inside == 255).all()
    assert (y1 - y0) * (x1 - x0) >= 20 * 12 / 4  # the largest of at most four pieces
    shift = [FRAME_SIZE // 2 - math.floor(c) for c in centre]
    unwrapped = np.roll(painted, shift, (0, 1))
    assert (unwrapped[31:49, 35:45] == 255).all() and not unwrapped[:29].any()


def test_the_last_sprite_is_painted_on_top():
    frames = render_frames([sprite("red"), sprite("green")], BLACK)
    assert frames[0, 40, 40].tolist() == [round(255 * c) for c in COLOURS["green"]]
