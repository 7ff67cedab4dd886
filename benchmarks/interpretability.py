"""Tables of what `nnUNetv2_factorizer_explain` found in several cases.

    python -m benchmarks.interpretability OUT      OUT is the folder that the command wrote

A component is the same in every case: one head of one layer. For each layer and label the one is shown whose AUC is
farthest from 0.5 in the mean of the cases, with the range over the cases.
"""

import argparse
import json
from pathlib import Path

import pandas as pd


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    reports = read_reports(parser.parse_args().out)
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
