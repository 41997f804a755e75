import numpy as np
import pytest

from keras_videoprism import presets
from keras_videoprism.commands.start_models import check_start, copy_weights, start_models
from keras_videoprism.models import VideoPrism, VideoPrismLvT

TINY = {
    "patch_size": 8,
    "position_shape": (2, 2, 2),
    "hidden_dim": 8,
    "num_spatial_layers": 1,
    "num_temporal_layers": 1,
    "num_heads": 2,
    "mlp_dim": 16,
}
TEXT = {"vocabulary_size": 20, "num_text_layers": 1, "num_auxiliary_layers": 0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("presets")
    presets.save(VideoPrism(**TINY), folder / "encoder")
    presets.save(VideoPrismLvT(**TINY, **TEXT), folder / "towers")
    return folder


def test_the_teacher_is_stored_in_the_dtype_of_the_products(folder):
    towers = str(folder / "towers")
    teacher, student = start_models(
        2, str(folder / "encoder"), teacher=towers, dtype="mixed_bfloat16"
    )
    assert {w.dtype for w in teacher.weights} == {"bfloat16"}
    assert {w.dtype for w in student.weights} == {"float32"}
    assert student.compute_dtype == teacher.compute_dtype == "bfloat16"
    exact = presets.from_preset(towers).video_encoder  # the student starts from what was saved
    for weight, expected, rounded in zip(
        student.get_weights(),
        exact.get_weights(),
        teacher.video_encoder.get_weights(),
        strict=True,
    ):
        np.testing.assert_array_equal(weight, expected)
        np.testing.assert_array_equal(rounded, expected.astype(rounded.dtype))
    teacher, _ = start_models(2, str(folder / "encoder"), teacher=towers)
    assert teacher.compute_dtype == "float32"


def test_a_student_of_another_size_keeps_its_weights(folder):
    teacher = presets.from_preset(folder / "towers")
    student = VideoPrism(**{**TINY, "num_spatial_layers": 2})
    before = student.get_weights()
    copy_weights(student, teacher)
    for weight, expected in zip(student.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, expected)


def test_attention_fits_the_weights_or_is_new(folder):
    encoder, towers = str(folder / "encoder"), str(folder / "towers")
    _, student = start_models(2, encoder, teacher=towers, attention="joint")
    assert student.attention == "joint"
    with pytest.raises(ValueError, match="are of factorized attention; received .*'joint'"):
        start_models(2, encoder, teacher=towers, attention="joint", init=True)


def test_what_cannot_start(folder):
    with pytest.raises(ValueError, match="stage 2 needs a teacher"):
        start_models(2, "nothing")
    with pytest.raises(ValueError, match="init_from and freeze_spatial are for stage 1"):
        check_start(2, teacher="a", freeze_spatial=True)
    with pytest.raises(ValueError, match="would keep a random spatial encoder"):
        check_start(1, freeze_spatial=True)
    with pytest.raises(ValueError, match="has no tokenizer; name a SentencePiece model"):
        start_models(1, str(folder / "towers"))
