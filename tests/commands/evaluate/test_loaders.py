import pytest

from keras_videoprism.commands.evaluate import loaders
from keras_videoprism.commands.evaluate.tasks import TASKS
from keras_videoprism.data import annotations


def load(function, folder):
    return function(folder, folder / "videos")


def test_classes_are_in_the_order_of_their_ids(copies):
    kinetics = load(loaders.kinetics, copies("k400"))
    assert kinetics.classes == ["blue", "green", "red"]
    assert [row.labels for row in kinetics.test] == [(0,), (0,), (1,), (1,), (2,), (2,)]
    assert kinetics.test[5].name == "red/test5_000003_000013.mp4"
    assert load(loaders.kinetics_zero_shot, copies("k400")).train == []
    assert load(loaders.moments, copies("mit")).classes == ["blue", "green", "red"]
    names = load(loaders.ssv2, copies("ssv2")).classes
    assert names[2] == "Moving something red to the side"
    charades = load(loaders.charades, copies("charades"))
    assert charades.classes == ["See blue", "See green", "See red"]
    assert [row.labels for row in charades.test][:3] == [(0,), (0, 1), (1,)]
    assert load(loaders.kabr, copies("kabr")).classes == ["Walk", "Graze", "Browse"]


def test_ava_counts_the_listed_actions(copies):
    found = load(loaders.ava, copies("ava"))
    assert len(found.classes) == 80 and found.scored == [2, 3, 4] and found.found is None
    assert found.classes[2:5] == ["blue", "green", "red"] and found.classes[0] == "action 1"
    assert len(found.train) == 6 and len(found.test) == 5
    assert [box.labels for box in found.test[2].boxes] == [(3, 79), (2,)]
    joined = load(loaders.ava_kinetics, copies("ava_kinetics"))
    assert len(joined.train) == 13 and len(joined.test) == 12 and joined.test[-1].boxes == ()


def test_boxes_of_a_detector(copy):
    folder = copy("ava_kinetics")
    line = "test0,1,0.1,0.2,0.3,0.4,,{}\n"
    (folder / "ava_val_predicted_boxes.csv").write_text(line.format(0.81) + line.format(0.79))
    found = load(loaders.ava, folder).found
    assert found == {("test0", 1.0): [((0.1, 0.2, 0.3, 0.4), 0.81)]}
    assert load(loaders.ava_kinetics, folder).found is None  # those of Kinetics are missing
    line = "k_test0,0.75,0.1,0.2,0.3,0.4,,0.2\n"
    (folder / "kinetics_val_predicted_boxes.csv").write_text(line)
    assert load(loaders.ava_kinetics, folder).found.keys() == {("test0", 1.0), ("k_test0", 0.75)}


@pytest.mark.parametrize("content", ["", 'item { name: "a" id: 81 }', 'item { name: "a" id: 0 }'])
def test_a_wrong_list_of_actions(copy, content):
    folder = copy("ava")
    (folder / loaders.AVA_CLASSES).write_text(content)
    with pytest.raises(ValueError, match="no list of actions with ids from 1 to 80"):
        load(loaders.ava, folder)


def test_questions(copies):
    questions = load(loaders.nextqa, copies("nextqa_atp_hard")).test
    assert [question.row.name for question in questions] == [f"400{i}.mp4" for i in (0, 0, 1, 2)]
    assert questions[3].answers == ("red",) and len(questions[0].choices) == 5
    moments = load(loaders.charades_sta, copies("charades_sta")).test
    assert moments[2].choices == ("a green square.", "it goes on moving.")
    assert moments[3].answers == ("it goes on moving.",) and moments[3].row.start == 0.6


def test_open_questions(copies):
    found = load(loaders.nextqa_open, copies("nextqa_open"))
    assert [len(part) for part in found] == [6, 6, 6]
    assert found.test[0].answers == ("a blue square", "the square")
    assert found.train[0].answers == found.test[1].answers == ("a blue square",)
    assert found.test[2].kind == "DL" and found.test[2].row.name == "0101/4001.mp4"
    found = load(loaders.msrvtt_qa, copies("msrvtt_qa"))
    assert [part[0].row.name for part in found] == ["video0.mp4", "video20.mp4", "video40.mp4"]
    found = load(loaders.msvd_qa, copies("msvd_qa"))
    assert found.test[5].row.name == "-4wsuPCjDBc_45_15.avi" and found.test[5].answers == ("red",)
    assert found.validation[2].question == "which colour has square 2?"


def test_steps_of_recipes_are_clips(copies):
    task = TASKS["youcook2_captions"]
    rows = load(task.load, copies("youcook2_captions")).test
    assert [(row.name, row.start) for row in rows[:3]] == [
        ("cook1.mp4", 0.0),
        ("cook1.mp4", 0.6),
        ("cook2.mp4", 0.0),
    ]


def test_science(copies):
    load_flies = loaders.parts(annotations.fly_vs_fly, [*annotations.FLY_BEHAVIOURS], fps=30.0)
    flies = load(load_flies, copies("fly_vs_fly"))
    assert [row.labels for row in flies.test] == [(0, 2, 4), (1, 3, 5)] * 2
    mice = load(loaders.calms21, copies("calms21"))
    assert [row.labels for row in mice.train] == [(0,), (2,), (1,), (3,)]
    side = load(loaders.crim13("side"), copies("crim13_side"))
    assert side.classes == ["approach", "attack", "other"]
    assert side.test[0].path == copies("crim13_side") / "videos" / "side" / "Dec0.mp4"
    with pytest.raises(ValueError, match="train has no annotation file"):
        load(loaders.crim13("side"), copies("kabr"))


def test_the_demo_corpus_by_parts_of_its_classes(copies):
    kinds = load(loaders.demo(0, ["zero", "one"]), copies("demo_kinds"))
    assert {label for row in kinds.train for label in row.labels} <= {0, 1}
    assert all(row.labels for row in kinds.train)
    boxes = load(loaders.demo_boxes, copies("demo_boxes"))
    assert len(boxes.classes) == len(boxes.scored) == 24
    assert boxes.test[0].row.start == 0.0 and boxes.test[0].row.end == 2.0
    moves = load(loaders.demo_moves, copies("demo_moves"))
    assert len(moves.train) == len(moves.test) == 6 and moves.test[0].duration == 8.0
