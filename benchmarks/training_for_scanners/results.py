"""What the runs left: a table an experiment, mean and range over the seeds."""

import json
from collections import defaultdict
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks.training_for_scanners.experiments import EXPERIMENTS

Run = dict[str, Any]
SHOWN = 7
"""Points of a curve of labels."""


def print_tables(out: Path) -> None:
    """A row an arm and number of iterations; for cleaning also Dice of the labels in training over its epochs."""
    runs = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(out.glob("*.json"))]
    for experiment, module in EXPERIMENTS.items():
        rows: dict[tuple[str, int], list[Run]] = defaultdict(list)
        for run in (run for run in runs if run["experiment"] == experiment):
            rows[run["arm"], run["iterations"]].append(run)
        if not rows:
            continue
        ordered = {key: rows[key] for arm in module.ARMS for key in sorted(rows) if key[0] == arm}
        columns = list(dict.fromkeys(column for of_row in ordered.values() for column in of_row[0]["values"]))
        print(f"\n{str(module.__doc__).partition(chr(10))[0]}\n")
        print(f"| {experiment} | iterations | seeds | {' | '.join(columns)} |")
        print("| --- " * (3 + len(columns)) + "|")
        for (arm, iterations), of_row in ordered.items():
            cells = [_cell([run["values"][c] for run in of_row if c in run["values"]]) for c in columns]
            print(f"| {arm} | {iterations} | {len(of_row)} | {' | '.join(cells)} |")
        _print_curves({key: of_row for key, of_row in ordered.items() if "label_curve" in of_row[0]})


def _print_curves(rows: dict[tuple[str, int], list[Run]]) -> None:
    """The epochs from the first to the last; columns are shares of the training, which may have any length."""
    if not rows:
        return
    shares = [number / (SHOWN - 1) for number in range(SHOWN)]
    print(f"\n| labels in training, Dice | {' | '.join(f'{share:.0%}' for share in shares)} | corrected from epoch |")
    print("| --- " * (SHOWN + 2) + "|")
    for (arm, iterations), of_row in rows.items():
        points = [
            [run["label_curve"][round(share * (len(run["label_curve"]) - 1))] for share in shares] for run in of_row
        ]
        cells = [_cell(list(of_seeds)) for of_seeds in zip(*points, strict=True)]
        starts = "; ".join(
            ", ".join(f"{label}: {epoch}" for label, epoch in sorted(run["corrected_from_epoch"].items()))
            for run in of_row
        )
        print(f"| {arm}, {iterations} | {' | '.join(cells)} | {starts} |")


def _cell(values: list[float]) -> str:
    if not values:
        return ""
    spread = f" ({min(values):.3f} to {max(values):.3f})" if len(values) > 1 else ""
    return f"{mean(values):.3f}{spread}"
