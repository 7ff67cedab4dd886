"""What the runs left: a table of arms and numbers of labelled cases, and a plot."""

import json
import statistics
from collections import defaultdict
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from scipy.stats import ttest_rel

Runs = dict[str, dict[int, dict[int, dict[str, Any]]]]
"""Arm, labelled cases, selection."""

REFERENCE = "scratch"


def read(out: Path) -> Runs:
    found: Runs = defaultdict(lambda: defaultdict(dict))
    for path in sorted(out.glob("*.json")):
        result = json.loads(path.read_text(encoding="utf-8"))
        found[result["arm"]][result["cases"]][result["selection"]] = result
    return found


def print_table(out: Path) -> None:
    """Mean Dice over the selections, its range, and by label; minus that of scratch, 95 % interval over cases."""
    runs = read(out)
    numbers = sorted({cases for of_arm in runs.values() for cases in of_arm})
    print(f"| arm | pre-training, s | {' | '.join(f'{cases} labelled cases' for cases in numbers)} |")
    print("| --- | --- |" + " --- |" * len(numbers))
    for arm, of_arm in runs.items():
        seconds = max(run["pretraining_seconds"] for of_cases in of_arm.values() for run in of_cases.values())
        cells = [_cell(of_arm.get(cases, {}), runs[REFERENCE].get(cases, {})) for cases in numbers]
        print(f"| {arm} | {seconds:.0f} | {' | '.join(cells)} |")


def _cell(ours: dict[int, dict[str, Any]], scratch: dict[int, dict[str, Any]]) -> str:
    if not ours:
        return ""
    dice = [run["dice"] for run in ours.values()]
    text = f"{statistics.mean(dice):.3f}"
    if len(dice) > 1:
        text += f" ({min(dice):.3f} to {max(dice):.3f})"
    of_labels = [
        statistics.mean(each) for each in zip(*(r["dice_of_labels"].values() for r in ours.values()), strict=True)
    ]
    text += f"; {', '.join(f'{dice:.3f}' for dice in of_labels)}"
    common = sorted(ours.keys() & scratch.keys())
    pairs = [
        (ours[s]["dice_of_cases"][case], scratch[s]["dice_of_cases"][case])
        for s in common
        for case in sorted(ours[s]["dice_of_cases"])
    ]
    if ours is scratch or not pairs:
        return text
    interval = ttest_rel(*zip(*pairs, strict=True)).confidence_interval(0.95)
    difference = statistics.mean(a - b for a, b in pairs)
    return f"{text}; {difference:+.3f} ({interval.low:+.3f} to {interval.high:+.3f})"


def plot(out: Path) -> Figure:
    """Dice over the number of labelled cases, a line an arm; bars from the worst to the best selection."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for arm, of_arm in read(out).items():
        numbers = sorted(of_arm)
        dice = [[run["dice"] for run in of_arm[cases].values()] for cases in numbers]
        means = [statistics.mean(values) for values in dice]
        below = [mean - min(values) for mean, values in zip(means, dice, strict=True)]
        above = [max(values) - mean for mean, values in zip(means, dice, strict=True)]
        axes.errorbar(numbers, means, [below, above], label=arm, capsize=3, marker="o", markersize=3)
    axes.set(xscale="log", xlabel="labelled cases", ylabel="Dice of 40 validation cases")
    axes.grid(alpha=0.3)
    figure.legend(fontsize="small", loc="outside right upper")
    return figure
