"""A figure for a data set: a few images, what they show, and the segments of each method with its first seed."""

import json
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from benchmarks.segment.results import CHOSEN, read
from nnunetv2_factorizer.segment.scores import best_overlap

ROWS = 3
CELL = 1.7  # inches


def draw(out: Path, data: str) -> Figure:
    """A row an image: image, truth, and of each method its segments, with a line around the one that was chosen."""
    of_method = read(out)[data]
    firsts = {method: min(runs, key=lambda run: run["seed"]) for method, runs in of_method.items()}
    cases = list(next(iter(firsts.values()))[CHOSEN]["cases"])[:ROWS]
    size = (CELL * (2 + len(firsts)), CELL * len(cases) + 0.4)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(len(cases), 2 + len(firsts), squeeze=False)
    raw = out / "data" / data
    labels = json.loads((raw / "dataset.json").read_text(encoding="utf-8"))["labels"]
    for row, case in zip(axes, cases, strict=True):
        truth = _read(raw / "labelsTr" / f"{case}.png")
        _show(row[0], _read(raw / "imagesTr" / f"{case}_0000.png"), "image")
        _show(row[1], _coloured(truth, len(labels)), "truth")
        for cell, (method, run) in zip(row[2:], firsts.items(), strict=True):
            segments = _read(out / "maps" / f"{data}_{method}_seed{run['seed']}" / f"{case}.png")
            dice = run[CHOSEN]["cases"][case][method]["Dice"]
            _show(cell, _coloured(segments, int(segments.max()) + 1), f"{method}\nDice {dice:.2f}")
            chosen = best_overlap(truth > 0, segments.astype(int))
            if chosen.any() and not chosen.all():
                cell.contour(chosen, levels=[0.5], colors="white", linewidths=0.6)
    return figure


def _show(axes: Axes, picture: NDArray, title: str) -> None:
    axes.imshow(picture, cmap="gray", interpolation="nearest")
    axes.set_title(title, fontsize=7)
    axes.set_xticks([])
    axes.set_yticks([])


def _coloured(numbers: NDArray, count: int) -> NDArray[np.uint8]:
    """Dark to bright, as the segments are numbered."""
    picture: NDArray[np.uint8] = colormaps["viridis"](numbers / max(1, count - 1), bytes=True)
    return picture


def _read(path: Path) -> NDArray:
    return np.asarray(Image.open(path))
