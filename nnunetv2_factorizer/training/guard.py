"""Faults of a training, met with their cause and remedy: a mix-in for any nnU-Net trainer; see `docs/faults.md`."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager
from torch.nn import Module

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.families import family_of
from nnunetv2_factorizer.inference.input_check import check_inputs
from nnunetv2_factorizer.models.atomic import replacing
from nnunetv2_factorizer.models.checkpoint import RECORD_KEY, check_fit, check_version, make_record, read_checkpoint
from nnunetv2_factorizer.training.attributes import ClassAttributes
from nnunetv2_factorizer.training.bare import bare
from nnunetv2_factorizer.training.finite import (
    MOST_SKIPPED_STEPS,
    NonFiniteLossError,
    explain_non_finite,
    refuse_non_finite,
)
from nnunetv2_factorizer.training.remedies import arch_kwargs_of, check_dataset, explain_out_of_memory, is_of_gpu


class Guard(ClassAttributes):
    """Put first among the bases. Explains faults, writes checkpoints whole or not at all, loads those that fit only."""

    _iteration = 0
    _skipped_steps = 0

    @classmethod
    def architecture_of(cls, configuration: ConfigurationManager) -> dict[str, Any]:
        """The network that this trainer builds for a configuration, as plans hold it under `architecture`."""
        return {
            "network_class_name": configuration.network_arch_class_name,
            "arch_kwargs": configuration.network_arch_init_kwargs,
            "_kw_requires_import": list(configuration.network_arch_init_kwargs_req_import),
        }

    @classmethod
    def build_network_architecture(
        cls,
        plans_manager: PlansManager,
        configuration_manager: ConfigurationManager,
        num_input_channels: int,
        num_output_channels: int,
        enable_deep_supervision: bool = True,
    ) -> Module:
        """Of the class, since inference builds the network without a trainer object."""
        try:
            network = cls.build(
                plans_manager, configuration_manager, num_input_channels, num_output_channels, enable_deep_supervision
            )
        except (TypeError, ValueError) as error:
            if not cls._is_about_arguments(error, configuration_manager):
                raise
            where = cls.where_arguments_stand(plans_manager, configuration_manager)
            raise UserError(str(error), f"Mend {where}, or plan again.") from error
        check_inputs(network, num_input_channels)
        return network

    @classmethod
    def build(
        cls,
        plans_manager: PlansManager,
        configuration_manager: ConfigurationManager,
        num_input_channels: int,
        num_output_channels: int,
        enable_deep_supervision: bool,
    ) -> Module:
        """The network as the trainers after this one among the bases build it."""
        build = super().build_network_architecture
        last = (num_input_channels, num_output_channels, enable_deep_supervision)
        if "plans_manager" in inspect.signature(build).parameters:
            return build(plans_manager, configuration_manager, *last)
        architecture = configuration_manager.configuration["architecture"]  # of a signature that nnU-Net is giving up
        names = ("network_class_name", "arch_kwargs", "_kw_requires_import")
        return build(*(architecture[name] for name in names), *last)

    @classmethod
    def _is_about_arguments(cls, error: Exception, configuration: ConfigurationManager) -> bool:
        """Whether it is arguments that the constructor refuses; anything else is a defect, and keeps its traceback."""
        if isinstance(error, TypeError):
            return "__init__() " in str(error)  # such as an unexpected keyword
        return family_of(cls.architecture_of(configuration)["network_class_name"]) is not None

    @classmethod
    def where_arguments_stand(cls, plans_manager: PlansManager, configuration_manager: ConfigurationManager) -> str:
        """For the message of a network that cannot be built: where its arguments come from."""
        return arch_kwargs_of(plans_manager, configuration_manager)

    def initialize(self) -> None:
        check_dataset(self)
        super().initialize()

    def on_train_epoch_start(self) -> None:
        self._iteration = 0
        super().on_train_epoch_start()

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        when = f"epoch {self.current_epoch}, iteration {self._iteration}"
        with self._faults_explained(batch, when):
            result = super().train_step(batch)
            self._skipped_steps = self._skipped_steps + 1 if self._told_if_non_finite(result, batch, when) else 0
            if self._skipped_steps == MOST_SKIPPED_STEPS:
                raise NonFiniteLossError(float(result["loss"]))
        self._iteration += 1
        return result

    def validation_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        when = f"the validation of epoch {self.current_epoch}"
        with self._faults_explained(batch, when):
            result = super().validation_step(batch)
            self._told_if_non_finite(result, batch, when)
        return result

    def save_checkpoint(self, filename: str) -> None:
        self.my_init_kwargs[RECORD_KEY] = make_record(self.architecture_of(self.configuration_manager))
        try:
            with replacing(filename) as unfinished:
                super().save_checkpoint(unfinished)
        except (OSError, RuntimeError) as error:  # PyTorch's word for a full disk is a RuntimeError.
            if is_of_gpu(error):
                raise
            reason = str(error).partition("\n")[0]
            raise UserError(
                f"{filename} could not be written ({reason}).",
                "An earlier checkpoint of this name is untouched. Make room on the disk; --c continues from the last.",
            ) from error

    def load_checkpoint(self, filename_or_checkpoint: dict[str, Any] | str) -> None:
        """As nnU-Net, which unpickles the file, once it is known to hold plain values that fit the network."""
        if not self.was_initialized:
            self.initialize()
        if isinstance(filename_or_checkpoint, str):
            checkpoint = read_checkpoint(filename_or_checkpoint)
            check_version(checkpoint, filename_or_checkpoint)
            architecture = self.architecture_of(self.configuration_manager)
            check_fit(checkpoint, filename_or_checkpoint, bare(self.network), architecture)
        super().load_checkpoint(filename_or_checkpoint)

    def _build_loss(self) -> Module:
        return self.refusing_non_finite(super()._build_loss())

    def refusing_non_finite(self, loss: Module) -> Module:
        """The loss, which is refused where it is not finite and no GradScaler keeps the step away from the weights."""
        if self.grad_scaler is None:
            loss.register_forward_hook(refuse_non_finite)
        return loss

    def _told_if_non_finite(self, result: dict[str, Any], batch: dict[str, Any], when: str) -> bool:
        """Whether the loss, which nnU-Net has waited for already, is not finite: a GradScaler has skipped the step."""
        if np.isfinite(result["loss"]).all():
            return False
        cases = ", ".join(map(str, batch["keys"]))
        message = f"The loss is {result['loss']} in {when} (cases {cases}): the weights stay as they were."
        print(message) if self.local_rank else self.print_to_log_file(message)  # nnU-Net's log is that of rank 0
        return True

    @contextmanager
    def _faults_explained(self, batch: dict[str, Any], when: str) -> Iterator[None]:
        try:
            yield
        except NonFiniteLossError as error:
            raise explain_non_finite(error, bare(self.network), batch, when) from None
        except torch.OutOfMemoryError as error:
            raise explain_out_of_memory(error, self, self.architecture_of(self.configuration_manager), when) from error
