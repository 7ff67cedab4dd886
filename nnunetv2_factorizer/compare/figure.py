"""Dice over seconds: how far each network has come when."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure


def draw(results: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Figure:
    """A line a run, one colour a network: nnU-Net's Dice of validation patches over the seconds of training.

    Args:
        results: of the runs.
        names: of the networks, in the order of the legend.
    """
    figure = Figure(figsize=(8, 4.8), layout="constrained")
    axis = figure.subplots()
    for number, name in enumerate(names):
        for index, result in enumerate(result for result in results if result["network"] == name):
            points = result["curve"]
            seconds, dice = [point["seconds"] for point in points], [point["dice"] for point in points]
            label = name if index == 0 else None
            axis.plot(seconds, dice, color=f"C{number % 10}", marker=".", linestyle=_style(number), label=label)
    axis.set(xlabel="seconds of training", ylabel="Dice of validation patches")
    axis.grid(alpha=0.3)
    if axis.lines:
        axis.legend(fontsize="small", frameon=False)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    return figure


def _style(number: int) -> str:
    """After ten colours the lines change."""
    return ("-", "--", ":")[number // 10 % 3]
