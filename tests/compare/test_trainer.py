"""The mix-in: the length, the folder and the name of a training, and checkpoints of trainers that warm up."""

from pathlib import Path

import pytest
import torch
from nnunetv2.training.nnUNetTrainer.variants.lr_schedule.nnUNetTrainer_warmup import nnUNetTrainer_warmup

from nnunetv2_factorizer.compare.budget import Schedule
from nnunetv2_factorizer.compare.trainer import make_trainer
from tests.training.networks import plans_of
from tests.training.small_trainer import dataset_json, make_batch, make_folders


def test_a_trainer_that_sets_its_own_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plans, schedule, cpu = plans_of("PlainConvUNet"), Schedule(40, 15), torch.device("cpu")
    make_folders(tmp_path, monkeypatch, 2, plans)
    monkeypatch.delenv("nnUNet_results")
    given = (nnUNetTrainer_warmup, tmp_path / "model", schedule, plans, "3d_fullres", 0, dataset_json(), cpu)
    trainer = make_trainer(*given)
    assert (trainer.num_epochs, trainer.num_iterations_per_epoch, trainer.num_val_iterations_per_epoch) == (40, 15, 3)
    assert trainer.warmup_duration_whole_net == 2  # nnU-Net's 50 epochs would be more than all
    assert Path(trainer.output_folder) == tmp_path / "model" / "fold_0"
    assert type(trainer).__name__ == "nnUNetTrainer_warmup"
    trainer.initialize()
    trainer.on_train_epoch_start()
    trainer.train_step(make_batch())
    path = str(tmp_path / "model" / "checkpoint_latest.pth")
    trainer.save_checkpoint(path)
    other = make_trainer(*given)
    other.load_checkpoint(path)  # nnU-Net's own reading of it fails with PyTorch 2.6 and newer
    assert other.current_epoch == 1
    for key, weight in trainer.network.state_dict().items():
        assert torch.equal(weight, other.network.state_dict()[key])
