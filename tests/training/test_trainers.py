"""The trainers as nnU-Net finds and builds them, for plans of its own and for ours."""

import json
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from nnunetv2.utilities.find_class_by_name import recursive_find_python_class
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.ext_trainer import trainers_folder
from nnunetv2_factorizer.network import Factorizer
from nnunetv2_factorizer.planning.architecture import CLASS_NAME, factorizer_kwargs
from nnunetv2_factorizer.training.recipe import FactorizerRecipe

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
    plan = {"patch_size": [8, 16, 16], "batch_size": 2, "architecture": architecture}
    return ConfigurationManager(plan)


def build(trainer: Any, manager: ConfigurationManager) -> torch.nn.Module:
    return trainer.build_network_architecture(PlansManager({}), manager, 2, 3, True)


@pytest.mark.parametrize("name", [*CHOICES, "nnUNetTrainerFactorizer"])
def test_found_by_name_in_every_length(name: str) -> None:
    assert find(name).epochs == 400
    for epochs in (5, 100, 250, 1000):
        assert find(f"{name}_{epochs}epochs").epochs == epochs


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


def test_plans_of_a_factorizer_keep_what_the_trainer_does_not_decide() -> None:
    kwargs = factorizer_kwargs(UNET, UNET_KWARGS, [8, 16, 16], window_size=4, matricize="swin")
    json.dumps(kwargs)
    network = build(find("nnUNetTrainerLocalFactorizer"), configuration(CLASS_NAME, kwargs))
    assert network.encoder.stages[0][0].mixer.matricize.window == (4, 4, 4)
    assert type(network.encoder.stages[0][0].mixer.matricize).__name__ == "LocalMatricize"


@pytest.mark.parametrize("class_name", [UNET, CLASS_NAME])
def test_plain_trainer_builds_what_the_plans_name(class_name: str) -> None:
    kwargs = UNET_KWARGS if class_name == UNET else factorizer_kwargs(UNET, UNET_KWARGS, [8, 16, 16])
    network = build(find("nnUNetTrainerFactorizer"), configuration(class_name, kwargs))
    assert isinstance(network, Factorizer) is (class_name == CLASS_NAME)


def test_plans_without_stages_are_refused() -> None:
    with pytest.raises(UserError, match=r"some\.Transformer, whose arguments lack n_stages, .*strides"):
        factorizer_kwargs("some.Transformer", {"conv_op": "torch.nn.Conv3d"}, [8, 8, 8])


def test_importing_a_trainer_leaves_nothing_of_the_package_out_of_place() -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); before = set(sys.path)\n"
        "import nnUNetTrainerSwinFactorizer as module\n"
        "assert module.nnUNetTrainerSwinFactorizer.__mro__[1].__module__ == 'nnunetv2_factorizer.training.any_plans'\n"
        "assert set(sys.path) == before\n"
    )
    subprocess.run([sys.executable, "-c", code, str(trainers_folder())], check=True)


@pytest.mark.parametrize("is_ddp", [False, True])
def test_loss_weights_are_the_papers(is_ddp: bool) -> None:
    trainer = FactorizerRecipe.__new__(FactorizerRecipe)
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
