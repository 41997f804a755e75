import keras
import numpy as np
import pytest

from keras_videoprism.training import Stage2Model
from keras_videoprism.training.losses import cosine_distance

needs_jax = pytest.mark.skipif(keras.backend.backend() != "jax", reason="once is enough")
LARGER = {"student_dim": 64, "decoder_dim": 64, "decoder_mlp_dim": 128}


def train(model: Stage2Model, batch: dict, steps: int, rate: float) -> dict[str, float]:
    """Logs of the last of some steps of Adam with cosine decay."""
    schedule = keras.optimizers.schedules.CosineDecay(rate, steps)
    model.compile(keras.optimizers.Adam(schedule))
    for _ in range(steps):
        model.reset_metrics()
        logs = model.train_on_batch(batch, return_dict=True)
    return {name: float(value) for name, value in logs.items()}


@pytest.mark.backends
@pytest.mark.parametrize(
    "arguments",
    [{}, {"mask": "tube"}, {"num_masked_frames": 3}, {"shuffle": False, "student_dim": 24}],
    ids=["bevt", "tube", "block", "wider student in place"],
)
def test_outputs(run, stage2, batch, arguments):
    model, clips = stage2(**arguments), batch(2)
    outputs = run(model, clips)
    teacher = run(model.teacher.video_encoder, clips["videos"])
    np.testing.assert_allclose(outputs["teacher_tokens"], teacher, atol=1e-5)
    embeddings = run(model.teacher.encode_video, clips["videos"])
    np.testing.assert_allclose(outputs["teacher_embeddings"], embeddings, atol=1e-5)
    assert outputs["tokens"].shape == (2, 64, 16) and outputs["embeddings"].shape == (2, 16)
    masked = {"tube": 4 * 10, "bevt": 42}[model.mask]
    np.testing.assert_array_equal(outputs["masked"].sum(axis=1), masked)


@pytest.mark.backends
@pytest.mark.parametrize("loss_on", ["all", "masked", "visible"])
def test_losses(stage2, loss_on):
    model = stage2(loss_on=loss_on)
    rng = np.random.default_rng(0)
    y_pred = {
        name: keras.ops.convert_to_tensor(rng.normal(size=shape), "float32")
        for name, shape in {
            "tokens": (2, 6, 4),
            "teacher_tokens": (2, 6, 4),
            "embeddings": (2, 4),
            "teacher_embeddings": (2, 4),
        }.items()
    }
    masked = np.arange(12).reshape(2, 6) % 3 == 0
    distance = cosine_distance(y_pred["tokens"], y_pred["teacher_tokens"])
    distance = keras.ops.convert_to_numpy(distance)
    chosen = {"all": np.ones((2, 6), bool), "masked": masked, "visible": ~masked}[loss_on]
    token_loss = distance[chosen].mean()
    global_loss = cosine_distance(y_pred["embeddings"], y_pred["teacher_embeddings"])
    global_loss = keras.ops.convert_to_numpy(global_loss).mean()
    loss = model.compute_loss(y_pred={**y_pred, "masked": masked})
    assert float(loss) == pytest.approx(token_loss + global_loss, abs=1e-5)
    summaries = model.summaries({**y_pred, "masked": masked})
    assert float(summaries["masked_token_loss"]) == pytest.approx(distance[masked].mean(), abs=1e-5)


@pytest.mark.backends
def test_the_teacher_never_changes(stage2, batch):
    model = stage2()
    teacher = model.teacher.get_weights()
    student = model.student.get_weights()
    assert not any(v is w for v in model.trainable_variables for w in model.teacher.weights)
    train(model, batch(4), steps=3, rate=0.1)
    for before, after in zip(teacher, model.teacher.get_weights(), strict=True):
        np.testing.assert_array_equal(after, before)
    changes = [
        np.abs(before - after).max()
        for before, after in zip(student, model.student.get_weights(), strict=True)
    ]
    assert min(changes) > 0


def test_student_can_start_from_the_teacher(run, stage2, batch):
    model = stage2()
    model.student.set_weights(model.teacher.video_encoder.get_weights())
    videos = batch(2)["videos"]
    expected = run(model.teacher.video_encoder, videos)
    np.testing.assert_allclose(run(model.student, videos), expected, atol=1e-6)


def test_without_global_distillation(stage2, batch):
    model = stage2(global_distillation=False, student_dim=24)
    logs = train(model, batch(2), steps=1, rate=1e-3)
    assert model.global_decoder is None and "global_loss" not in logs
    assert logs["loss"] == pytest.approx(logs["token_loss"], abs=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mask": "random"}, "'bevt' or 'tube'; received 'random'"),
        ({"loss_on": "hidden"}, "received 'hidden'"),
        ({"masking_ratio": 1.0}, r"in \[0, 1\); received 1.0"),
        ({"masking_ratio": 0.999}, "leaves none of 64 tokens"),
        ({"masking_ratio": 0.99, "mask": "tube"}, "leaves none of 16 tokens"),
        ({"masking_ratio": 0.0, "loss_on": "masked"}, "masks none of 64. Raise it"),
        ({"masking_ratio": 0.02, "loss_on": "masked", "mask": "tube"}, "masks none of 16"),
        ({"num_masked_frames": 2}, r"one of \[3, 4\] .*received 2"),
    ],
)
def test_arguments_that_cannot_work(stage2, batch, arguments, message):
    with pytest.raises(ValueError, match=message):
        stage2(**arguments).check_batch(batch(2))


@needs_jax
@pytest.mark.parametrize("shuffle", [True, False])
def test_overfits_sixteen_clips(stage2, batch, shuffle):
    """With new masks (and permutations) at every step."""
    logs = train(stage2(shuffle=shuffle, **LARGER), batch(16), steps=250, rate=3e-3)
    assert logs["residual_cosine"] > 0.9
    assert logs["global_loss"] < 0.02


@needs_jax
def test_a_student_that_sees_all_reaches_nearly_zero(stage2, batch):
    model = stage2(shuffle=False, masking_ratio=0.0, decoder_dim=64, decoder_mlp_dim=128)
    model.student.set_weights(model.teacher.video_encoder.get_weights())
    logs = train(model, batch(16), steps=250, rate=3e-3)
    assert logs["loss"] < 0.02
