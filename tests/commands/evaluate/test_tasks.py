import pytest

from keras_videoprism.commands.evaluate.tasks import TASKS, load_task


def test_a_task_has_the_values_of_the_call(copies):
    task, found = load_task("diving48", copies("diving48"), epochs=3, views=(1, 1))
    assert (task.recipe.epochs, task.recipe.views, task.recipe.dropout) == (3, (1, 1), 0.5)
    assert len(found.train) == len(found.test) == 6
    assert found.classes == ["Back 15som blue", "Back 15som green", "Back 15som red"]
    assert found.test[0].path == copies("diving48") / "videos" / "test_00000.mp4"
    _, found = load_task("diving48", copies("diving48"), "elsewhere")
    assert found.test[0].path.parts[0] == "elsewhere"


def test_what_is_missing_or_unknown_is_named(copy):
    folder = copy("diving48")
    with pytest.raises(ValueError, match=r"no task 'k401'; .*'k400'"):
        load_task("k401", folder)
    with pytest.raises(ValueError, match=r"a recipe has no \['epoch', 'rate'\]; it has"):
        load_task("diving48", folder, rate=1, epoch=2)
    (folder / "Diving48_vocab.json").unlink()
    with pytest.raises(ValueError, match=r"lacks \['Diving48_vocab.json'\]; diving48 reads"):
        load_task("diving48", folder)


@pytest.mark.parametrize(
    ("task", "file", "old", "new", "message"),
    [
        ("diving48", "Diving48_vocab.json", '"green"], [', '"green"]] ', "not JSON"),
        ("diving48", "Diving48_V2_test.json", '"label": 2', '"label": 9', r"class ids \[9\], but"),
        ("ssv2", "labels.json", "something red", "something pink", "entry 5: no value"),
        ("kabr", "classes.json", ', "Browse": 2', "", r"class ids \[2\], but there are 2 classes"),
        ("k400", "val.csv", "\r\nred,", "\r\n,", "2 clips have not one class each"),
        ("k400", "val.csv", "blue,", "black,", "entry 1: no value 'black'"),
        ("chimpact", "action_list.txt", "behaviour 22", "", "needs the names of 23 behaviours"),
        ("ava", "ava_val_v2.2.csv", "0.9,0.9,3", "0.9,1.1,3", "is empty or leaves the frame"),
        ("ava", "ava_train_v2.2.csv", "0.6,0.1,0.9", "0.6,0.1,0.6", "is empty or leaves the"),
        ("nextqa_atp_hard", "atp-hard-ct4.txt", "4", "9", "needs a number from 0 to 5, has '9'"),
    ],
)
def test_annotations_that_disagree(copy, task, file, old, new, message):
    folder = copy(task)
    content = (folder / file).read_bytes().decode()
    assert old in content
    (folder / file).write_bytes(content.replace(old, new).encode())
    with pytest.raises(ValueError, match=message):
        load_task(task, folder)


def test_parts_without_a_common_class(copy):
    folder = copy("kabr")
    for part, label in (("train", 0), ("val", 1)):
        lines = (folder / f"{part}.csv").read_text().splitlines()
        lines[1:] = [f"{line[:-1]}{label}" for line in lines[1:]]
        (folder / f"{part}.csv").write_text("\n".join(lines))
    with pytest.raises(ValueError, match="no class of the clips to test on is trained"):
        load_task("kabr", folder)


def test_the_protocols_that_differ_from_the_rest():
    """VideoGLUE, Tables 10 to 12; Appendix H."""
    assert (TASKS["k400"].recipe.epochs, TASKS["k400"].recipe.views) == (150, (4, 3))
    assert TASKS["ssv2"].recipe.views == (1, 3) and not TASKS["ssv2"].recipe.flip
    assert TASKS["ava"].recipe.finetune_rate == 1e-2 and TASKS["ava"].recipe.layer_decay == 0.75
    assert TASKS["activitynet"].recipe.batch_size == 32
    assert TASKS["kabr"].loss == "equalization" and TASKS["kabr"].recipe.frozen_rate == 5e-6
    assert TASKS["chimpact"].recipe.num_frames == 64
    assert {name for name, task in TASKS.items() if task.left_out} == {
        "calms21",
        "crim13_side",
        "crim13_top",
    }
