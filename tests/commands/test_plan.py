"""The plan of a tiny step (see plan_on_devices.py), and calls that cannot work."""

import re

import pytest

from keras_videoprism.__main__ import main
from keras_videoprism.commands.plan import checked_config, make_stage2, parse_mesh, plan
from keras_videoprism.presets import PRESETS

CALL = ("plan", "--stage", "1", "--preset", "videoprism_b", "--batch", "8", "--devices", "8")


def test_operations_are_those_of_the_model(planned):
    plan_file, steps = planned
    for found, stage in ((plan_file, "stage1"), (steps["stage2"]["plan"], "stage2")):
        assert found["flops"]["model"] == pytest.approx(steps[stage]["flops"] / 8)
        assert found["flops"]["compiled"] > found["flops"]["model"] / 2


def test_devices_that_share_clips_sum_all_gradients(planned):
    """A ring of 8: 7/8 of all bytes twice. No variable is gathered, only embeddings are.

    Of the pooler's key kernel, which meets the one query first, a row for each head is summed.
    """
    plan_file, _ = planned
    gradients = 4 * plan_file["parameters"]
    summed = plan_file["collectives"]["all-reduce"]
    assert 0.85 * gradients <= summed["bytes"] < 1.5 * gradients
    assert summed["sent"] == pytest.approx(summed["bytes"] * 7 / 4, abs=summed["times"])
    assert plan_file["collectives"]["all-gather"]["bytes"] < gradients


def test_sharded_variables_are_gathered_in_both_micro_batches(planned):
    """Half of the kernels is some 10 kB; each part of the batch needs them, forward and back."""
    traffic = planned[1]["stage2"]["plan"]["collectives"]
    assert traffic["all-gather"]["bytes"] > 2 * 2 * 10_000
    assert traffic["all-reduce"]["times"] > 10


def test_memory_of_a_device(planned):
    plan_file, steps = planned
    memory = plan_file["memory"]
    assert memory["variables"] == 4 * plan_file["parameters"] + 8
    assert memory["batch"] == 2 * (4 * 24 * 24 * 3 + 4 + 64 * 4 + 64)
    metrics = memory["arguments"] - sum(memory[x] for x in ("variables", "optimizer", "batch"))
    assert 0 < metrics < 100
    assert memory["temporary"] > 0
    held = memory["arguments"] + memory["outputs"] - memory["reused"] + memory["temporary"]
    assert memory["total"] == held
    assert steps["stage2"]["plan"]["memory"]["variables"] == steps["stage2"]["sizes"]["variables"]


def test_what_the_file_holds(planned):
    plan_file, _ = planned
    assert plan_file["settings"]["mesh"] == {"data": 8, "model": 1}
    assert plan_file["settings"]["preset"] == "videoprism_tiny"
    assert plan_file["lowered"] == ["cpu", "tpu", "cuda"]
    estimate = plan_file["estimates"]["TPU v5e"]
    assert estimate["compute"] == pytest.approx(plan_file["flops"]["model"] / 197e12)
    assert estimate["step"] == max(estimate[part] for part in ("compute", "memory", "network"))
    assert estimate["fits"] is True


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--mesh", "data=4,model=4"), "needs 16 devices; received devices=8"),
        (("--mesh", "data=4,expert=2"), r"'data' and 'model'; received \['expert'\]"),
        (("--mesh", "8x1"), "written as data=64,model=4; received '8x1'"),
        (("--devices", "0"), "devices must be at least 1; received 0"),
        (("--mesh", "data=1,model=8"), "model=8 devices cannot share num_heads=12"),
        (("--devices", "5", "--batch", "5", "--shard-over-data"), "share hidden_dim=768"),
        (("--mesh", "model=8", "--stage", "2", "--preset", "videoprism_g"), None),
        (("--mesh", "data=1,model=8", "--preset", "videoprism_g", "--batch", "1"), "at least 2"),
        (("--batch", "12"), "12 cannot be split .* each of 8 .* multiple of 8"),
        (("--micro-batches", "2"), "8 cannot be split into 2 .* multiple of 16"),
        (("--micro-batches", "0"), "micro_batches must be at least 1; received 0"),
        (("--preset", "videoprism_x"), "preset must be one of .* received 'videoprism_x'"),
    ],
)
def test_sizes_that_do_not_fit_are_refused_at_once(monkeypatch, capsys, options, message):
    def stop(count: int) -> None:
        raise ValueError("all sizes fit")

    monkeypatch.setattr("keras_videoprism.commands.plan.simulate_devices", stop)
    assert main([*CALL, *options]) == 2
    assert re.search(message or "all sizes fit", capsys.readouterr().err)


def test_a_stage_is_1_or_2():
    with pytest.raises(ValueError, match="stage must be 1 or 2; received 3"):
        plan(3, "videoprism_b", 8)


def test_meshes_are_read():
    assert parse_mesh("data=64, model=4") == {"data": 64, "model": 4}


def test_any_name_of_a_size_means_its_two_towers():
    """The stage-1 model of the paper has no auxiliary layers."""
    expected = {**PRESETS["videoprism_lvt_g"], "num_auxiliary_layers": 0}
    for name in ("videoprism_g", "videoprism_lvt_g"):
        assert checked_config(1, name) == checked_config(2, name) == expected
    assert checked_config(1, "videoprism_public_v1_base") == {"num_auxiliary_layers": 0}


def test_the_student_has_the_size_of_the_teacher():
    stage = make_stage2(checked_config(2, "videoprism_tiny"), "float32", remat=True)
    assert stage.remat
    assert stage.student.hidden_dim == stage.teacher.video_encoder.hidden_dim == 96
    assert stage.student.num_spatial_layers == 3
