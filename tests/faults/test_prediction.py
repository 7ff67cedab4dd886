"""What nnU-Net's prediction does with images that are not as they should be, with a Factorizer in it."""

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from numpy.typing import NDArray

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.ext_trainer import VARIABLE, trainers_folder
from nnunetv2_factorizer.inference.input_check import check_inputs
from nnunetv2_factorizer.trainers.nnUNetTrainerConvFactorizer import nnUNetTrainerConvFactorizer
from tests.faults.small_data import image, write_case
from tests.training.small_trainer import ENDING, dataset_json, make_trainer, plans


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> nnUNetPredictor:
    """Of a model of random weights."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv(VARIABLE, str(trainers_folder()))
        trainer = make_trainer(nnUNetTrainerConvFactorizer, tmp_path_factory.mktemp("model"), monkeypatch)
        trainer.initialize()
        trainer.save_checkpoint(str(Path(trainer.output_folder) / "checkpoint_final.pth"))
        folder = Path(trainer.output_folder_base)
        (folder / "plans.json").write_text(json.dumps(plans()))
        (folder / "dataset.json").write_text(json.dumps(dataset_json()))
        predictor = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
        predictor.initialize_from_trained_model_folder(str(folder), (0,))
    return predictor


def predict(predictor: nnUNetPredictor, folder: Path, channels: list[NDArray]) -> NDArray:
    """As nnUNetv2_predict with -npp 0 -nps 0."""
    write_case(folder / "images", "case", channels)
    (folder / "output").mkdir()
    predictor.predict_from_files_sequential(str(folder / "images"), str(folder / "output"))
    return sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "output" / f"case{ENDING}")))


def assert_nothing_was_written(folder: Path) -> None:
    assert not list((folder / "output").glob(f"*{ENDING}"))


def test_a_missing_channel_is_an_error(predictor: nnUNetPredictor, tmp_path: Path) -> None:
    expected = r"the image has 1 channels, the model was trained on 2\.\nGive all of them, CASE_0000 to CASE_0001\."
    with pytest.raises(UserError, match=expected):
        predict(predictor, tmp_path, [image()])
    assert_nothing_was_written(tmp_path)


def test_a_2d_image_is_read_as_a_thick_slice(tmp_path: Path) -> None:
    """A 3D model therefore predicts it as hundreds of equal slices, without an error; a 2D model is not affected."""
    files = write_case(tmp_path, "case", [image(20, 20), image(20, 20)])
    volume, properties = SimpleITKIO().read_images(files)
    assert volume.shape == (2, 1, 20, 20)
    assert properties["spacing"] == [999, 1, 1]


@pytest.mark.parametrize("shape", [(3, 5, 5), (1, 1, 1)])
def test_a_case_smaller_than_a_window_is_padded(
    predictor: nnUNetPredictor, tmp_path: Path, shape: tuple[int, ...]
) -> None:
    assert predict(predictor, tmp_path, [image(*shape), image(*shape, seed=1)]).shape == shape


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_voxels_that_are_not_finite_are_an_error(predictor: nnUNetPredictor, tmp_path: Path, value: float) -> None:
    bad = image()
    bad[3, 4, 5] = value
    with pytest.raises(UserError, match=r"NaN or infinite voxels in channel 1"):
        predict(predictor, tmp_path, [image(), bad])
    assert_nothing_was_written(tmp_path)


def test_nifti_has_zeros_in_place_of_nan(tmp_path: Path) -> None:
    """What ITK reads: the reason why such an image is segmented without an error."""
    bad = image()
    bad[3, 4, 5] = np.nan
    path = str(tmp_path / "image.nii.gz")
    sitk.WriteImage(sitk.GetImageFromArray(bad), path)
    assert sitk.GetArrayFromImage(sitk.ReadImage(path))[3, 4, 5] == 0


def test_under_nnunets_own_trainer_nobody_looks() -> None:
    """Such as an exported model: what docs/faults.md says of it."""
    configuration = PlansManager(plans()).get_configuration("3d_fullres")
    network = nnUNetTrainer.build_network_architecture(PlansManager(plans()), configuration, 2, 2, False)
    with torch.inference_mode():
        assert network(torch.full((1, 2, 8, 16, 16), torch.nan)).isnan().all()
        check_inputs(network, 2)
        with pytest.raises(UserError, match="NaN or infinite voxels in channel 0, 1"):
            network(torch.full((1, 2, 8, 16, 16), torch.nan))
