"""Plans and checkpoints for nnU-Net's own trainer: what they say, and what is refused."""

from copy import deepcopy
from typing import Any

import pytest
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.families import FACTORIZER
from nnunetv2_factorizer.models.standalone import (
    check_predictions,
    standalone_checkpoint,
    standalone_name,
    standalone_plans,
)
from nnunetv2_factorizer.network import Factorizer
from tests.models.conftest import DATASET, make_checkpoint


@pytest.mark.parametrize(
    ("plans_name", "trainer_name", "expected"),
    [
        ("nnUNetPlans", "nnUNetTrainerConvFactorizer", "nnUNetPlans_ConvFactorizer"),
        ("nnUNetPlans", "nnUNetTrainerConvFactorizer_5epochs", "nnUNetPlans_ConvFactorizer_5epochs"),
        ("nnUNetFactorizerPlans", "nnUNetTrainer", "nnUNetFactorizerPlans"),
        ("nnUNetFactorizerPlans", "nnUNetTrainer_5epochs", "nnUNetFactorizerPlans_5epochs"),
        ("nnUNetPlans", "MyTrainer", "nnUNetPlans_MyTrainer"),
    ],
)
def test_name_tells_models_apart_and_can_be_a_folder_of_nnunet(
    plans_name: str, trainer_name: str, expected: str
) -> None:
    assert standalone_name(plans_name, trainer_name) == expected
    assert "__" not in expected


def test_plans_name_the_network_with_all_its_arguments(trainer: type[nnUNetTrainer], plans: dict[str, Any]) -> None:
    before = deepcopy(plans)
    standalone = standalone_plans(plans, trainer)
    assert plans == before
    assert standalone["plans_name"] == "nnUNetPlans_ConvFactorizer"
    architecture = standalone["configurations"]["3d_fullres"]["architecture"]
    assert architecture["network_class_name"] == FACTORIZER.class_name
    kwargs = architecture["arch_kwargs"]
    assert (kwargs["matricize"], kwargs["local_path"]) == ("swin", "depthwise")
    assert kwargs["window_size"] == [[8, 8, 8], [8, 4, 4], [8, 4, 4]]
    assert (kwargs["num_iters"], kwargs["recompute"]) == (5, True)  # defaults, spelled out
    assert isinstance(Factorizer(2, 2, **kwargs), Factorizer)


def test_configuration_that_inherits_the_network_gets_its_own_patch_size(
    trainer: type[nnUNetTrainer], plans: dict[str, Any]
) -> None:
    standalone = standalone_plans(plans, trainer)
    for name, patch in (("3d_fullres", [8, 16, 16]), ("3d_lowres", [4, 8, 8])):
        assert standalone["configurations"][name]["architecture"]["arch_kwargs"]["patch_size"] == patch
        check_predictions(make_checkpoint(trainer, plans, name), trainer, plans, standalone, DATASET)


def test_plans_of_another_trainer_keep_what_they_name(plans: dict[str, Any]) -> None:
    configuration = PlansManager(plans).get_configuration("3d_fullres")
    kwargs = FACTORIZER.architecture(configuration, {"window_size": 4})["arch_kwargs"]
    plans["configurations"]["3d_fullres"]["architecture"] = {
        "network_class_name": FACTORIZER.class_name, "arch_kwargs": kwargs, "_kw_requires_import": [],
    }  # fmt: skip
    standalone = standalone_plans(plans, nnUNetTrainer)
    exported = standalone["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"]
    assert kwargs.items() <= exported.items()
    assert exported["num_iters"] == 5


def test_checkpoint_names_nnunets_trainer_and_where_it_came_from(
    trainer: type[nnUNetTrainer], plans: dict[str, Any]
) -> None:
    checkpoint = make_checkpoint(trainer, plans, "3d_fullres")
    exported = standalone_checkpoint(checkpoint, {"plans_name": "new"}, {"trainer": trainer.__name__})
    assert exported["trainer_name"] == "nnUNetTrainer"
    assert exported["exported_from"] == {"trainer": "nnUNetTrainerConvFactorizer"}
    assert exported["init_args"]["plans"] == {"plans_name": "new"}
    assert exported["init_args"]["configuration"] == "3d_fullres"
    assert exported["inference_allowed_mirroring_axes"] == (0, 1, 2)
    assert "optimizer_state" not in exported
    assert checkpoint["trainer_name"] == "nnUNetTrainerConvFactorizer"
    assert checkpoint["init_args"]["plans"] is plans


def test_trainer_that_plans_cannot_express_is_refused(trainer: type[nnUNetTrainer], plans: dict[str, Any]) -> None:
    class Own(trainer):  # type: ignore[misc, valid-type]
        @classmethod
        def build_network_architecture(cls, *args: Any, **kwargs: Any) -> torch.nn.Module:
            network = super().build_network_architecture(*args, **kwargs)
            network.decoder.seg_layers[-1].register_forward_hook(lambda module, inputs, output: 2 * output)
            return network

    checkpoint = make_checkpoint(Own, plans, "3d_fullres")
    with pytest.raises(UserError, match="plans cannot name the network that Own builds for 3d_fullres"):
        check_predictions(checkpoint, Own, plans, standalone_plans(plans, Own), DATASET)


def test_weights_of_another_network_are_refused(trainer: type[nnUNetTrainer], plans: dict[str, Any]) -> None:
    checkpoint = make_checkpoint(trainer, plans, "3d_fullres")
    del checkpoint["network_weights"]["encoder.stem.weight"]
    with pytest.raises(UserError, match=r"weights do not fit the network that nnUNetTrainerConvFactorizer builds"):
        check_predictions(checkpoint, trainer, plans, standalone_plans(plans, trainer), DATASET)
