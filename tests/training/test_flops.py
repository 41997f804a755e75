import math

import keras
import numpy as np
import pytest

from keras_videoprism.converters import freeze_spatial
from keras_videoprism.layers.masking import bevt_visible
from keras_videoprism.models import VideoPrism, VideoPrismLvT
from keras_videoprism.training import Stage1Model, Stage2Model
from keras_videoprism.training.flops import blocks, measure_peak, stage2_visible, step_work, tube

needs_jax = pytest.mark.skipif(keras.backend.backend() != "jax", reason="reads JAX's programs")


def products_of(jaxpr) -> int:
    """Operations of all matrix products in a program of JAX."""
    total = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            ((contracted, _), _) = equation.params["dimension_numbers"]
            shape = equation.invars[0].aval.shape
            total += (
                2
                * math.prod(equation.outvars[0].aval.shape)
                * math.prod(shape[axis] for axis in contracted)
            )
        for parameter in equation.params.values():
            total += products_of(parameter.jaxpr) if hasattr(parameter, "jaxpr") else 0
    return total


def loss_and_state(stage, clips: dict):
    """The loss of a batch as a function of what learns; the values to give it."""
    trainable = [variable.value for variable in stage.trainable_variables]
    rest = [variable.value for variable in stage.non_trainable_variables]

    def loss(trainable: list):
        y_pred, _ = stage.stateless_call(trainable, rest, clips, training=True)
        return stage.stateless_compute_loss(trainable, rest, [], x=clips, y_pred=y_pred)[0]

    return loss, trainable


def counted(stage, clips: dict) -> int:
    """Operations of the products in the gradient of the loss."""
    import jax

    loss, trainable = loss_and_state(stage, clips)
    return products_of(jax.make_jaxpr(jax.value_and_grad(loss))(trainable).jaxpr)


def per_clip(stage, batch) -> float:
    """What each further clip costs: tables of positions are resized once for a batch."""
    return (counted(stage, batch(4)) - counted(stage, batch(2))) / 2


@needs_jax
@pytest.mark.parametrize("attention", ["factorized", "joint"])
@pytest.mark.parametrize("dropping_ratio", [0.5, 0.0])
def test_stage1_counts_the_products_of_jax(stage1, batch, dropping_ratio, attention):
    stage = stage1(dropping_ratio=dropping_ratio, attention=attention)
    work = step_work(stage, batch(4))
    similarities = 3 * 2 * 16 * (4**2 - 2**2) / 2
    assert per_clip(stage, batch) - similarities == work.flops / 4
    assert work.visible_tokens == 4 * 4 * (16 if dropping_ratio == 0.0 else 8)


@needs_jax
def test_stage1_counts_the_pixel_decoder(autoencoder, batch):
    stage = autoencoder()
    similarities = 3 * 2 * 16 * (4**2 - 2**2) / 2
    assert per_clip(stage, batch) - similarities == step_work(stage, batch(4)).flops / 4


@pytest.mark.parametrize("num_auxiliary_layers", [0, 1])
@pytest.mark.parametrize("cached", [True, False], ids=["cached", "videos"])
def test_no_backward_pass_runs_through_a_frozen_encoder(
    stage1, batch, cached, num_auxiliary_layers
):
    config = {**stage1().model.get_config(), "num_auxiliary_layers": num_auxiliary_layers}
    model = VideoPrismLvT.from_config(config)
    model.video_encoder.trainable = False
    stage = Stage1Model(model, dropping_ratio=0.0)

    def clips(count):
        clips = batch(count)
        if cached:
            del clips["videos"]
            clips["video_tokens"] = np.zeros((count, 64, 16), "float32")
        return clips

    similarities = 3 * 2 * 16 * (4**2 - 2**2) / 2
    expected = step_work(stage, clips(4)).flops / 4
    assert per_clip(stage, clips) - similarities == expected


@needs_jax
def test_a_frozen_spatial_encoder(stage1, batch):
    stage = stage1()
    freeze_spatial(stage.model.video_encoder)
    similarities = 3 * 2 * 16 * (4**2 - 2**2) / 2
    assert per_clip(stage, batch) - similarities == step_work(stage, batch(4)).flops / 4


