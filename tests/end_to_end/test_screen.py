"""`nnUNetv2_factorizer_screen` on a trained model: usual images, and the same with noise."""

import json
import shutil
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from tests.end_to_end.conftest import SWIN
from tests.end_to_end.workspace import Workspace

COMMAND = "nnUNetv2_factorizer_screen"


def test_images_with_noise_are_told(phantom: Workspace, trained: Path, tmp_path: Path) -> None:
    model = ("-d", phantom.dataset_id, "-c", "3d_fullres", "-tr", SWIN, "-f", "0")
    quiet = ("-device", "cpu", "--disable_progress_bar")
    before = {path.name for path in trained.iterdir()}
    try:
        phantom.run(COMMAND, "fit", *model, *quiet)
        assert {path.name for path in trained.iterdir()} == before | {"screen.json"}
        images = tmp_path / "images"
        shutil.copytree(phantom.raw / "imagesTr", images)
        for case in ("phantom_Tr000", "phantom_Tr001"):
            for path in images.glob(f"{case}_*.nii.gz"):
                _add_noise(path)
        output = tmp_path / "out"
        done = phantom.run(COMMAND, "run", "-i", str(images), "-o", str(output), *model, *quiet, check=False)
    finally:
        (trained / "screen.json").unlink(missing_ok=True)  # the model is that of other tests, too
    assert done.returncode == 3, done.stderr
    record = json.loads((output / "screen.json").read_text())
    worst = list(record["cases"])[:2]
    assert set(worst) == {"phantom_Tr000", "phantom_Tr001"}
    for case in worst:
        assert record["cases"][case]["shifted"]
        assert any("more noise" in reason for reason in record["cases"][case]["reasons"])
        assert case in done.stdout
    assert (output / "screen.html").is_file()
    assert (output / "screen.csv").is_file()


def _add_noise(path: Path) -> None:
    """Much: of four training cases, one can be far from the other three."""
    image = sitk.ReadImage(str(path))
    array = sitk.GetArrayFromImage(image)
    noise = np.random.default_rng(0).normal(0, 5 * array.std(), array.shape)
    noisy = sitk.GetImageFromArray((array + noise).astype(np.float32))
    noisy.CopyInformation(image)
    sitk.WriteImage(noisy, str(path))
