from keras_videoprism.commands.evaluate.protocol import Recipe, Task


def test_a_task_has_a_recipe_and_no_shots_of_its_own():
    task = Task("Clips", "classify", "top1", ("train.csv",), lambda data, videos: None)
    assert task.recipe == Recipe() and task.shots == () and not task.multi_label
    assert Recipe(epochs=3)._replace(views=(1, 1))[:2] == (3, 256)
