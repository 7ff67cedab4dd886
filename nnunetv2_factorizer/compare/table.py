"""From the results of the runs to the rows of the table; numbers here, their words in `cells`."""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nnunetv2_factorizer.compare.networks import REFERENCE
from nnunetv2_factorizer.tune.statistics import estimate

Result = Mapping[str, Any]
Row = dict[str, Any]


def rows(results: Sequence[Result], names: Sequence[str]) -> list[Row]:
    """One for each network that has a result, in the order of the names.

    Costs are medians over the folds, scores means over the cases. `difference` is the mean over the cases that nnU-Net
    has, too, of the Dice of a case minus that of nnU-Net, with its 95 % interval by the bootstrap; None without.

    Args:
        results: of the runs.
        names: of the networks.
    """
    of = {name: [result for result in results if result["network"] == name] for name in names}
    reference = _dice_of_cases(of.get(REFERENCE, []))
    return [_row(name, found, reference if name != REFERENCE else {}) for name, found in of.items() if found]


def _row(name: str, results: Sequence[Result], reference: Mapping[Any, float]) -> Row:
    first, dice = results[0], _dice_of_cases(results)
    scores = [case for result in results for case in result["cases"].values()]
    labels = list(scores[0])
    row: Row = {
        "network": name,
        "trainer": first["trainer"],
        "folds": " ".join(str(result["fold"]) for result in results),
        "patch": "x".join(map(str, first["patch_size"])),
        "batch": first["batch_size"],
        "iterations": round(statistics.median(result["iterations"] for result in results)),
        "parameters": first["parameters"],
        "gflops": first["gflops"],
        "step": statistics.median(result["step"] for result in results),
        "peak_gib": None if first["peak_gib"] is None else max(result["peak_gib"] for result in results),
        "cases": len(scores),
        "dice": statistics.mean(dice.values()),
        "hd95": statistics.mean(score["hd95"] for case in scores for score in case.values()),
    }
    for label in labels:
        for metric in ("dice", "hd95"):
            row[f"{metric} {label}"] = statistics.mean(case[label][metric] for case in scores)
    common = sorted(dice.keys() & reference.keys())
    row |= dict.fromkeys(("difference", "difference_low", "difference_high"))
    if common:
        differences = np.array([dice[case] - reference[case] for case in common])
        found = estimate("difference", differences, np.mean)
        row |= {key: None if math.isnan(value) else value for key, value in found.items()}
    return row


def _dice_of_cases(results: Sequence[Result]) -> dict[tuple[int, str], float]:
    """By fold and case, the mean over the labels."""
    return {
        (result["fold"], case): statistics.mean(score["dice"] for score in labels.values())
        for result in results
        for case, labels in result["cases"].items()
    }


def cells(row: Row) -> dict[str, str]:
    """Title to text."""
    low, high = row["difference_low"], row["difference_high"]
    interval = "" if low is None else f" [{low:+.3f}, {high:+.3f}]"
    labels = [key.removeprefix("dice ") for key in row if key.startswith("dice ")]
    return {
        "network": row["network"],
        "patch, batch": f"{row['patch']}, {row['batch']}",
        "folds": row["folds"],
        "iterations": str(row["iterations"]),
        "parameters": f"{row['parameters'] / 1e6:.2f} M",
        "GFLOPs": f"{row['gflops']:.1f}",
        "s / step": f"{row['step']:.3g}",
        "peak, GiB": "" if row["peak_gib"] is None else f"{row['peak_gib']:.2f}",
        "Dice": f"{row['dice']:.3f}",
        f"minus {REFERENCE}": "" if row["difference"] is None else f"{row['difference']:+.3f}{interval}",
        "HD95, mm": f"{row['hd95']:.2f}",
        **{f"Dice {label}": f"{row[f'dice {label}']:.3f}" for label in labels if len(labels) > 1},
        **{f"HD95 {label}": f"{row[f'hd95 {label}']:.2f}" for label in labels if len(labels) > 1},
    }
