"""The picture of README.md: image, truth, prediction and one component of one case.

    python -m benchmarks.readme_picture OUT CASE fold_0/decoder.stages.2.0/head_1 --image FILE --labels FILE -o FILE.png

OUT is a folder that `nnUNetv2_factorizer_explain` wrote for a 3D data set. The slice is the one with the largest
labelled area. The component goes from clear (0) to bright (its own maximum).
"""

import argparse
import json
from pathlib import Path

import matplotlib
import numpy as np
import SimpleITK as sitk
from matplotlib.axes import Axes
from matplotlib.figure import Figure

PANEL = 2.4  # inches
PLANES = ("axial", "coronal", "sagittal")
"""Cut across the axes z, y, x."""


def draw(
    image: sitk.Image,
    truth: sitk.Image,
    prediction: sitk.Image,
    component: sitk.Image,
    labels: dict[str, int | list[int]],
    plane: str,
) -> Figure:
    """The four panels, side by side.

    Args:
        image: of one case, one channel.
        truth: its labels, in the same geometry, as are the next two.
        prediction: of the model.
        component: the map of one component, not negative.
        labels: name to value, or values of a region; the background left out.
        plane: one of `PLANES`.

    Raises:
        ValueError: a volume has another size than the image, or nothing is labelled.
    """
    volumes = {"image": image, "truth": truth, "prediction": prediction, "component": component}
    for name, volume in volumes.items():
        if volume.GetSize() != image.GetSize():
            raise ValueError(f"the {name} has {volume.GetSize()} voxels, the image has {image.GetSize()}.")
    oriented = {name: sitk.DICOMOrient(volume, "LPS") for name, volume in volumes.items()}
    spacing = oriented["image"].GetSpacing()[::-1]
    arrays = {name: sitk.GetArrayFromImage(volume) for name, volume in oriented.items()}
    axis = PLANES.index(plane)
    areas = (arrays["truth"] > 0).sum(tuple(i for i in range(3) if i != axis))
    if not areas.any():
        raise ValueError("nothing is labelled in this case; take another one.")
    index = int(areas.argmax())
    cuts = {name: array.take(index, axis) for name, array in arrays.items()}
    rows, columns = (mm for i, mm in enumerate(spacing) if i != axis)
    height, width = cuts["image"].shape[0] * rows, cuts["image"].shape[1] * columns
    figure = Figure(figsize=(4 * PANEL, PANEL * height / width + 0.3), layout="constrained")
    panels: list[Axes] = list(figure.subplots(1, 4))
    # In the order of LPS an axial slice has its rows from front to back, the others from the feet up.
    show = {"aspect": rows / columns, "origin": "upper" if axis == 0 else "lower"}
    for panel, name in zip(panels, cuts, strict=True):
        panel.imshow(cuts["image"], cmap="gray", **show)
        panel.set_title(name, fontsize=10)
        panel.set_axis_off()
    colours = matplotlib.color_sequences["Set1"]
    for panel, name in zip(panels[1:3], ("truth", "prediction"), strict=True):
        for number, value in enumerate(labels.values()):
            mask = np.ma.masked_equal(np.isin(cuts[name], value), False)
            colour = matplotlib.colors.ListedColormap([colours[number % len(colours)]])
            panel.imshow(mask, cmap=colour, alpha=0.6, interpolation="nearest", **show)
    maximum = float(arrays["component"].max()) or 1.0
    share = np.clip(cuts["component"] / maximum, 0, 1)
    panels[3].imshow(share, cmap="inferno", alpha=np.sqrt(share), vmin=0, vmax=1, interpolation="nearest", **show)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("case")
    parser.add_argument("map", help="of a component, below OUT/CASE, without its ending")
    parser.add_argument("--image", type=Path, required=True)
    parser.add_argument("--labels", type=Path, required=True)
    parser.add_argument("--plane", choices=PLANES, default="sagittal")
    parser.add_argument("-o", type=Path, required=True)
    args = parser.parse_args()
    description = json.loads((args.out / "dataset.json").read_text(encoding="utf-8"))
    prediction = args.out / (args.case + description["file_ending"])
    component = args.out / args.case / f"{args.map}.nii.gz"
    image, truth, predicted, seen = (sitk.ReadImage(str(f)) for f in (args.image, args.labels, prediction, component))
    labels = {name: value for name, value in description["labels"].items() if value != 0 and name != "ignore"}
    draw(image, truth, predicted, seen, labels, args.plane).savefig(args.o, dpi=120)


if __name__ == "__main__":
    main()
