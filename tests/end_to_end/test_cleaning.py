"""Labels cleaned in a training by nnU-Net's command, which is interrupted and goes on."""

import hashlib
import json
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from tests.end_to_end.workspace import Workspace, checkpoint

TRAINER = "nnUNetTrainerShort_CleanLabelsIgnore"


def digests(*folders: Path) -> dict[str, str]:
    files = [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_corrected_labels_lie_beside_the_given_ones(phantom: Workspace) -> None:
    preprocessed = [phantom.preprocessed / name for name in ("gt_segmentations", "nnUNetPlans_2d")]
    given_folders = (phantom.raw / "labelsTr", *preprocessed)
    before = digests(*given_folders)
    command = ("nnUNetv2_train", phantom.dataset_id, "2d", "0", "-tr", TRAINER, "-device", "cpu")
    killed = phantom.run(*command, check=False, STOP_AFTER_EPOCHS="1")
    assert killed.returncode == 3, killed.stderr[-2000:]
    fold = phantom.fold(TRAINER, "2d")
    after_one = digests(fold / "cleaning")
    assert len(after_one) == 2 * 4  # labels and their places, of four training cases
    phantom.train(TRAINER, "--c", configuration="2d", SKIP_VALIDATION="1")
    assert digests(*given_folders) == before
    assert digests(fold / "cleaning") != after_one
    state = checkpoint(fold)["init_args"]["nnunetv2_factorizer_cleaning"]
    assert state["started"] == {1: 0, 2: 0}

    result = fold / "corrected_labels"
    report = json.loads((result / "report.json").read_text())
    assert report["corrected_from_epoch"] == {"oedema": 0, "core": 0}
    assert report["cases"]
    page = (result / "report.md").read_text()
    for case, classes in report["cases"].items():
        given, corrected = (
            sitk.ReadImage(str(folder / f"{case}.nii.gz")) for folder in (phantom.raw / "labelsTr", result / "labels")
        )
        assert (given.GetSize(), given.GetSpacing()) == (corrected.GetSize(), corrected.GetSpacing())
        assert (given.GetOrigin(), given.GetDirection()) == (corrected.GetOrigin(), corrected.GetDirection())
        old, new = sitk.GetArrayFromImage(given), sitk.GetArrayFromImage(corrected)
        assert set(np.unique(new)) <= {0, 1, 2}  # what was hidden is not among the labels
        added = {label: int(np.sum((new == label) & (old != label))) for label in (1, 2)}
        assert [classes[name]["voxels_added"] for name in ("oedema", "core")] == list(added.values())
        assert (result / "pictures" / f"{case}.png").stat().st_size > 1000
        assert f"[{case}](pictures/{case}.png)" in page
