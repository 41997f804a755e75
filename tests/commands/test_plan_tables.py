import io

from rich.console import Console

from keras_videoprism.commands.plan_tables import plan_tables


def test_numbers_have_three_digits(planned):
    plan_file, _ = planned
    plan_file = {
        **plan_file,
        "memory": dict.fromkeys(plan_file["memory"], 12_345_678_901),
        "flops": {"model": 1.5e11, "compiled": 0.0},
        "collectives": {"all-reduce": {"times": 7, "bytes": 123_456, "sent": 1_234_567_890_123}},
    }
    console = Console(file=io.StringIO(), width=100)
    console.print(plan_tables(plan_file))
    text = console.file.getvalue()
    words = [line.strip("│ ").split() for line in text.splitlines()]
    assert "stage 1 of videoprism_tiny, 16 clips, data=8, model=1" in text
    assert [word[-1] for word in words if word[:1] == ["total"]] == ["12.3"]
    assert "│ 0.150 │" in text and "│     0 │" in text  # operations
    assert [w for w in words if w[:1] == ["all-reduce"]][0][2::2] == ["7", "0.000123", "1,230"]
    assert [w[-2] for w in words if w[:2] == ["A100", "80GB"]] == ["15.4"]  # 12.3 of 80 GB
