from keras_videoprism.commands.progress import progress_bar


def test_bar_shows_what_is_done(capsys):
    with progress_bar("write") as update:
        update(3, 3)
    printed = capsys.readouterr()
    assert "3/3" in printed.err and not printed.out
