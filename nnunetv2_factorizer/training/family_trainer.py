"""Trainers that build the network of a family for whatever plans they are given, nnU-Net's own included."""

from collections.abc import Mapping
from typing import Any, ClassVar

from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager
from torch.nn import Module

from nnunetv2_factorizer.families import FACTORIZER, Family
from nnunetv2_factorizer.training.guard import Guard
from nnunetv2_factorizer.training.recipes import PaperRecipe


class FamilyTrainer(Guard):
    """What the family reads comes from the plans, `choices` from the subclass."""

    family: ClassVar[Family]
    choices: ClassVar[Mapping[str, Any]] = {}
    """Arguments of the network that the plans shall not decide, such as those of a variant."""

    @classmethod
    def architecture_of(cls, configuration: ConfigurationManager) -> dict[str, Any]:
        return cls.family.architecture(configuration, cls.choices)

    @classmethod
    def build(
        cls,
        plans_manager: PlansManager,
        configuration_manager: ConfigurationManager,
        num_input_channels: int,
        num_output_channels: int,
        enable_deep_supervision: bool,
    ) -> Module:
        architecture = cls.architecture_of(configuration_manager)
        return get_network_from_plans(
            architecture["network_class_name"], architecture["arch_kwargs"], architecture["_kw_requires_import"],
            num_input_channels, num_output_channels, deep_supervision=enable_deep_supervision,
        )  # fmt: skip

    @classmethod
    def where_arguments_stand(cls, plans_manager: PlansManager, configuration_manager: ConfigurationManager) -> str:
        plans = super().where_arguments_stand(plans_manager, configuration_manager)
        return f"{cls.__name__}, which takes {', '.join(cls.family.reads)}, patch and spacing from {plans}"


class FactorizerTrainer(FamilyTrainer, PaperRecipe):
    """A Factorizer, trained as in the paper."""

    family = FACTORIZER
