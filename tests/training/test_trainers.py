"""The trainers as nnU-Net finds and builds them, for plans of its own and for ours."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from nnunetv2.training.lr_scheduler.polylr import PolyLRScheduler
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.find_class_by_name import recursive_find_python_class
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager
from torch.optim import SGD

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.ext_trainer import trainers_folder
from nnunetv2_factorizer.families import FACTORIZER
from nnunetv2_factorizer.network import Factorizer
from nnunetv2_factorizer.training import Guard, MuonRecipe, PaperRecipe, Recipe
from tests.training.small_trainer import make_batch, make_trainer

CHOICES = {
    "nnUNetTrainerSwinFactorizer": ("swin", "none"),
    "nnUNetTrainerLocalFactorizer": ("local", "none"),
    "nnUNetTrainerGlobalFactorizer": ("global", "none"),
    "nnUNetTrainerConvFactorizer": ("swin", "depthwise"),
}
UNET = "dynamic_network_architectures.architectures.unet.PlainConvUNet"
UNET_KWARGS: dict[str, Any] = {
    "n_stages": 3,
    "features_per_stage": [32, 64, 128],
    "conv_op": "torch.nn.modules.conv.Conv3d",
    "kernel_sizes": [[1, 3, 3], [3, 3, 3], [3, 3, 3]],
    "strides": [[1, 1, 1], [1, 2, 2], [2, 2, 2]],
    "n_conv_per_stage": [2, 2, 2],
    "n_conv_per_stage_decoder": [2, 2],
    "conv_bias": True,
    "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
    "norm_op_kwargs": {"eps": 1e-5, "affine": True},
    "dropout_op": None,
    "dropout_op_kwargs": None,
    "nonlin": "torch.nn.LeakyReLU",
    "nonlin_kwargs": {"inplace": True},
}


def find(name: str) -> Any:
    folder = str(trainers_folder())
    return recursive_find_python_class(folder, name, None, base_folder=folder, cleanup_imports_from_base_folder=True)


def configuration(class_name: str = UNET, kwargs: dict[str, Any] = UNET_KWARGS) -> ConfigurationManager:
    imports = ["conv_op", "norm_op", "dropout_op", "nonlin"] if class_name == UNET else []
    architecture = {"network_class_name": class_name, "arch_kwargs": kwargs, "_kw_requires_import": imports}
    plan = {"patch_size": [8, 16, 16], "spacing": [2.0, 1.0, 1.0], "batch_size": 2, "architecture": architecture}
    return ConfigurationManager(plan)


def kwargs_for(class_name: str = UNET, kwargs: dict[str, Any] = UNET_KWARGS, **choices: Any) -> dict[str, Any]:
    return FACTORIZER.arch_kwargs(class_name, kwargs, [8, 16, 16], [2.0, 1.0, 1.0], choices)


def build(trainer: Any, manager: ConfigurationManager) -> torch.nn.Module:
    return trainer.build_network_architecture(PlansManager({}), manager, 2, 3, True)


@pytest.mark.parametrize("name", [*CHOICES, "nnUNetTrainerFactorizer"])
def test_found_by_name_in_every_length(name: str) -> None:
    assert find(name).num_epochs == 400
    for epochs in (5, 100, 250, 1000):
        assert find(f"{name}_{epochs}epochs").num_epochs == epochs


@pytest.mark.parametrize(
    ("name", "default", "lengths"),
    [
        ("nnUNetTrainerHybridFactorizer", 250, (5, 20, 50, 100, 1000)),
        ("nnUNetTrainerMuon", 250, (5, 20, 50, 100, 1000)),
        ("nnUNetTrainerAvaGrad", 50, (5, 25, 50, 100, 1000)),
    ],
)
def test_recipes_have_lengths_of_their_own(name: str, default: int, lengths: tuple[int, ...]) -> None:
    assert find(name).num_epochs == default
    for epochs in lengths:
        assert find(f"{name}_{epochs}epochs").num_epochs == epochs


def test_the_hybrid_convolves_at_high_resolution_and_factorizes_below() -> None:
    trainer = find("nnUNetTrainerHybridFactorizer")
    assert issubclass(trainer, Guard)
    assert issubclass(trainer, MuonRecipe)
    network = build(trainer, configuration())
    assert list(network.blocks) == ["encoder.stages.2.0"]  # of three stages
    outputs = network(torch.randn(1, 2, 8, 16, 16))
    assert [tuple(o.shape) for o in outputs] == [(1, 3, 8, 16, 16), (1, 3, 8, 8, 8)]


@pytest.mark.parametrize("name", CHOICES)
def test_builds_its_network_for_nnunets_own_plans(name: str) -> None:
    network = build(find(name), configuration())
    assert isinstance(network, Factorizer)
    stage = network.encoder.stages[0][0]
    matricize = {"swin": "ShiftedWindowMatricize", "local": "LocalMatricize", "global": "GlobalMatricize"}
    assert type(stage.mixer.matricize).__name__ == matricize[CHOICES[name][0]]
    assert (stage.local_path is not None) is (CHOICES[name][1] == "depthwise")
    outputs = network(torch.randn(1, 2, 8, 16, 16))
    assert [tuple(o.shape) for o in outputs] == [(1, 3, 8, 16, 16), (1, 3, 8, 8, 8)]


def test_windows_follow_the_spacing_as_in_plans_of_ours() -> None:
    network = build(find("nnUNetTrainerSwinFactorizer"), configuration())
    windows = [stage[0].mixer.matricize.window for stage in network.encoder.stages]
    assert windows == [(4, 8, 8), (8, 8, 8), (8, 8, 8)]
    assert windows == [tuple(window) for window in kwargs_for()["window_size"]]


def test_plans_of_a_factorizer_keep_what_the_trainer_does_not_decide() -> None:
    kwargs = kwargs_for(window_size=4, matricize="swin")
    json.dumps(kwargs)
    network = build(find("nnUNetTrainerLocalFactorizer"), configuration(FACTORIZER.class_name, kwargs))
    assert network.encoder.stages[0][0].mixer.matricize.window == (4, 4, 4)
    assert type(network.encoder.stages[0][0].mixer.matricize).__name__ == "LocalMatricize"


@pytest.mark.parametrize("class_name", [UNET, FACTORIZER.class_name])
def test_plain_trainer_builds_what_the_plans_name(class_name: str) -> None:
    kwargs = UNET_KWARGS if class_name == UNET else kwargs_for()
    network = build(find("nnUNetTrainerFactorizer"), configuration(class_name, kwargs))
    assert isinstance(network, Factorizer) is (class_name == FACTORIZER.class_name)


def test_plans_without_stages_are_refused() -> None:
    with pytest.raises(UserError, match=r"some\.Transformer, whose arguments lack n_stages, .*strides"):
        kwargs_for("some.Transformer", {"conv_op": "torch.nn.Conv3d"})


def test_importing_a_trainer_leaves_nothing_of_the_package_out_of_place() -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); before = set(sys.path)\n"
        "import nnUNetTrainerSwinFactorizer as module\n"
        "base = module.nnUNetTrainerSwinFactorizer.__mro__[1]\n"
        "assert base.__module__ == 'nnunetv2_factorizer.training.family_trainer'\n"
        "assert set(sys.path) == before\n"
    )
    subprocess.run([sys.executable, "-c", code, str(trainers_folder())], check=True)


@pytest.mark.parametrize("is_ddp", [False, True])
def test_loss_weights_are_the_papers(is_ddp: bool) -> None:
    trainer = PaperRecipe.__new__(PaperRecipe)
    trainer.enable_deep_supervision, trainer.is_ddp, trainer.device = True, is_ddp, torch.device("cpu")
    trainer.label_manager = SimpleNamespace(has_regions=False, ignore_label=None)
    trainer.configuration_manager = SimpleNamespace(
        batch_dice=False, pool_op_kernel_sizes=[[1, 1, 1]] + [[2, 2, 2]] * 4
    )
    loss = trainer._build_loss()
    outputs = [torch.randn(1, 3, s, s, s) for s in (8, 4, 2, 1)]
    targets = [torch.randint(3, (1, 1, s, s, s)) for s in (8, 4, 2, 1)]
    # The Dice term of data-parallel training asks the process group; cross-entropy alone tells the weights.
    loss.loss.weight_dice = 0
    each = [float(loss.loss.ce(o, t)) for o, t in zip(outputs, targets, strict=True)]
    expected = each[0] + 0.5 * each[1] + 0.25 * each[2] + (1e-6 * each[3] if is_ddp else 0)
    assert float(loss(outputs, targets)) == pytest.approx(expected, rel=1e-7 if is_ddp else 1e-6)


def test_attributes_of_a_class_are_obeyed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever nnU-Net's constructor says, and whichever trainer the mix-ins stand before."""

    class Mine(Guard, PaperRecipe, nnUNetTrainer):
        initial_lr = 3e-4
        weight_decay = 5e-3
        num_iterations_per_epoch = 7
        oversample_foreground_percent = 0.9

    trainer = make_trainer(Mine, tmp_path, monkeypatch)
    assert trainer.num_iterations_per_epoch == 2  # set on the object, as nnU-Net's users do
    del trainer.num_iterations_per_epoch
    assert (trainer.num_iterations_per_epoch, trainer.oversample_foreground_percent) == (7, 0.9)
    trainer.initialize()
    (group,) = trainer.optimizer.param_groups
    assert (group["initial_lr"], group["weight_decay"]) == (3e-4, 5e-3)


