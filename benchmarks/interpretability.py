"""Tables of what `nnUNetv2_factorizer_explain` found in several cases.

    python -m benchmarks.interpretability OUT [--labels FOLDER]

OUT is the folder that the command wrote. A component is the same in every case: one head of one layer. For each layer
and label the one is shown whose AUC is farthest from 0.5 in the mean of the cases, with the range over the cases. With
`--labels`, position alone follows as a control: the mean of the labels of all other cases in FOLDER, each scaled to the
size of the case, as a score of its labels.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy.ndimage import zoom

from nnunetv2_factorizer.explain.association import associate
from nnunetv2_factorizer.inference.labels import foreground

SIZE = (36, 50, 36)
"""Of the mean of the labels, in voxels."""


def read_reports(out: Path) -> pd.DataFrame:
    """A row for each case, layer, component and label."""
    rows = []
    for path in sorted(out.glob("*/report.json")):
        report = json.loads(path.read_text())
        for layer in report["layers"]:
            for component in layer["components"]:
                for label, association in component["associations"].items():
                    names = {"case": report["case"], "layer": layer["layer"], "fold": layer["fold"], "label": label}
                    explained = {"explained": layer["explained_share"], "component": component["name"]}
                    rows.append(names | explained | association)
    return pd.DataFrame(rows)


def strongest(reports: pd.DataFrame) -> pd.DataFrame:
    """For each layer and label the component with the mean AUC farthest from 0.5."""
    keys = ["layer", "fold", "label", "component"]
    means = reports.groupby(keys, sort=False).agg(
        explained=("explained", "mean"),
        AUC=("auc", "mean"),
        lowest=("auc", "min"),
        highest=("auc", "max"),
        Dice=("dice", "mean"),
    )
    best = (means["AUC"] - 0.5).abs().groupby(keys[:-1], sort=False).idxmax()
    return means.loc[best].reset_index()


def position_alone(out: Path, labels: Path) -> pd.DataFrame:
    """A row for each case and label, as `read_reports` has them."""
    description = json.loads((out / "dataset.json").read_text())
    ending, values = description["file_ending"], foreground(description)
    cases = {path.parent.name for path in out.glob("*/report.json")}
    others = [read(path) for path in sorted(labels.glob(f"*{ending}")) if path.name.removesuffix(ending) not in cases]
    means = {
        name: np.mean([scaled(np.isin(other, value), SIZE) for other in others], axis=0)
        for name, value in values.items()
    }
    rows = []
    for case in sorted(cases):
        truth = read(labels / f"{case}{ending}")
        for name, value in values.items():
            association = associate(scaled(means[name], truth.shape), {name: np.isin(truth, value)})[name]
            names = {"case": case, "layer": "position alone", "fold": 0, "label": name, "component": "", "explained": 0}
            rows.append(names | vars(association))
    return pd.DataFrame(rows)


def read(path: Path) -> NDArray:
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


def scaled(volume: NDArray, size: tuple[int, ...]) -> NDArray:
    return zoom(volume.astype(np.float32), [new / old for new, old in zip(size, volume.shape, strict=True)], order=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--labels", type=Path)
    args = parser.parse_args()
    reports = read_reports(args.out)
    if args.labels:
        reports = pd.concat([reports, position_alone(args.out, args.labels)])
    print(f"{reports['case'].nunique()} cases\n")
    print("| layer | explained share | label | component | AUC, mean (range) | sign | best Dice, mean |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for row in strongest(reports).itertuples():
        sign = "+" if row.AUC >= 0.5 else "-"
        print(
            f"| {row.layer} | {row.explained:.2f} | {row.label} | {row.component} "
            f"| {row.AUC:.3f} ({row.lowest:.3f} to {row.highest:.3f}) | {sign} | {row.Dice:.2f} |"
        )


if __name__ == "__main__":
    main()
