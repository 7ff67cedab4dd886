"""Regions, the ignore label, and both, on four channels with thick slices; plain labels are in the other modules."""

from pathlib import Path

import pytest

from tests.end_to_end.datasets import REGIONS, values, write_phantoms
from tests.end_to_end.workspace import Workspace, checkpoint

CONV = "nnUNetTrainerShortConvFactorizer"
KINDS = [
    pytest.param(True, True, id="regions and ignore"),
    pytest.param(True, False, id="regions", marks=pytest.mark.slow),
    pytest.param(False, True, id="ignore", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("regions", "ignore"), KINDS)
def test_train_predict_evaluate(tmp_path: Path, regions: bool, ignore: bool) -> None:
    workspace = Workspace(tmp_path, "Dataset996_Labels")
    write_phantoms(workspace.raw, regions=regions, ignore=ignore)
    workspace.plan_and_preprocess("3d_fullres")
    fold = workspace.train(CONV)
    weights = checkpoint(fold)["network_weights"]
    # One output a region; with labels the background has one, too. The ignored voxels have none.
    heads = {len(weight) for key, weight in weights.items() if ".seg_layers." in key}
    assert heads == {len(REGIONS) - 1 if regions else 3}
    output = workspace.predict(CONV, "predictions")
    assert all(values(path) <= {0, 1, 2} for path in output.glob("*.nii.gz"))
    assert set(workspace.evaluate(output)) == ({"(1, 2)", "(2,)"} if regions else {"1", "2"})
