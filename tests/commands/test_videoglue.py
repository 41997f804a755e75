import json

import pytest
from rich.console import Console

from keras_videoprism.__main__ import main
from keras_videoprism.commands.videoglue import (
    compare,
    report_tables,
    summarize,
    videoglue_report,
)
from keras_videoprism.evaluation.videoglue import METHODS, groups_of, trainable_costs


def result(task: str = "k400", method: str = "frozen", **changes) -> dict:
    metrics = changes.pop("metrics", {"top1": 0.8, "top5": 0.95})
    whole = {
        "task": task,
        "method": method,
        "preset": "videoprism_b",
        "metrics": metrics,
        "headline": next(iter(metrics)),
        "num_examples": 1000,
        "excluded": [],
    }
    return {**whole, **changes}


def videoglue(method: str, score: float, **changes) -> list[dict]:
    tasks = [task for group in groups_of(method).values() for task in group]
    return [result(task, method, metrics={"map": score}, **changes) for task in tasks]


def test_a_number_stands_beside_those_of_the_paper() -> None:
    (found,) = compare(result(), "VideoPrism-B")  # no table has a top-5 of this
    assert found[:3] == ("k400", "frozen", "top1")
    assert found[3:] == (pytest.approx(80.0), 84.2, 82.9, 82.8)


def test_all_metrics_that_the_paper_prints_are_compared() -> None:
    metrics = {"text_to_video_r1": 0.5, "text_to_video_r5": 0.7, "chance_r1": 0.001}
    found = compare(result("vatex", "zero_shot", metrics=metrics), "VideoPrism-B")
    assert [c[2:] for c in found] == [
        ("text_to_video_r1", 50.0, 57.7, 56.2, 53.2),
        ("text_to_video_r5", 70.0, 88.5, None, 83.3),
    ]


def test_a_task_that_the_paper_has_not() -> None:
    (found,) = compare(result("demo_kinds", metrics={"map": 0.9, "chance": 0.1}), "VideoPrism-B")
    assert found[2:] == ("map", 90.0, None, None, None)


def test_summary_needs_all_tasks_and_methods() -> None:
    frozen = videoglue("frozen", 0.5)
    summary = summarize(frozen, trainable_costs())
    assert summary.averages == {"frozen": pytest.approx(50.0)} and summary.score is None
    assert summary.missing["mlap"].startswith("not measured: activitynet, ava")
    every = [entry for method in METHODS for entry in videoglue(method, 0.5)]
    summary = summarize(every, trainable_costs())
    assert summary.score == pytest.approx(50.0) and not summary.missing
    summary = summarize([*frozen[1:], {**frozen[0], "preset": "videoprism_l"}], trainable_costs())
    assert summary.missing["frozen"] == "measured with several models: videoprism_b, videoprism_l"


def test_what_was_left_out_is_in_the_report() -> None:
    excluded = [{"reason": "video is missing", "count": 1234, "examples": ["a", "b", "c", "d"]}]
    results = [result(excluded=excluded)]
    compared, summary = videoglue_report(results, console=Console(file=None, quiet=True))
    tables = dict(
        (title, rows)
        for title, _, rows in report_tables(results, compared, summary, "VideoPrism-B")
    )
    assert tables["Left out"] == [("k400", "frozen", "video is missing", "1,234", "a, b, c, ...")]
    (row,) = tables["Measured of videoprism_b, in percent"]
    assert row == ("k400", "frozen", "top1", "80.0", "84.2", "82.9", "82.8", "1,000")
    assert tables["Stratified averages and VGS"][-1][:3] == ("VGS", "–", "53.2")


def test_the_command_reads_files_and_writes_a_page(tmp_path, capsys) -> None:
    files = []
    for entry in (result(), result("vatex", "zero_shot", metrics={"text_to_video_r1": 0.5})):
        files.append(tmp_path / f"{entry['task']}.json")
        files[-1].write_text(json.dumps(entry))
    page = tmp_path / "page.html"
    assert main(["videoglue-report", *map(str, files), "--output", str(page)]) == 0
    printed = capsys.readouterr().out
    assert "84.2" in printed and "57.7" in printed and f"Page: {page}" in printed
    text = page.read_text()
    assert text.count("<img") == 1 and "leads on 31 of 33" in text
    assert "<td>k400</td><td>frozen</td><td>top1</td><td>80.0</td><td>84.2</td>" in text


@pytest.mark.parametrize(
    ("results", "message"),
    [
        ([], "nothing to report"),
        ([result(), result()], "k400 was measured twice by 'frozen'"),
        ([{"task": "k400"}], "'k400' has no method, preset"),
        ([result(metrics={"top1": float("nan")})], "k400.*nan"),
        ([result(metrics={"top1": -0.1})], "k400.*-0.1"),
        ([result(headline="map")], "'map' is none of"),
    ],
)
def test_refuses(results: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        videoglue_report(results)


def test_refuses_other_files_and_models(tmp_path) -> None:
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(ValueError, match="holds no result of `evaluate`, but a list"):
        videoglue_report([tmp_path / "list.json"])
    with pytest.raises(ValueError, match="no costs of 'VideoPrism-g'"):
        videoglue_report([result()], model="VideoPrism-g")
