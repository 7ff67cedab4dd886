"""Plans that name a Factorizer: nnU-Net's own planning, with the network replaced and its memory counted."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any, ClassVar

import torch
from batchgenerators.utilities.file_and_folder_operations import load_json
from nnunetv2.experiment_planning.experiment_planners.default_experiment_planner import ExperimentPlanner
from nnunetv2.paths import nnUNet_preprocessed
from nnunetv2.utilities.json_export import recursive_fix_for_json_export

from nnunetv2_factorizer.network import Factorizer
from nnunetv2_factorizer.planning.architecture import CLASS_NAME, factorizer_kwargs

NNUNET_PLANS = "nnUNetPlans"

PREPROCESSING_KEYS = (
    "spacing",
    "normalization_schemes",
    "use_mask_for_norm",
    "preprocessor_name",
    "resampling_fn_data",
    "resampling_fn_seg",
    "resampling_fn_data_kwargs",
    "resampling_fn_seg_kwargs",
)
"""What the preprocessed data of a configuration depend on."""


class FactorizerPlanner(ExperimentPlanner):
    """Patch size, stages and batch size by nnU-Net's rules, for the memory that a Factorizer needs.

    A preset derives from it and sets `default_plans_name` and `choices`, the arguments of `Factorizer` that nnU-Net's
    rules do not decide.

    Args:
        dataset_name_or_id: of a data set whose fingerprint is extracted.
        gpu_memory_target_in_gb: memory of the GPU that the plans are for, in GB.
        preprocessor_name: nnU-Net's preprocessor class.
        plans_name: name of the plans file; None for that of the preset, with `matricize` in it where that differs.
        overwrite_target_spacing: of `3d_fullres`, in mm.
        suppress_transpose: keep the order of the axes.
        matricize: in place of the one in `choices`.
    """

    choices: ClassVar[dict[str, Any]] = {"matricize": "swin", "local_path": "none"}
    default_plans_name = "nnUNetFactorizerPlans"

    def __init__(
        self,
        dataset_name_or_id: str | int,
        gpu_memory_target_in_gb: float = 8,
        preprocessor_name: str = "DefaultPreprocessor",
        plans_name: str | None = None,
        overwrite_target_spacing: list[float] | None = None,
        suppress_transpose: bool = False,
        matricize: str | None = None,
    ) -> None:
        super().__init__(
            dataset_name_or_id,
            gpu_memory_target_in_gb,
            preprocessor_name,
            plans_name or self._default_plans_name(matricize),
            overwrite_target_spacing,
            suppress_transpose,
        )
        if matricize is not None:
            self.choices = self.choices | {"matricize": matricize}  # type: ignore[misc]

    @classmethod
    def _default_plans_name(cls, matricize: str | None) -> str:
        if matricize in (None, cls.choices["matricize"]):
            return cls.default_plans_name
        return cls.default_plans_name.replace("Factorizer", f"{matricize.capitalize()}Factorizer")

    def static_estimate_VRAM_usage(  # noqa: N802
        self,
        patch_size: Any,
        input_channels: int,
        output_channels: int,
        arch_class_name: str,
        arch_kwargs: dict[str, Any],
        arch_kwargs_req_import: Any,
    ) -> int:
        """The hook by which nnU-Net asks for the memory of a candidate U-Net: answers for the Factorizer."""
        kwargs = factorizer_kwargs(arch_class_name, arch_kwargs, patch_size, **self.choices)
        with torch.device("meta"):
            return Factorizer(input_channels, output_channels, **kwargs).compute_conv_feature_map_size(patch_size)

    def get_plans_for_configuration(self, spacing: Any, median_shape: Any, data_identifier: str, *rest: Any) -> dict:
        plan = super().get_plans_for_configuration(spacing, median_shape, data_identifier, *rest)
        unet = plan["architecture"]
        plan["architecture"] = {
            "network_class_name": CLASS_NAME,
            "arch_kwargs": factorizer_kwargs(
                unet["network_class_name"], unet["arch_kwargs"], plan["patch_size"], **self.choices
            ),
            "_kw_requires_import": [],
        }
        configuration = data_identifier.removeprefix(f"{self.plans_identifier}_")
        if configuration != data_identifier and self._shares_data(configuration, plan):
            plan["data_identifier"] = f"{NNUNET_PLANS}_{configuration}"
        return plan

    def _shares_data(self, configuration: str, plan: dict[str, Any]) -> bool:
        """Whether nnU-Net's default plans preprocess this configuration in the same way (they are never changed)."""
        path = self._plans_file(NNUNET_PLANS)
        if not path.exists():  # Then nnU-Net will find the data there, as it finds those of its other planners.
            stock = self.overwrite_target_spacing is None and self.preprocessor_name == "DefaultPreprocessor"
            return stock and configuration in ("2d", "3d_fullres")
        theirs = load_json(str(path))
        ours = {
            "transpose_forward": self.determine_transpose()[0],
            "image_reader_writer": self.determine_reader_writer().__name__,
            "foreground_intensity_properties_per_channel": self.dataset_fingerprint[
                "foreground_intensity_properties_per_channel"
            ],
            "configurations": {configuration: {key: plan[key] for key in PREPROCESSING_KEYS}},
        }
        ours = _as_json(ours)
        their_configuration = theirs["configurations"].get(configuration, {})
        theirs["configurations"] = {configuration: {key: their_configuration.get(key) for key in PREPROCESSING_KEYS}}
        return ours == {key: theirs[key] for key in ours}

    def save_plans(self, plans: dict[str, Any]) -> None:
        """As nnU-Net, but a plans file that says something else is left alone.

        Raises:
            FileExistsError: the file exists with other settings, of the data set or of one of these configurations.
        """
        path = self._plans_file(self.plans_identifier)
        if path.exists():
            old, new = load_json(str(path)), _as_json(plans)
            old_configurations, new_configurations = old.pop("configurations"), new.pop("configurations")
            differing = [key for key in new if old.get(key) != new[key]]
            differing += [c for c, plan in new_configurations.items() if old_configurations.get(c, plan) != plan]
            if differing:
                raise FileExistsError(
                    f"{path} exists and says something else about {', '.join(differing)}. The file was not changed. "
                    "Give the new plans a name of their own (-overwrite_plans_name NAME), or delete the file."
                )
        super().save_plans(plans)

    def _plans_file(self, plans_name: str) -> Path:
        return Path(str(nnUNet_preprocessed)) / self.dataset_name / f"{plans_name}.json"


def _as_json(plans: dict[str, Any]) -> dict[str, Any]:
    """As it comes back from a file: lists in place of tuples and arrays, plain numbers."""
    plans = deepcopy(plans)
    recursive_fix_for_json_export(plans)
    return json.loads(json.dumps(plans))
