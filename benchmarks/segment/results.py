"""What the runs left, as a table for each data set."""

import json
import statistics
from collections import defaultdict
from pathlib import Path
from typing import Any

from nnunetv2_factorizer.segment.evaluation import CONTROLS

Runs = dict[str, dict[str, list[dict[str, Any]]]]
"""Data set, method; a run a seed."""

CHOSEN, LEAKY = "best-overlap", "leaky"
COLUMNS = (
    "method", "seeds", "Dice", *(f"{control}, Dice" for control in CONTROLS), "HM", "XOR", "matched Dice", "ARI", "VI",
    "segments", "collapsed", "s an image", "leaky Dice", "leaky, everything",
)  # fmt: skip


def read(out: Path) -> Runs:
    found: Runs = defaultdict(lambda: defaultdict(list))
    for path in sorted(out.glob("*_seed*.json")):
        result = json.loads(path.read_text(encoding="utf-8"))
        found[result["data"]][result["method"]].append(result)
    return found


def print_tables(out: Path) -> None:
    """Means over cases and seeds, with the range over the seeds, and beside each Dice its controls.

    `random` and `k-means` have as many segments in each image as the method's map has.
    """
    for data, of_data in read(out).items():
        runs = [run for of_method in of_data.values() for run in of_method]
        cases = len(runs[0][CHOSEN]["cases"])
        print(f"\n{data}: {cases} images. {'; '.join(sorted({run['machine'] for run in runs}))}.\n")
        print(f"| {' | '.join(COLUMNS)} |\n|{' --- |' * len(COLUMNS)}")
        for method, of_method in of_data.items():
            print(f"| {' | '.join(_cells(method, of_method, cases))} |")
    print(f"\nLeaky: {_notice(out)}")


def _cells(method: str, runs: list[dict[str, Any]], cases: int) -> list[str]:
    def mean(score: str, row: str = method, protocol: str = CHOSEN) -> list[float]:
        return [run[protocol]["mean"][row][score] for run in runs]

    dice = mean("Dice")
    collapsed = round(sum(mean("collapsed")))
    seconds = [second for run in runs for second in run["seconds"].values()]
    return [
        method,
        f"{len(runs)}",
        f"{statistics.mean(dice):.3f}" + (f" ({min(dice):.3f} to {max(dice):.3f})" if len(dice) > 1 else ""),
        *(f"{statistics.mean(mean('Dice', control)):.3f}" for control in CONTROLS),
        *(f"{statistics.mean(mean(score)):.3f}" for score in ("HM", "XOR", "matched Dice", "ARI", "VI")),
        f"{statistics.mean(mean('segments')):.1f}",
        f"{collapsed} of {cases * len(runs)}",
        f"{statistics.median(seconds):.2f}",
        f"{statistics.mean(mean('Dice', method, LEAKY)):.3f}",
        f"{statistics.mean(mean('Dice', 'everything', LEAKY)):.3f}",
    ]


def _notice(out: Path) -> str:
    notices = {run[LEAKY]["notice"] for of_data in read(out).values() for runs in of_data.values() for run in runs}
    return " ".join(sorted(notices))
