"""A panel a sweep, as in the paper's figure 8: Dice, and seconds beside those of the cost model."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from nnunetv2_factorizer.tune.settings import TRAINED, Setting
from nnunetv2_factorizer.tune.tuning import Tuning

PANELS = {
    "skip": ("NMF up to one block, identity after it", "last block with an NMF"),
    "leave-one-out": ("NMF in all blocks but one", "block without an NMF"),
    "iterations": ("Iterations", "T"),
    "rank": ("Rank and solver", "rank"),
}
"""Sweep to title and label of its axis."""
DICE, SECONDS, COST_MODEL = "#1f5fa8", "#d95f02", "#9a9a9a"
LEGEND: dict[str, dict[str, Any]] = {
    "mean Dice, with the 95 % interval of its difference to the trained setting": {"color": DICE, "marker": "o"},
    "Dice as trained": {"color": DICE, "linewidth": 1, "linestyle": ":"},
    "seconds": {"color": SECONDS, "marker": "o"},
    "cost model of plain iterations": {"color": COST_MODEL, "linestyle": "--"},
    "MU": {"color": "black", "marker": "s", "markerfacecolor": "white", "linestyle": "none"},
}


def save_figure(path: str, tuning: Tuning) -> None:
    """Writes a PNG with a panel for each sweep that was asked for."""
    points = {name: [setting for setting in tuning.settings if setting.sweep == name] for name in PANELS}
    panels = [name for name in PANELS if len(points[name]) > 1]
    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(max(6.4 * columns, 9), 3.8 * rows + 0.7), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).flatten()
    for axis in grid[len(panels) :]:
        axis.set_axis_off()
    for letter, axis, name in zip("abcd", grid, panels, strict=False):
        _draw(axis, tuning, points[name])
        title, label = PANELS[name]
        axis.set_title(f"{letter}   {title}", loc="left", fontsize=11, fontweight="bold")
        axis.set_xlabel(label)
    shown = {label: style for label, style in LEGEND.items() if label != "MU" or "rank" in panels}
    handles = [Line2D([], [], label=label, **style) for label, style in shown.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=9, frameon=False)
    figure.savefig(path, dpi=150, format="png")


def _draw(axis: Axes, tuning: Tuning, settings: list[Setting]) -> None:
    """One panel; settings of another solver than HALS have open squares."""
    ticks = list(dict.fromkeys(setting.tick for setting in settings))
    seconds_axis = axis.twinx()
    for solver in dict.fromkeys(setting.changes.get("solver") for setting in settings):
        series = [setting for setting in settings if setting.changes.get("solver") == solver]
        x = [ticks.index(setting.tick) for setting in series]
        results = tuning.summary.loc[[tuning.measured_as[setting.name] for setting in series]]
        marker: dict[str, Any] = {"marker": "s", "markerfacecolor": "white"} if solver == "mu" else {"marker": "o"}
        style = marker | {"markersize": 5, "capsize": 2.5, "elinewidth": 1, "linewidth": 1.6}
        axis.errorbar(x, results["dice"], yerr=_bars(results, "dice_difference"), color=DICE, **style)
        seconds, bars = results["seconds_ratio"], _bars(results, "seconds_ratio")
        seconds_axis.errorbar(x, seconds, yerr=bars, color=SECONDS, **style | {"linewidth": 1.1})
        flops = [tuning.flops_ratio[setting.name] for setting in series]
        seconds_axis.plot(x, flops, color=COST_MODEL, linestyle="--", linewidth=1.2)
    axis.axhline(tuning.summary.loc[TRAINED, "dice"], color=DICE, linewidth=1, linestyle=":")
    axis.set_xticks(range(len(ticks)), ticks)
    axis.set_ylabel("mean Dice", color=DICE)
    axis.tick_params(axis="y", colors=DICE)
    axis.margins(y=0.15)
    axis.set_zorder(seconds_axis.get_zorder() + 1)  # Dice over seconds
    axis.patch.set_visible(False)
    axis.grid(axis="y", linewidth=0.4, alpha=0.5)
    seconds_axis.set_ylabel("seconds / trained", color=SECONDS)
    seconds_axis.tick_params(axis="y", colors=SECONDS)
    seconds_axis.set_ylim(0, 1.1 * seconds_axis.get_ylim()[1])
    for side in (axis, seconds_axis):
        side.spines["top"].set_visible(False)


def _bars(results: pd.DataFrame, name: str) -> list[pd.Series]:
    """Lengths of the error bars below and above."""
    return [results[name] - results[f"{name}_low"], results[f"{name}_high"] - results[name]]
