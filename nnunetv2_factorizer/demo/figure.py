"""Image, truth and prediction side by side."""

from collections.abc import Mapping
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray


def save_figure(
    path: Path, cases: dict[str, tuple[NDArray, NDArray, NDArray]], labels: Mapping[str, tuple[int, ...]]
) -> None:
    """One row a case: the last channel, with the truth, with the prediction, in the slice with the most foreground.

    Args:
        path: of the PNG file.
        cases: name to image `(channel, z, y, x)`, truth and prediction `(z, y, x)`.
        labels: name to the values of a label or region; the background left out.
    """
    figure = Figure(figsize=(9, 3 * len(cases) + 0.4), layout="constrained")
    axes = figure.subplots(len(cases), 3, squeeze=False)
    colours = [matplotlib.color_sequences["Set1"][i % 9] for i in range(len(labels))]
    for row, (name, (image, truth, prediction)) in zip(axes, cases.items(), strict=True):
        z = int((truth > 0).sum((1, 2)).argmax())
        columns = {"image": None, "truth": truth[z], "prediction": prediction[z]}
        for axis, (title, overlay) in zip(row, columns.items(), strict=True):
            axis.imshow(image[-1, z], cmap="gray")
            for index, value in enumerate(labels.values()):
                mask = np.zeros(image.shape[2:]) if overlay is None else np.isin(overlay, value)
                if mask.any():
                    axis.contourf(mask, levels=[0.5, 1.5], colors=[colours[index]], alpha=0.35)
                    axis.contour(mask, levels=[0.5], colors=[colours[index]], linewidths=1.2)
            axis.set_title(f"{name}: {title}" if axis is row[0] else title, fontsize=9)
            axis.set_axis_off()
    handles = [Patch(color=colours[i], label=name) for i, name in enumerate(labels)]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=9)
    figure.savefig(path, dpi=120)
