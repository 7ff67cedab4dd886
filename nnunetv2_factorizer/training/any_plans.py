"""A trainer that builds its Factorizer for whatever plans it is given, nnU-Net's own included."""

from typing import Any, ClassVar

from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager

from nnunetv2_factorizer.network import Factorizer
from nnunetv2_factorizer.planning.architecture import CLASS_NAME, build_factorizer, factorizer_kwargs
from nnunetv2_factorizer.training.recipe import FactorizerRecipe


class AnyPlansFactorizerTrainer(FactorizerRecipe):
    """Stages, widths, strides and patch size come from the plans, `choices` from the subclass."""

    choices: ClassVar[dict[str, Any]] = {}
    """Arguments of `Factorizer` that the plans shall not decide."""

    @classmethod
    def build_network_architecture(
        cls,
        plans_manager: PlansManager,
        configuration_manager: ConfigurationManager,
        num_input_channels: int,
        num_output_channels: int,
        enable_deep_supervision: bool = True,
    ) -> Factorizer:
        """Of the class, since inference builds the network without a trainer object."""
        return build_factorizer(
            configuration_manager, num_input_channels, num_output_channels, enable_deep_supervision, **cls.choices
        )

    def architecture(self) -> dict[str, Any]:
        manager = self.configuration_manager
        kwargs = factorizer_kwargs(
            manager.network_arch_class_name, manager.network_arch_init_kwargs, manager.patch_size, **self.choices
        )
        return {"network_class_name": CLASS_NAME, "arch_kwargs": kwargs}
