"""The trainers of the manual do what it says of them, and are as short."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from dynamic_network_architectures.architectures.unet import ResidualEncoderUNet
from torch.optim import SGD

from nnunetv2_factorizer.models.standalone import check_predictions, standalone_plans
from tests.adaptation.models import TARGET, began, log_of, make, weights, write_model
from tests.models.conftest import DATASET, make_checkpoint
from tests.models.conftest import plans as unet_plans
from tests.training.networks import plans_of
from tests.training.small_trainer import dataset_json, make_batch, make_trainer
from tests.training.test_trainers import UNET, UNET_KWARGS

__all__ = ["unet_plans"]

PAGE = Path(__file__).parents[2] / "docs" / "write_your_own.md"


def trainer_of(name: str) -> Any:
    (code,) = [
        block for block in re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL) if name in block
    ]
    assert len(code.partition("class ")[2].strip().splitlines()) <= 10
    namespace: dict[str, Any] = {"__name__": "my_trainers"}
    exec(code, namespace)
    return namespace[name]


def test_another_optimiser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = make_trainer(trainer_of("nnUNetTrainerSGD"), tmp_path, monkeypatch)
    assert trainer_of("nnUNetTrainerSGD").num_epochs == 100
    trainer.initialize()
    assert isinstance(trainer.optimizer, SGD)
    assert trainer.optimizer.param_groups[0]["initial_lr"] == 0.1
    trainer.on_train_epoch_start()
    before = [p.clone() for p in trainer.network.parameters()]
    trainer.train_step(make_batch())
    assert any(not torch.equal(p, b) for p, b in zip(trainer.network.parameters(), before, strict=True))


def test_a_monitor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = make_trainer(trainer_of("nnUNetTrainerWatched"), tmp_path, monkeypatch)
    trainer.initialize()
    Path(trainer.output_folder).mkdir(parents=True, exist_ok=True)
    trainer.on_train_epoch_start()
    trainer.on_train_epoch_end([trainer.train_step(make_batch())])
    assert (Path(trainer.output_folder) / "layer_updates.csv").is_file()


def test_another_way_to_adapt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_model(tmp_path, monkeypatch, plans_of("PlainConvUNet"))
    trainer = began(
        make(trainer_of("nnUNetTrainer_AdaptDecoder"), tmp_path, TARGET, plans_of("PlainConvUNet"), dataset_json())
    )
    before = weights(trainer)
    trainer.train_step(make_batch())
    moved = {name for name, p in weights(trainer).items() if not torch.equal(p, before[name])}
    assert moved
    assert not [name for name in moved if name.startswith("encoder.")]


def test_another_term_in_the_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_model(tmp_path, monkeypatch, plans_of("PlainConvUNet"))
    trainer = make(
        trainer_of("nnUNetTrainer_SmallFeatures"), tmp_path, TARGET, plans_of("PlainConvUNet"), dataset_json()
    )
    trainer.initialize()
    trainer.on_train_epoch_start()
    result = trainer.train_step(make_batch())
    trainer.on_train_epoch_end([result])
    size = re.search(r"SmallFeatures: size (\S+)", log_of(trainer))
    assert size
    assert 0 < float(size[1]) < float(result["loss"]) + 1


def test_another_network(unet_plans: dict[str, Any]) -> None:
    """It predicts, and can be exported for nnU-Net's own trainer."""
    trainer = trainer_of("nnUNetTrainerResidual")
    imports = ["conv_op", "norm_op", "dropout_op", "nonlin"]
    unet_plans["configurations"]["3d_fullres"]["architecture"] = {
        "network_class_name": UNET, "arch_kwargs": UNET_KWARGS, "_kw_requires_import": imports
    }  # fmt: skip
    checkpoint = make_checkpoint(trainer, unet_plans, "3d_fullres")
    standalone = standalone_plans(unet_plans, trainer)
    architecture = standalone["configurations"]["3d_fullres"]["architecture"]
    assert architecture["network_class_name"].endswith(ResidualEncoderUNet.__name__)
    check_predictions(checkpoint, trainer, unet_plans, standalone, DATASET)