def test_a_length_that_is_set_on_the_object_is_obeyed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = make_trainer(find("nnUNetTrainerSwinFactorizer"), tmp_path, monkeypatch)
    trainer.num_epochs, trainer.num_iterations_per_epoch = 100, 250
    trainer.initialize()
    assert trainer.optimizer.param_groups[0]["initial_lr"] == pytest.approx(2e-4)


def test_another_optimizer_with_groups_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Mine(Guard, Recipe):
        initial_lr = 0.5
        warmup = 0.25

        def make_optimizer(self, lr: float) -> SGD:
            encoder = list(self.network.encoder.parameters())
            return SGD([{"params": encoder, "lr": lr / 10}, {"params": self.network.decoder.parameters()}], lr=lr)

    trainer = make_trainer(Mine, tmp_path, monkeypatch)
    trainer.num_epochs, trainer.num_iterations_per_epoch = 1, 8
    trainer.initialize()
    trainer.on_train_epoch_start()
    rates = []
    for _ in range(2):
        rates.append([group["lr"] for group in trainer.optimizer.param_groups])
        trainer.train_step(make_batch())
    assert rates == [pytest.approx([0.025, 0.25]), pytest.approx([0.05, 0.5])]


def test_a_trainer_with_its_own_schedule_keeps_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Mine(Guard, Recipe):
        def configure_optimizers(self) -> tuple[Any, Any]:
            optimizer = SGD(self.network.parameters(), 0.1)
            return optimizer, PolyLRScheduler(optimizer, 0.1, 10)

    trainer = make_trainer(Mine, tmp_path, monkeypatch)
    trainer.initialize()
    trainer.on_train_epoch_start()
    before = trainer.optimizer.param_groups[0]["lr"]
    trainer.train_step(make_batch())
    assert trainer.optimizer.param_groups[0]["lr"] == before
