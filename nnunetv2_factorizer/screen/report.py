"""A screening in files: JSON and CSV with every number, and a page for a browser."""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from nnunetv2_factorizer import DISTRIBUTION
from nnunetv2_factorizer.inference.page import render
from nnunetv2_factorizer.screen.descriptors import UNUSUAL
from nnunetv2_factorizer.screen.pictures import plot
from nnunetv2_factorizer.screen.scoring import Score
from nnunetv2_factorizer.screen.statistics import Statistics

PAGE, JSON, CSV = "screen.html", "screen.json", "screen.csv"
UNEXPLAINED = "none of what is measured: look at organ, field of view and artefacts"


@dataclass(frozen=True)
class Shown:
    """A case with its pictures."""

    name: str
    score: Score
    channel: str
    """That the slices are of."""
    slices: Sequence[bytes]


def reasons(score: Score) -> str:
    """What is unusual about a shifted case, in one line; empty for one that is not shifted."""
    return "; ".join(score.reasons) or (UNEXPLAINED if score.shifted else "")


def write_report(
    folder: Path, scores: Mapping[str, Score], shown: Sequence[Shown], statistics: Statistics, threshold: float
) -> None:
    """Writes `screen.html`, `screen.json` and `screen.csv` into a folder.

    Args:
        folder: that exists.
        scores: of each case, worst first.
        shown: the cases with pictures, worst first.
        statistics: that they were compared with.
        threshold: of the distance.
    """
    record = {
        DISTRIBUTION: version(DISTRIBUTION),
        **{name: getattr(statistics, name) for name in ("dataset", "configuration", "trainer", "fold", "checkpoint")},
        "checkpoint_sha256": statistics.checkpoint_sha256,
        "threshold": threshold,
        "column": statistics.column,
        "cases": {name: _record(score) for name, score in scores.items()},
    }
    (folder / JSON).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    with (folder / CSV).open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["case", "distance", "shifted", "nearest", "reasons", *statistics.descriptors])
        for name, score in scores.items():
            told = ["" if score.nearest is None else score.nearest, reasons(score)]
            deviations = [f"{score.deviations[d]:.3f}" for d in statistics.descriptors]
            table.writerow([name, f"{score.distance:.4f}", score.shifted, *told, *deviations])
    distances = [score.distance for score in scores.values()]
    content = {
        "statistics": statistics,
        "threshold": threshold,
        "scores": scores,
        "shifted": sum(score.shifted for score in scores.values()),
        "training_cases": sum(entry.cases for entry in statistics.entries),
        "plot": plot(list(statistics.held_out.values()), distances, threshold),
        "shown": shown,
        "unusual": UNUSUAL,
    }
    page = render(__package__, "page.html.jinja", content, reasons=reasons, largest=_largest)
    (folder / PAGE).write_text(page, encoding="utf-8")


def _record(score: Score) -> dict[str, Any]:
    return {
        "distance": score.distance,
        "shifted": score.shifted,
        "nearest": score.nearest,
        "reasons": score.reasons,
        "deviations": score.deviations,
    }


def _largest(score: Score, number: int = 3) -> list[tuple[str, float]]:
    """The most unusual descriptors."""
    return sorted(score.deviations.items(), key=lambda item: -abs(item[1]))[:number]
