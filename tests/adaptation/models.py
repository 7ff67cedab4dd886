"""A source model as a training leaves it, and trainers that adapt it to the data set of another scanner."""

from pathlib import Path
from typing import Any

import pytest
import torch

from nnunetv2_factorizer.adaptation.methods import Method
from nnunetv2_factorizer.adaptation.trainer import Adapting
from nnunetv2_factorizer.pretraining.finetuning import VARIABLE
from nnunetv2_factorizer.training import Guard, MuonRecipe
from tests.pretraining.labelled import write_dataset
from tests.training.networks import FACTORIZERS, plans_of, unet_kwargs
from tests.training.small_trainer import DATASET, dataset_json, make_batch

TARGET = "Dataset996_Scanner"


def plans_in(num_axes: int, network: str) -> dict[str, Any]:
    """As `plans_of`, also of a network for slices."""
    the_plans = plans_of(network)
    if num_axes == 2:
        configuration = the_plans["configurations"]["3d_fullres"]
        configuration |= {"patch_size": [16, 16], "spacing": [1.0, 1.0]}
        kwargs = configuration["architecture"]["arch_kwargs"]
        if network in FACTORIZERS:
            strides = [[1, 1], [2, 2], [2, 2]]
            kwargs |= {"conv_op": "torch.nn.modules.conv.Conv2d", "strides": strides, "patch_size": [16, 16]}
        else:
            kwargs |= unet_kwargs(2)
    return the_plans


def batch_of(num_axes: int) -> dict[str, Any]:
    batch = make_batch()
    if num_axes == 2:
        batch["data"] = batch["data"][:, :, 0]
        batch["target"] = [target[:, :, 0] for target in batch["target"]]
    return batch


def make(cls: Any, folder: Path, name: str, the_plans: dict[str, Any], description: dict[str, Any]) -> Any:
    """A trainer on all cases of a data set, not initialised."""
    given = {**the_plans, "dataset_name": name, "continue_training": False}
    trainer = cls(given, "3d_fullres", "all", description, torch.device("cpu"))
    trainer.num_epochs, trainer.num_iterations_per_epoch = 2, 2
    return trainer


def write_model(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    the_plans: dict[str, Any],
    recipe: Any = MuonRecipe,
    steps: int = 2,
) -> Path:
    """The checkpoint of a training of some steps; the data sets of both scanners; the variable names the checkpoint."""
    for kind in ("raw", "preprocessed", "results"):
        monkeypatch.setenv(f"nnUNet_{kind}", str(folder / kind))
    if not (folder / "preprocessed").exists():
        write_dataset(folder / "preprocessed", DATASET, channels=2, cases=4, the_plans=the_plans)
        write_dataset(folder / "preprocessed", TARGET, contrast=-2.0, channels=2, cases=1, the_plans=the_plans)
    torch.manual_seed(7)
    trainer = make(type("nnUNetTrainerOfSource", (Guard, recipe), {}), folder, DATASET, the_plans, dataset_json())
    trainer.initialize()
    trainer.on_train_epoch_start()
    for _ in range(steps):
        trainer.train_step(batch_of(len(the_plans["configurations"]["3d_fullres"]["patch_size"])))
    file = folder / "checkpoint_final.pth"
    save(trainer, file)
    monkeypatch.setenv(VARIABLE, str(file))
    return file


def adapting(
    method: type[Method],
    folder: Path,
    the_plans: dict[str, Any],
    recipe: Any = MuonRecipe,
    description: dict[str, Any] | None = None,
    **attributes: Any,
) -> Any:
    """A trainer on the one case of the new scanner, not initialised."""
    cls = type("nnUNetTrainerTest_Adapt", (Adapting, recipe), {"method": method, **attributes})
    return make(cls, folder, TARGET, the_plans, description or dataset_json())


def began(trainer: Any) -> Any:
    """The same trainer, initialised and ready for its first epoch, without data."""
    trainer.initialize()
    trainer.check_weights()
    trainer.on_weights_ready()
    trainer.on_train_epoch_start()
    return trainer


def save(trainer: Any, file: Path) -> None:
    trainer.logger.log("ema_fg_dice", 0.0, trainer.current_epoch)
    trainer.save_checkpoint(str(file))


def weights(trainer: Any) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in trainer.network.named_parameters()}


def log_of(trainer: Any) -> str:
    return Path(trainer.log_file).read_text(encoding="utf-8")
