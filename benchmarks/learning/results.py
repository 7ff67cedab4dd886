"""What the trainings left: read, put together over folds and seeds, compared in pairs, drawn."""

import json
import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import ttest_rel

Run = dict[str, Any]


@dataclass(frozen=True)
class Group:
    """The trainings of one method on one data set with one budget: folds, and seeds."""

    runs: Sequence[Run]

    @property
    def keys(self) -> set[tuple[int, int]]:
        """Fold and seed of each."""
        return {(run["fold"], run["seed"]) for run in self.runs}

    def only(self, keys: set[tuple[int, int]]) -> "Group":
        return Group([run for run in self.runs if (run["fold"], run["seed"]) in keys])

    @property
    def dice_of_cases(self) -> dict[str, float]:
        """Of each validation case, the mean over the seeds."""
        of_cases: dict[str, list[float]] = defaultdict(list)
        for run in self.runs:
            for case, dice in run["dice_of_cases"].items():
                of_cases[case].append(dice)
        return {case: statistics.mean(dice) for case, dice in of_cases.items()}

    @property
    def seconds(self) -> list[float]:
        """Of an iteration, in each epoch; empty where the clock of a training was not that of its process."""
        taken = []
        for run in self.runs:
            points = [{"iteration": 0, "seconds": 0.0}, *run["curve"]]
            for before, after in pairwise(point for point in points if "seconds" in point):
                taken.append((after["seconds"] - before["seconds"]) / (after["iteration"] - before["iteration"]))
        return taken

    @property
    def curve(self) -> tuple[list[int], list[float]]:
        """Iterations, and nnU-Net's Dice of validation patches, the mean over the trainings."""
        curves = [run["curve"] for run in self.runs]
        return (
            [point["iteration"] for point in curves[0]],
            [statistics.mean(point["dice"] for point in points) for points in zip(*curves, strict=True)],
        )


Groups = dict[tuple[str, int], dict[str, Group]]


def read(out: Path, folds: Sequence[int] | None = None) -> Groups:
    """By data set and iterations, then by method; of these folds, or of all."""
    found: dict[tuple[str, int], dict[str, list[Run]]] = defaultdict(lambda: defaultdict(list))
    for path in sorted(out.glob("*.json")):
        run = json.loads(path.read_text(encoding="utf-8"))
        if folds is not None and run["fold"] not in folds:
            continue
        found[run["data"], run["iterations"]][run["method"]].append(run)
    return {key: {method: Group(runs) for method, runs in methods.items()} for key, methods in sorted(found.items())}


def seconds_of(groups: Groups, data: str, method: str) -> float | None:
    """Of an iteration: the median over the epochs of all budgets, since an epoch may have shared the machine."""
    found = [methods[method].seconds for (name, _), methods in groups.items() if name == data and method in methods]
    taken = [seconds for group in found for seconds in group]
    return statistics.median(taken) if taken else None


def difference(ours: Group, reference: Group) -> tuple[float, float, float, int] | None:
    """Mean of ours minus reference, its 95 % interval, and the number of cases, of the folds and seeds that both have.

    The interval is that of a paired t-test over cases. It says nothing of other trainings: the models are as they are.
    """
    common = ours.keys & reference.keys
    a, b = ours.only(common).dice_of_cases, reference.only(common).dice_of_cases
    cases = sorted(a.keys() & b.keys())
    if len(cases) < 2:
        return None
    values = np.array([a[case] for case in cases]), np.array([b[case] for case in cases])
    interval = ttest_rel(*values).confidence_interval(0.95)
    return float((values[0] - values[1]).mean()), float(interval.low), float(interval.high), len(cases)


def print_tables(out: Path, reference: str, folds: Sequence[int] | None = None) -> None:
    """One for each data set and budget; Dice is the mean over the cases, as are the pairs."""
    groups = read(out, folds)
    for (data, iterations), methods in groups.items():
        print(f"\n{data}, {iterations} iterations\n")
        print(f"| method | parameters | s / iteration | folds, seeds | Dice | minus {reference} (95 %), cases |")
        print("| --- | --- | --- | --- | --- | --- |")
        for method, group in sorted(methods.items(), key=lambda item: -_mean(item[1])):
            pair = difference(group, methods[reference]) if reference in methods and method != reference else None
            text = "" if pair is None else f"{pair[0]:+.3f} ({pair[1]:+.3f} to {pair[2]:+.3f}), {pair[3]}"
            seconds = seconds_of(groups, data, method)
            of_runs = "; ".join(f"{fold}, {seed}" for fold, seed in sorted(group.keys))
            parameters = f"{group.runs[0]['parameters'] / 1e6:.2f} M"
            taken = "" if seconds is None else f"{seconds:.2f}"
            print(f"| {method} | {parameters} | {taken} | {of_runs} | {_mean(group):.3f} | {text} |")


def _mean(group: Group) -> float:
    return statistics.mean(group.dice_of_cases.values())


def plot(
    out: Path, data: str, methods: Sequence[str], budgets: Sequence[int], folds: Sequence[int] | None = None
) -> Figure:
    """Dice of validation patches over iterations and over seconds, a line for each method and length of training."""
    figure = Figure(figsize=(10, 4.4), layout="constrained")
    by_iteration, by_second = figure.subplots(1, 2, sharey=True)
    groups = read(out, folds)
    for number, method in enumerate(methods):
        for iterations in budgets:
            group = groups.get((data, iterations), {}).get(method)
            if group is None:
                continue
            steps, dice = group.curve
            style = {"color": f"C{number}", "linestyle": "-" if iterations == max(budgets) else "--"}
            label = f"{method}, {iterations} iterations"
            by_iteration.plot(steps, dice, label=label, **style)
            seconds = seconds_of(groups, data, method)
            if seconds is not None:
                by_second.plot([step * seconds for step in steps], dice, label=label, **style)
    by_iteration.set(xlabel="iterations", ylabel="Dice of validation patches", ylim=(0.5, 0.95))
    by_second.set(xlabel="CPU seconds")
    figure.legend(*by_iteration.get_legend_handles_labels(), fontsize="small", loc="outside lower center", ncols=4)
    for axes in (by_iteration, by_second):
        axes.grid(alpha=0.3)
    return figure
