"""One figure a layer: image, prediction, and every component over the image, in orthogonal slices."""

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from nnunetv2_factorizer.explain.pictures import CasePictures, LayerPictures, MapPictures
from nnunetv2_factorizer.explain.pixels import heat, label_colours

GAP = 4  # pixels between the slices of a panel
WIDTH = 11.0  # inch


def layer_figure(title: str, case: CasePictures, layer: LayerPictures) -> bytes:
    """A PNG file: a panel for the image, each segmentation, each component and the residual."""
    colours = label_colours(len(case.labels))
    maps = [*layer.components, layer.residual]
    panels = {", ".join(("image", *case.view.names)): _panel(case.image)}
    panels |= {name: _panel(case.image, shown.slices, colours) for name, shown in case.segmentations.items()}
    panels |= {caption(shown): _panel(case.image, shown.slices, heat()) for shown in maps}
    height, width = next(iter(panels.values())).shape[:2]
    columns = 3 if len(case.view.names) > 1 else 6
    rows = -(-len(panels) // columns)
    # Half an inch for the two lines above a panel, one for title and legend.
    size = (WIDTH, rows * (WIDTH / columns * height / width + 0.5) + 1)
    figure = Figure(figsize=size, layout="constrained")
    figure.suptitle(
        f"{title}\n{layer.layer}, fold {layer.fold}: explained share {layer.explained:.3f}\n"
        "Overlays go from clear (0) to bright yellow (the map's own maximum).",
        fontsize=10,
        parse_math=False,  # names come from files and may hold a $
    )
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis, (text, panel) in zip(axes, panels.items(), strict=False):
        axis.imshow(panel)
        axis.set_title(text, fontsize=7, parse_math=False)
    for axis in axes:
        axis.set_axis_off()
    patches = [Patch(color=colour / 255, label=name) for name, colour in zip(case.labels, colours[1:], strict=True)]
    legend = figure.legend(handles=patches, loc="outside lower center", ncols=min(len(patches), 3), fontsize=8)
    for label in legend.get_texts():
        label.set_parse_math(False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    return buffer.getvalue()


def caption(shown: MapPictures) -> str:
    """Two lines: the name of a map, and its maximum and the label that it goes with best."""
    best = shown.best_label
    association = "" if best is None else f", {best} AUC {shown.associations[best].auc:.3f}"
    return f"{shown.name}\nmaximum {shown.maximum:.3g}{association}"


def _panel(
    image: Sequence[NDArray[np.uint8]],
    overlay: Sequence[NDArray[np.uint8]] | None = None,
    colours: NDArray[np.uint8] | None = None,
) -> NDArray[np.uint8]:
    """The orthogonal slices beside each other, `(height, width, 3)` in RGB; colours are those of the overlay."""
    planes = [np.repeat(plane[..., None], 3, axis=2) for plane in image]
    if overlay is not None and colours is not None:
        for plane, numbers in zip(planes, overlay, strict=True):
            over, alpha = colours[numbers][..., :3], colours[numbers][..., 3:] / 255
            plane[:] = ((1 - alpha) * plane + alpha * over).round()
    panel = np.zeros((max(p.shape[0] for p in planes), sum(p.shape[1] + GAP for p in planes) - GAP, 3), np.uint8)
    left = 0
    for plane in planes:
        height, width = plane.shape[:2]
        top = (panel.shape[0] - height) // 2
        panel[top : top + height, left : left + width] = plane
        left += width + GAP
    return panel
