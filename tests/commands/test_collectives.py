"""Traffic counted in programs written by hand."""

from keras_videoprism.commands.collectives import Traffic, collectives

LOOP = """HloModule jit_step, entry_computation_layout={()->f32[]}

%add (x: f32[], y: f32[]) -> f32[] {
  ROOT %sum = f32[] add(%x, %y)
}

%body (state: (s32[], f32[4,10])) -> (s32[], f32[4,10]) {
  %ar = f32[4,10]{1,0} all-reduce(%part), replica_groups=[2,4]<=[8], to_apply=%add
  ROOT %out = (s32[], f32[4,10]{1,0}) tuple(%i, %ar)
}

%condition (state: (s32[], f32[4,10])) -> pred[] {
  ROOT %less = pred[] compare(%i, %n), direction=LT
}

%rare (x: bf16[8]) -> bf16[16] {
  ROOT %ag = bf16[16]{0} all-gather(%x), replica_groups={{0,1},{2,3},{4,5},{6,7}}, dimensions={0}
}

%often (x: bf16[8]) -> bf16[16] {
  ROOT %pad = bf16[16]{0} pad(%x, %zero), padding=0_8
}

ENTRY %main (a: f32[4,10]) -> f32[] {
  %loop = (s32[], f32[4,10]) while(%start), condition=%condition, body=%body, backend_config={"known_trip_count":{"n":"3"}}
  %choice = bf16[16]{0} conditional(%p, %x, %x), branch_computations={%rare, %often}
  %user = f32[] negate(%all-reduce.5), metadata={op_name="not an all-reduce("}
}
"""  # noqa: E501


def one(line: str) -> dict[str, Traffic]:
    return collectives(f"ENTRY %main (a: f32[]) -> f32[] {{\n  {line}\n}}\n", devices=8)


def test_a_loop_counts_as_often_as_it_runs_and_a_branch_once():
    # 3 sums of 160 bytes in rings of 4; one gathered array of 32 bytes in rings of 2.
    assert collectives(LOOP, 8) == {
        "all-gather": Traffic(1, 32, 16),
        "all-reduce": Traffic(3, 480, 720),
    }


def test_what_a_device_sends():
    groups = "replica_groups=[1,8]<=[8]"
    for text, kind, traffic in (
        (f"f32[16]{{0}} all-gather(%a), {groups}", "all-gather", (1, 64, 56)),
        (f"f32[16]{{0}} all-reduce(%a), {groups}", "all-reduce", (1, 64, 112)),
        (f"f32[2]{{0}} reduce-scatter(%a), {groups}", "reduce-scatter", (1, 64, 56)),
        (f"(u8[8]{{0}}, pred[8]{{0}}) all-to-all(%a, %b), {groups}", "all-to-all", (1, 16, 14)),
        ("f32[2]{0} collective-permute(%a), source_target_pairs={{0,1}}", None, (1, 8, 8)),
    ):
        assert one(f"ROOT %x = {text}") == {kind or "collective-permute": Traffic(*traffic)}, text


def test_groups_of_devices():
    mesh = "mesh['axis_0'=1,'axis_1'=4,'axis_2'=2], device_ids=([2,4]T(1,0))"
    for groups, size in (
        ("{}", 8),
        ("{{0,1,2,3},{4,5,6,7}}", 4),
        ("[4,2]<=[2,4]T(1,0)", 2),
        (f"{mesh} {{'axis_1'}}", 4),
        (f"{mesh} {{'axis_1','axis_2'}}", 8),
        ("mesh['a'=8] {'a':(2)2}", 2),
    ):
        line = f"%x = s64[{size}]{{0}} all-gather(%a), replica_groups={groups}, dimensions={{0}}"
        assert one(line) == {"all-gather": Traffic(1, 8 * size, 8 * (size - 1))}, groups


def test_sums_of_bfloat16_that_a_cpu_does_in_float32():
    line = "%x = f32[10]{0} all-reduce(%a), replica_groups={{0,1}}, to_apply=%add.1.clone_promoted"
    assert one(line) == {"all-reduce": Traffic(1, 20, 20)}


def test_a_program_without_traffic():
    assert one("%x = f32[2]{0} negate(%a)") == {}
