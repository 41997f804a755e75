"""The longer run of the demo: several seeds, their spread, and the presets that ship.

    python tools/train_tiny.py runs/ --seeds 0 1 2

Each seed is a full run of `examples/demo.py` with more clips and steps, all on one corpus. A run
that is finished is not done again. `--ship` copies the first seed's models into the package,
`--readme` writes the table into README.md.
"""

import argparse
import json
import re
import shutil
import statistics
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "examples"))

import demo  # noqa: E402
import demo_report  # noqa: E402

LONG = {"clips": 8000, "stills": 12000, "stage1_steps": 2000, "stage2_steps": 1600}
PRESETS = {"stage1": "videoprism_lvt_tiny", "stage2": "videoprism_tiny"}
MARKERS = "<!-- {name}:begin -->", "<!-- {name}:end -->"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("output", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--ship", action="store_true", help="copy the presets into the package")
    parser.add_argument("--readme", help="marker of the README's table to replace")
    for name, value in LONG.items():
        parser.add_argument("--" + name.replace("_", "-"), type=int, default=value)
    options = parser.parse_args()
    sizes = {name: getattr(options, name) for name in LONG}
    runs = [options.output / str(seed) for seed in options.seeds]
    for seed, run in zip(options.seeds, runs, strict=True):
        if not (run / "results.json").exists():
            share_corpus(runs[0], run)
            demo.run(run, seed, **sizes)
    results = [json.loads((run / "results.json").read_text()) for run in runs]
    table = markdown(results)
    print(table)
    if options.readme:
        write_between(ROOT / "README.md", options.readme, table)
    if options.ship:
        ship(runs[0])


def share_corpus(first: Path, run: Path) -> None:
    """Let `run` use the corpus, records and tokenizer of the first run."""
    run.mkdir(parents=True, exist_ok=True)
    for name in ("corpus", "records", "tokenizer.spm"):
        if (first / name).exists() and not (run / name).exists():
            (run / name).symlink_to((first / name).resolve())


def markdown(results: list[dict]) -> str:
    """Both tables of the report; over several seeds as mean ± standard deviation."""
    parts = [
        _table(demo_report.ENCODERS, demo_report.SCORES, [r["encoders"] for r in results]),
        _table(demo_report.PREDICTORS, demo_report.LOSSES, [r["stage2"] for r in results]),
    ]
    facts = [
        f"{name}: {_cell([result['setup'].get(name) for result in results])}"
        for name in results[0]["setup"]
    ]
    seeds = "one seed" if len(results) == 1 else f"{len(results)} seeds, mean ± standard deviation"
    return "\n\n".join([*parts, f"{seeds}; " + "; ".join(facts) + "."])


def _table(rows: dict, columns: dict, runs: list[dict]) -> str:
    lines = [
        "| | " + " | ".join(title for title, _ in columns.values()) + " |",
        "|---" * (len(columns) + 1) + "|",
    ]
    for row, (title, _) in rows.items():
        cells = [_cell([run.get(row, {}).get(column) for run in runs]) for column in columns]
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(values: list[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "–"
    mean = f"{statistics.mean(known):.3f}"
    return mean if len(known) == 1 else f"{mean} ± {statistics.stdev(known):.3f}"


def write_between(path: Path, name: str, text: str) -> None:
    """Replace what stands between the markers `name`."""
    begin, end = (marker.format(name=name) for marker in MARKERS)
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    content = path.read_text()
    if not pattern.search(content):
        raise ValueError(f"{path} has no markers {begin} and {end}.")
    path.write_text(pattern.sub(lambda _: f"{begin}\n{text}\n{end}", content))


def ship(run: Path) -> None:
    """Copy the models of a run into the package."""
    ignored = shutil.ignore_patterns("curves.json", "stage.weights.h5")
    for stage, preset in PRESETS.items():
        target = ROOT / "keras_videoprism" / "weights" / preset
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(run / stage, target, ignore=ignored)


if __name__ == "__main__":
    main()
