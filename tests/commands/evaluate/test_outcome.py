from keras_videoprism.commands.evaluate.outcome import Outcome


def test_an_outcome_of_numbers_alone_has_nothing_to_draw():
    outcome = Outcome({"map": 0.5}, 3, [])
    assert outcome.scores is None and len(outcome.rows) == len(outcome.classes) == 0
    assert len(outcome.answers) == 0