@needs_jax
@pytest.mark.parametrize(
    "arguments",
    [
        {"num_masked_frames": 3},
        {"mask": "tube", "student_dim": 24},
        {"global_distillation": False},
        {"attention": "joint", "num_masked_frames": None},
    ],
    ids=["block", "wider student, tube", "no global loss", "joint"],
)
def test_stage2_counts_the_products_of_jax(stage2, batch, arguments):
    stage = stage2(**{"num_masked_frames": 4, **arguments})
    assert per_clip(stage, batch) == step_work(stage, batch(4)).flops / 4


@needs_jax
def test_xla_counts_a_few_per_cent_more(batch):
    """XLA adds what is no product: at width 128 little is left of it."""
    import jax

    keras.utils.set_random_seed(0)
    model = VideoPrismLvT(
        patch_size=6,
        position_shape=(4, 4, 4),
        hidden_dim=128,
        num_spatial_layers=1,
        num_temporal_layers=1,
        num_heads=2,
        mlp_dim=512,
        num_auxiliary_layers=0,
        vocabulary_size=20,
        num_text_layers=1,
    )
    stage, clips = Stage1Model(model), batch(8)
    loss, trainable = loss_and_state(stage, clips)
    lowered = jax.jit(jax.value_and_grad(loss)).lower(trainable)
    ratio = lowered.cost_analysis()["flops"] / step_work(stage, clips).flops
    assert 1.0 < ratio < 1.1


def test_pairs_of_the_masks():
    grid = 4, 2, 3
    assert tube(grid, 0.5) == (4 * 3, 4 * 3 * 3, 3 * 4 * 4)
    # Three frames show 2 of 6 patches: 2 places are seen 4 times, 4 places once.
    assert blocks(grid, 3, 2) == (3 * 2 + 6, 3 * 2 * 2 + 36, 2 * 16 + 4 * 1)


def test_pairs_of_masks_of_any_length(stage2):
    """The mean over lengths is that of masks as they are drawn."""
    stage, grid = stage2(), (8, 8, 8)
    clip_id = np.arange(500)
    positions = bevt_visible(0, 0, clip_id, grid, stage.masking_ratio)
    seen = np.zeros((500, 8 * 64))
    np.put_along_axis(seen, keras.ops.convert_to_numpy(positions), 1, axis=1)
    seen = seen.reshape(500, 8, 64)
    visible = stage2_visible(stage, grid)
    assert visible.tokens == pytest.approx(512 - 333)
    space = np.square(seen.sum(axis=2)).sum(axis=1).mean()
    time = np.square(seen.sum(axis=1)).sum(axis=1).mean()
    assert visible.space_pairs == pytest.approx(space, rel=0.02)
    assert visible.time_pairs == pytest.approx(time, rel=0.02)


def test_what_is_no_stage(stage1, batch):
    with pytest.raises(ValueError, match="a Stage1Model or a Stage2Model; received"):
        step_work(keras.Sequential(), batch(2))


def test_a_giant_step_by_hand(no_weights):
    """Stage 2 of the paper's giant model: the teacher's forward pass and three of a third of it."""
    with no_weights():
        giant = {
            "hidden_dim": 1408,
            "num_spatial_layers": 36,
            "num_temporal_layers": 4,
            "num_heads": 16,
            "mlp_dim": 6144,
        }
        teacher = VideoPrismLvT(**giant, num_auxiliary_layers=0, num_text_layers=1)
        stage = Stage2Model(VideoPrism(**giant), teacher)
    videos = np.broadcast_to(np.float32(0), (1, 8, 288, 288, 3))
    forward = 2 * 2048 * (40 * (4 * 1408**2 + 2 * 1408 * 6144))
    flops = step_work(stage, {"videos": videos}).flops
    assert flops / forward == pytest.approx(2.15, abs=0.1)


def test_a_peak_is_measured(monkeypatch):
    """Products of 2 * 8**3 operations; the clock says that the fastest takes half a second."""
    ticks = iter([0.0, 9.0, 10.0, 11.0, 20.0, 20.5])
    monkeypatch.setattr("keras_videoprism.training.flops.time.perf_counter", lambda: next(ticks))
    assert measure_peak(size=8, tries=2) == 2 * 8**3 / 0.5
