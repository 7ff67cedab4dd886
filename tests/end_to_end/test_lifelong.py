"""A pool over three stages, by the commands of docs/commands/lifelong.md: one like the first, and one of noise."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from nnunetv2.utilities.utils import get_filenames_of_train_images_and_targets

from nnunetv2_factorizer.ext_trainer import VARIABLE
from tests.end_to_end.workspace import PLANS, Workspace

COMMAND = "nnUNetv2_factorizer_lifelong"
SAME, NOISE = "Dataset992_Same", "Dataset991_Noise"
TRAINER = "nnUNetTrainerShort_Lifelong"
TRAINERS = str(Path(__file__).parent / "trainers")
QUIET = ("-device", "cpu", "--disable_progress_bar")


@pytest.fixture(scope="module")
def stages(phantom: Workspace) -> Workspace:
    """Two more data sets with the plans of the phantom, as nnUNetv2_move_plans_between_datasets leaves them."""
    for name in (SAME, NOISE):
        raw, preprocessed = phantom.folder / "raw" / name, phantom.folder / "preprocessed" / name
        shutil.copytree(phantom.raw, raw)
        shutil.copytree(phantom.preprocessed, preprocessed)
        plans = phantom.plans() | {"dataset_name": name}
        (preprocessed / f"{PLANS}.json").write_text(json.dumps(plans))
        if name == NOISE:
            for path in [*(raw / "imagesTr").iterdir(), *(raw / "imagesTs").iterdir()]:
                _add_noise(path)
            _preprocess(raw, preprocessed)
    return phantom


def test_three_stages(stages: Workspace, tmp_path: Path) -> None:
    pool = tmp_path / "pool"
    train = (COMMAND, "train", "-pool", str(pool), "-tr", TRAINER, *QUIET, "-d")
    # Workers outlive a training that is killed, and nnU-Net imports every trainer that it looks through.
    alone = {"nnUNet_n_proc_DA": "0", VARIABLE: TRAINERS}
    stages.run(*train, stages.dataset_id, "-c", "3d_fullres", SKIP_VALIDATION="1", **alone)
    before = (pool / "pool.json").read_bytes()
    killed = stages.run(*train, "992", check=False, STOP_AFTER_EPOCHS="1", **alone)
    assert killed.returncode == 3, killed.stderr[-2000:]
    assert (pool / "pool.json").read_bytes() == before
    done = stages.run(*train, "992", "--c", SKIP_VALIDATION="1", **alone)
    assert "it goes on" in done.stdout
    done = stages.run(*train, "991", SKIP_VALIDATION="1", **alone)
    assert "a new member begins as its copy" in done.stdout

    images, output = tmp_path / "images", tmp_path / "predicted"
    shutil.copytree(stages.raw / "imagesTs", images)
    for path in (stages.folder / "raw" / NOISE / "imagesTs").iterdir():
        shutil.copy(path, images / f"noise_{path.name}")
    flags = ("-device", "cpu", "--disable_progress_bar", "--disable_tta", "-npp", "0", "-nps", "0")
    stages.run(COMMAND, "predict", "-i", str(images), "-o", str(output), "-pool", str(pool), *flags, **alone)
    cases = json.loads((output / "members.json").read_text())["cases"]
    assert {name: case["member"] for name, case in cases.items()} == {
        name: int(name.startswith("noise")) for name in cases
    }
    assert len(cases) == 4
    # A member is a model of nnU-Net's, and predicts the same, bit for bit.
    results, of = {"nnUNet_results": str(pool / "models")}, ("-d", "992")
    of_nnunet = stages.predict(f"{TRAINER}ODEx", str(tmp_path / "of_nnunet"), *of, **results, **alone)
    for case in ("phantom_Ts000", "phantom_Ts001"):
        one, other = (_read(folder / f"{case}.nii.gz") for folder in (output, of_nnunet))
        np.testing.assert_array_equal(one, other)
        assert len(np.unique(one)) > 1

    done = stages.run(COMMAND, "evaluate", "-pool", str(pool), *QUIET, **alone)
    record = json.loads((pool / "evaluation.json").read_text())
    measured = [[cell is not None for cell in row] for row in record["matrix"]]
    assert measured == [[True, True, False], [True, True, True], [True, True, True]]
    assert record["members"] == 2
    assert None not in (record["dice"], record["bwt"], record["fwt"])
    assert f"| after {NOISE} | {record['matrix'][2][0]:.3f}" in done.stdout


def _preprocess(raw: Path, preprocessed: Path) -> None:
    """As nnUNetv2_preprocess does it, without the seconds that the command needs to start."""
    plans = PlansManager(json.loads((preprocessed / f"{PLANS}.json").read_text()))
    configuration = plans.get_configuration("3d_fullres")
    description = json.loads((raw / "dataset.json").read_text())
    folder = preprocessed / configuration.data_identifier
    shutil.rmtree(folder)
    folder.mkdir()
    for case, files in get_filenames_of_train_images_and_targets(str(raw), description).items():
        preprocessor = configuration.preprocessor_class(verbose=False)
        target = str(folder / case)
        preprocessor.run_case_save(target, files["images"], files["label"], plans, configuration, description)


def _add_noise(path: Path) -> None:
    image = sitk.ReadImage(str(path))
    array = sitk.GetArrayFromImage(image)
    noise = np.random.default_rng(len(path.name)).normal(0, 5 * array.std(), array.shape)
    noisy = sitk.GetImageFromArray((array + noise).astype(np.float32))
    noisy.CopyInformation(image)
    sitk.WriteImage(noisy, str(path))


def _read(path: Path) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
