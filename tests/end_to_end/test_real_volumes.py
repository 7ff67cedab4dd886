"""Real volumes of full size: planned, trained on for a moment, predicted by nnU-Net's commands, explained."""

import shutil
from pathlib import Path

import pytest
import SimpleITK as sitk

from tests.conftest import real_dataset
from tests.end_to_end.workspace import PROGRAMS, Workspace

pytestmark = pytest.mark.slow

TRAINER = "nnUNetTrainerShortFactorizer"
WITH_PEAK_KIB = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def workspace_of(name: str, tmp_path: Path) -> Workspace:
    """A copy of the data set, with its first case to be predicted as well."""
    data = real_dataset(name)
    workspace = Workspace(tmp_path, name)
    shutil.copytree(data, workspace.raw)
    case = sorted((workspace.raw / "labelsTr").iterdir())[0].name.removesuffix(".nii.gz")
    (workspace.raw / "imagesTs").mkdir()
    for image in (workspace.raw / "imagesTr").glob(f"{case}_*"):
        (workspace.raw / "imagesTs" / image.name).symlink_to(image)
    return workspace


@pytest.mark.parametrize(
    ("name", "planner", "trainer", "target", "patch_size"),
    [
        ("Dataset022_ISLES22", "nnUNetPlannerSwinFactorizerISLES", "nnUNetTrainerFactorizer", "8", [64, 64, 64]),
        ("Dataset030_MSLesion", "nnUNetPlannerHybridFactorizerM", "nnUNetTrainerMuon", "2", None),
    ],
)
def test_plan_train_predict(
    tmp_path: Path, name: str, planner: str, trainer: str, target: str, patch_size: list[int] | None
) -> None:
    workspace = workspace_of(name, tmp_path)
    done = workspace.run(
        "nnUNetv2_factorizer_plan_and_preprocess", "-d", workspace.dataset_id, "-c", "3d_fullres", "-np", "1",
        "-npfp", "1", "-pl", planner, "-gpu_memory_target", target, "--verify_dataset_integrity",
    )  # fmt: skip
    plans_name = f"{planner.replace('Planner', '')}Plans"
    command = f"nnUNetv2_train {workspace.dataset_id} 3d_fullres 0 -p {plans_name} -tr {trainer}"
    assert done.stdout.rstrip().endswith(command)
    plan = workspace.plans(plans_name)["configurations"]["3d_fullres"]
    assert patch_size in (None, plan["patch_size"])

    workspace.train(TRAINER, plans=plans_name, fold="all", SKIP_VALIDATION="1")
    predictions = workspace.predict(TRAINER, "predictions", plans=plans_name, folds=("all",))
    [path] = predictions.glob("*.nii.gz")
    prediction = sitk.ReadImage(str(path))
    label = sitk.ReadImage(str(workspace.raw / "labelsTr" / path.name))
    assert prediction.GetSize() == label.GetSize()
    assert prediction.GetSpacing() == pytest.approx(label.GetSpacing())
    assert prediction.GetDirection() == pytest.approx(label.GetDirection())

    explained = tmp_path / "explained"
    model = workspace.fold(TRAINER, plans=plans_name).parent
    done = workspace.run(
        "python", "-c", WITH_PEAK_KIB, str(PROGRAMS / "nnUNetv2_factorizer_explain"), "-m", str(model), "-f", "all",
        "-i", str(workspace.raw / "imagesTs"), "-o", str(explained), "-device", "cpu", "--disable_tta",
    )  # fmt: skip
    assert int(done.stdout.split()[-1]) < 8 * 2**20
    assert (explained / path.name).read_bytes() == path.read_bytes()
    assert len(list(explained.glob("*/fold_all/*/residual.nii.gz"))) == 3
