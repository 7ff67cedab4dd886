"""Tables of what `nnUNetv2_factorizer_explain` found in several cases.

    python -m benchmarks.interpretability table OUT [--labels FOLDER]
    python -m benchmarks.interpretability untrained MODEL_FOLDER NEW       fold 0 with random weights, as a control

OUT is the folder that the command wrote. A component is the same in every case: one head of one layer. For each layer
and label the one is shown whose AUC is farthest from 0.5 in the mean of the cases, with the range over the cases. With
`--labels`, position alone follows as a control: the mean of the labels of the cases in FOLDER that are not in OUT, each
scaled to the size of the case, as a score of its labels.
"""

import argparse
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import SimpleITK as sitk
import torch
from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name
from nnunetv2.utilities.label_handling.label_handling import determine_num_input_channels
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
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
        report = json.loads(path.read_text(encoding="utf-8"))
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
    description = json.loads((out / "dataset.json").read_text(encoding="utf-8"))
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
            names = {
                "case": case,
                "layer": "position alone",
                "fold": 0,
                "label": name,
                "component": "",
                "explained": None,
            }
            rows.append(names | vars(association))
    return pd.DataFrame(rows)


def read(path: Path) -> NDArray:
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


def scaled(volume: NDArray, size: tuple[int, ...]) -> NDArray:
    return zoom(volume.astype(np.float32), [new / old for new, old in zip(size, volume.shape, strict=True)], order=1)


def write_untrained(model: Path, new: Path) -> None:
    """A model folder whose network has the weights that a training starts from."""
    plans, dataset_json = (
        json.loads((model / name).read_text(encoding="utf-8")) for name in ("plans.json", "dataset.json")
    )
    checkpoint = torch.load(model / "fold_0" / "checkpoint_final.pth", map_location="cpu", weights_only=False)
    trainer = recursive_find_trainer_class_by_name(checkpoint["trainer_name"])
    manager = PlansManager(plans)
    configuration = manager.get_configuration(checkpoint["init_args"]["configuration"])
    channels = determine_num_input_channels(manager, configuration, dataset_json)
    heads = manager.get_label_manager(dataset_json).num_segmentation_heads
    torch.manual_seed(0)
    network = trainer.build_network_architecture(manager, configuration, channels, heads, False)
    (new / "fold_0").mkdir(parents=True)
    for name in ("plans.json", "dataset.json"):
        shutil.copyfile(model / name, new / name)
    torch.save(checkpoint | {"network_weights": network.state_dict()}, new / "fold_0" / "checkpoint_final.pth")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    actions = parser.add_subparsers(dest="action", required=True)
    table = actions.add_parser("table")
    table.add_argument("out", type=Path)
    table.add_argument("--labels", type=Path)
    untrained = actions.add_parser("untrained")
    untrained.add_argument("model", type=Path)
    untrained.add_argument("new", type=Path)
    args = parser.parse_args()
    if args.action == "untrained":
        write_untrained(args.model, args.new)
    else:
        print_table(args.out, args.labels)


def print_table(out: Path, labels: Path | None) -> None:
    reports = read_reports(out)
    if labels:
        reports = pd.concat([reports, position_alone(out, labels)])
    print(f"{reports['case'].nunique()} cases\n")
    print("| layer | explained share | label | component | AUC, mean (range) | sign | best Dice, mean |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for row in strongest(reports).itertuples():
        sign = "+" if row.AUC >= 0.5 else "-"
        explained = "" if pd.isna(row.explained) else f"{row.explained:.2f}"
        print(
            f"| {row.layer} | {explained} | {row.label} | {row.component} "
            f"| {row.AUC:.3f} ({row.lowest:.3f} to {row.highest:.3f}) | {sign} | {row.Dice:.2f} |"
        )


if __name__ == "__main__":
    main()
