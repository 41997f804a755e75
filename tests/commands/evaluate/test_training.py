import keras
import numpy as np
import pytest

from keras_videoprism.commands.evaluate.protocol import Recipe
from keras_videoprism.commands.evaluate.training import (
    Examples,
    Training,
    check_training,
    head_size,
    num_layers,
    optimizer,
    schedule,
)
from keras_videoprism.models import VideoPrism

RECIPE = Recipe(frozen_rate=1e-3, finetune_rate=1e-4, weight_decay=0.1, layer_decay=0.5)


def test_rates_of_the_recipe_or_of_the_call():
    assert Training(RECIPE).pairs == [(1e-3, 0.1)]
    assert Training(RECIPE, "mlap").pairs == [(1e-3, 0.1)]
    assert Training(RECIPE, "adapter").pairs == [(1e-4, 0.1)]
    training = Training(RECIPE, learning_rates=(1, 2), weight_decays=(3, 4))
    assert training.pairs == [(1, 3), (1, 4), (2, 3), (2, 4)]


def test_features_are_kept_where_the_encoder_does_not_change():
    kept = [Training(RECIPE, method).cached for method in ("frozen", "mlap", "adapter", "finetune")]
    assert kept == [True, True, False, False]
    assert not Training(RECIPE, through_encoder=True).cached


@pytest.mark.parametrize(
    ("training", "number"),
    [
        (Training(RECIPE._replace(epochs=0)), 9),
        (Training(RECIPE._replace(batch_size=0)), 9),
        (Training(RECIPE), 1),
        (Training(RECIPE, "finetune", learning_rates=(1, 2)), 9),
        (Training(RECIPE, through_encoder=True, weight_decays=(1, 2)), 9),
    ],
)
def test_what_cannot_be_trained(training, number):
    with pytest.raises(ValueError, match="needs positive|trains on videos here, once"):
        check_training(training, number)
    check_training(Training(RECIPE, learning_rates=(1, 2)), 2)


def test_the_paper_has_one_head_for_all_sizes(encoder):
    assert head_size(encoder) == {"num_heads": 2, "hidden_dim": 16}
    large = type("Large", (), {"hidden_dim": 1408, "num_heads": 16, "num_temporal_layers": 4})
    assert head_size(large) == {"num_heads": 12, "hidden_dim": 768}
    assert (num_layers(encoder, "mlap"), num_layers(encoder, "frozen")) == (2, 1)
    assert num_layers(large, "mlap") == 4


def test_the_rate_warms_up_and_falls_to_zero():
    rates = schedule(Recipe(warmup_share=0.2), 10, 1.0)
    found = [float(rates(step)) for step in range(11)]
    cosine = [0.5 + 0.5 * np.cos(np.pi * i / 8) for i in range(9)]
    np.testing.assert_allclose(found, [0.0, 0.5, *cosine], atol=1e-6)
    assert float(schedule(Recipe(warmup_share=0.9), 1, 1.0)(0)) == 1.0  # one step, no warm-up


def test_layers_learn_more_slowly_where_the_encoder_trains(encoder):
    found = optimizer(encoder, Training(RECIPE, "finetune"), 10, 1e-3, 0.1)
    assert isinstance(found, keras.optimizers.AdamW) and found.weight_decay == 0.1
    assert found.layer_decay == 0.5
    assert optimizer(encoder, Training(RECIPE), 10, 1e-3, 0.1).layer_decay == 1.0
    assert isinstance(encoder, VideoPrism)


def test_examples_of_some_rows():
    examples = Examples(np.array([3, 5, 9]), np.eye(3, dtype=bool), {"boxes": np.arange(3)})
    part = examples.take(np.array([0, 2]))
    assert part.clip_ids.tolist() == [3, 9] and part.others["boxes"].tolist() == [0, 2]
    assert part.targets.argmax(axis=1).tolist() == [0, 2]
