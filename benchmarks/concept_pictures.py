"""Categories beside images and labels: pictures of docs/concepts.md.

    python -m benchmarks.concept_pictures PREDICTIONS [PREDICTIONS ...] --labels LABELS -o FILE.png [--cases CASE ...]

PREDICTIONS are folders of `nnUNetv2_factorizer_concepts predict`, of the same images, with what `evaluate --protocol
matching-normalised` wrote into them. LABELS is `labelsTr` of a data set whose images lie beside it. A row is a case,
cut where the labels have most voxels: the image, its labels, and of each folder the categories and what they mean.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from nnunetv2.imageio.reader_writer_registry import determine_reader_writer_from_dataset_json
from numpy.typing import NDArray

from nnunetv2_factorizer.inference.labels import label_names

CASES = 3
CELL = 1.8  # inches
EVALUATION = "evaluation_matching-normalised.json"


def draw(predictions: list[Path], labels: Path, out: Path, cases: list[str]) -> None:
    description = json.loads((labels.parent / "dataset.json").read_text(encoding="utf-8"))
    ending, columns = description["file_ending"], list(label_names(description)[0])
    reader = determine_reader_writer_from_dataset_json(description, verbose=False)()

    def read(path: Path) -> NDArray:
        """The first channel, `(z, y, x)`."""
        return reader.read_images([str(path)])[0][0]

    evaluations = [json.loads((folder / EVALUATION).read_text(encoding="utf-8")) for folder in predictions]
    cases = cases or list(evaluations[0]["cases"])[:CASES]
    titles = ["image", "labels"]
    for folder, evaluation in zip(predictions, evaluations, strict=True):
        titles += [folder.name, f"as labels, Dice {evaluation['foreground_mean']['Dice']:.2f}"]
    size = (CELL * len(titles), CELL * len(cases) + 0.3)
    figure, rows = plt.subplots(len(cases), len(titles), figsize=size, squeeze=False, layout="constrained")
    for axes, case in zip(rows, cases, strict=True):
        truth = read(labels / (case + ending))
        cut = int((truth > 0).sum((1, 2)).argmax())
        _show(axes[0], read(labels.parent / "imagesTr" / f"{case}_0000{ending}")[cut], cmap="gray")
        _show(axes[1], truth[cut], cmap="tab10", vmin=0, vmax=9, interpolation="nearest")
        for i, (folder, evaluation) in enumerate(zip(predictions, evaluations, strict=True)):
            categories = read(folder / (case + ending))[cut].astype(int)
            meaning = evaluation["categories"]
            stands_for = np.array([columns.index(meaning[str(category)]) for category in range(len(meaning))])
            _show(axes[2 + 2 * i], categories, cmap="nipy_spectral", vmin=0, vmax=len(meaning), interpolation="nearest")
            _show(axes[3 + 2 * i], stands_for[categories], cmap="tab10", vmin=0, vmax=9, interpolation="nearest")
        axes[0].set_ylabel(case, fontsize=6)
    for axes, title in zip(rows[0], titles, strict=True):
        axes.set_title(title, fontsize=7)
    figure.savefig(out, dpi=120)


def _show(axes: Axes, picture: NDArray, **settings: Any) -> None:
    axes.imshow(picture, **settings)
    axes.set(xticks=[], yticks=[])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("predictions", type=Path, nargs="+")
    parser.add_argument("--labels", type=Path, required=True)
    parser.add_argument("-o", type=Path, required=True)
    parser.add_argument("--cases", nargs="+", default=[])
    args = parser.parse_args()
    draw(args.predictions, args.labels, args.o, args.cases)


if __name__ == "__main__":
    main()
