"""Faults of a training, most of them through `nnUNetv2_train` itself."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from nnunetv2.experiment_planning.verify_dataset_integrity import verify_dataset_integrity
from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name

from nnunetv2_factorizer.demo.phantom import write_dataset
from nnunetv2_factorizer.ext_trainer import VARIABLE, trainers_folder
from nnunetv2_factorizer.trainers.nnUNetTrainerFactorizer import nnUNetTrainerFactorizer
from tests.faults.small_data import image, preprocess
from tests.training.small_trainer import DATASET, make_folders, make_trainer, plans

TRAINER = "nnUNetTrainerSwinFactorizer"
LESION = np.pad(np.ones((4, 6, 6)), [(4, 4), (7, 7), (7, 7)])


def train(*flags: str, trainer: str = TRAINER, variable: str | None = None) -> tuple[int, list[str]]:
    """Exit status and the lines that `nnUNetv2_train` writes to stderr."""
    environment = {key: value for key, value in os.environ.items() if key != VARIABLE}
    environment |= {"nnUNet_n_proc_DA": "0", VARIABLE: str(trainers_folder()) if variable is None else variable}
    program = str(Path(sys.executable).parent / "nnUNetv2_train")
    command = [program, DATASET, "3d_fullres", "0", "-tr", trainer, "-p", "nnUNetFactorizerPlans", "-device", "cpu"]
    done = subprocess.run([*command, *flags], env=environment, capture_output=True, text=True)
    return done.returncode, done.stderr.strip().splitlines()


@pytest.mark.parametrize("value", ["", "/no/such/folder"])
def test_variable_not_set_or_pointing_nowhere(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv(VARIABLE, value)
    with pytest.raises(RuntimeError, match=rf"specify the external path via the `{VARIABLE}`.*{VARIABLE}={value}$"):
        recursive_find_trainer_class_by_name(TRAINER)


def test_a_missing_channel_is_found_before_planning(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By what nnUNetv2_plan_and_preprocess --verify_dataset_integrity runs."""
    dataset = tmp_path / "Dataset996_Phantom"
    write_dataset(dataset, num_training=2, num_test=0)
    (dataset / "imagesTr" / "phantom_Tr001_0003.nii.gz").unlink()
    monkeypatch.setenv("PYTHONUNBUFFERED", "1")  # nnU-Net ends its worker, which may not have written by then
    with pytest.raises(RuntimeError, match="Some images have errors"):
        verify_dataset_integrity(str(dataset), num_processes=1)
    output = capfd.readouterr().out
    assert "Unexpected number of modalities" in output
    assert "phantom_Tr001" in output


def test_images_that_are_not_finite_stop_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = image()
    bad[6, 10, 10] = np.nan
    preprocess(tmp_path, monkeypatch, {"bad_case": ([image(), bad], LESION), "good_case": ([image(), image()], LESION)})
    status, lines = train()
    assert status == 1
    cause, remedy = lines[-2:]
    assert cause.startswith(
        "nnunetv2_factorizer.errors.UserError: the loss is nan in epoch 0, iteration 0: images with NaN"
    )
    assert "bad_case (channel 1)" in cause
    assert remedy.startswith("Mend these images or leave them out")


def test_edited_plans_stop_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_folders(tmp_path, monkeypatch, 2, plans(head_dim=5))
    status, lines = train()
    assert status == 1
    cause, remedy = lines[-2:]
    assert cause.startswith("nnunetv2_factorizer.errors.UserError: head_dim must divide the channels of its stage, 8 ")
    assert remedy.startswith("Mend nnUNetTrainerSwinFactorizer, which takes n_stages, ")


def test_a_truncated_checkpoint_stops_the_command_and_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_folders(tmp_path, monkeypatch, 2, plans())
    fold = tmp_path / "results" / DATASET / f"{TRAINER}__nnUNetFactorizerPlans__3d_fullres" / "fold_0"
    fold.mkdir(parents=True)
    (fold / "checkpoint_latest.pth").write_bytes(b"PK\x03\x04 half")
    status, lines = train("--c")
    assert status == 1
    assert "checkpoint_latest.pth is truncated, damaged or no checkpoint" in lines[-2]
    assert (fold / "checkpoint_latest.pth").read_bytes() == b"PK\x03\x04 half"


def test_empty_labels_are_trained_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = np.zeros_like(LESION)
    preprocess(tmp_path, monkeypatch, {"empty_a": ([image(), image()], empty), "empty_b": ([image(), image()], empty)})
    monkeypatch.setenv("nnUNet_n_proc_DA", "0")
    trainer = make_trainer(nnUNetTrainerFactorizer, tmp_path, monkeypatch)
    trainer.num_val_iterations_per_epoch = 1
    trainer.run_training()
    assert np.isfinite(trainer.logger.get_value("train_losses", step=None)).all()
    assert (Path(trainer.output_folder) / "checkpoint_final.pth").is_file()
