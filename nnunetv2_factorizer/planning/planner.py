"""Plans that name a network of a family: nnU-Net's own planning, with the network replaced and its memory counted."""

import json
from collections.abc import Mapping
from copy import deepcopy
from functools import partial
from math import prod
from pathlib import Path
from typing import Any, ClassVar

from nnunetv2.experiment_planning.experiment_planners.default_experiment_planner import ExperimentPlanner
from nnunetv2.utilities.json_export import recursive_fix_for_json_export

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.families import FACTORIZER, Family, as_architecture
from nnunetv2_factorizer.models.folders import nnunet_folder
from nnunetv2_factorizer.models.json_files import read_json
from nnunetv2_factorizer.planning.budget import budget_too_small, largest_batch, peak_of_step, usable_bytes

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


class FamilyPlanner(ExperimentPlanner):
    """Patch size, stages and batch size by nnU-Net's rules, for the memory that a network of the family needs.

    A preset derives from it and sets the class attributes below.

    Args:
        dataset_name_or_id: of a data set whose fingerprint is extracted.
        gpu_memory_target_in_gb: memory of the GPU that the plans are for, in GB; None for that of the preset.
        preprocessor_name: nnU-Net's preprocessor class.
        plans_name: name of the plans file; None: `nnUNetXPlans` of a preset `nnUNetPlannerX`.
        overwrite_target_spacing: of `3d_fullres`, in mm.
        suppress_transpose: keep the order of the axes.

    Raises:
        UserError: by `plan_experiment`; nothing fits into the memory target, or the images are too small.
    """

    family: ClassVar[Family] = FACTORIZER
    choices: ClassVar[Mapping[str, Any]] = {}
    """Arguments of the network that no rule decides, or that overrule the rules."""
    choices_3d: ClassVar[Mapping[str, Any]] = {}
    """More of them for 3D; with a `patch_size` among them, the patch does not follow the memory target."""
    gpu_memory_target_in_gb: ClassVar[float] = 8
    trainer: ClassVar[str] = "nnUNetTrainerFactorizer"
    """That trains the planned network with the recipe it is meant for."""

    def __init__(
        self,
        dataset_name_or_id: str | int,
        gpu_memory_target_in_gb: float | None = None,
        preprocessor_name: str = "DefaultPreprocessor",
        plans_name: str | None = None,
        overwrite_target_spacing: list[float] | None = None,
        suppress_transpose: bool = False,
    ) -> None:
        super().__init__(
            dataset_name_or_id,
            gpu_memory_target_in_gb or self.gpu_memory_target_in_gb,
            preprocessor_name,
            plans_name or f"{type(self).__name__.replace('Planner', '', 1)}Plans",
            overwrite_target_spacing,
            suppress_transpose,
        )
        # nnU-Net makes the patch smaller until the estimate for two of them is within the reference.
        self._budget = max(1, usable_bytes(self.UNet_vram_target_GB))
        self.UNet_reference_val_2d = self.UNet_reference_val_3d = self._budget
        self.UNet_reference_val_corresp_GB = self.UNet_vram_target_GB
        self.UNet_reference_val_corresp_bs_2d = self.UNet_reference_val_corresp_bs_3d = self.UNet_min_batch_size
        self._candidate: tuple[dict[str, Any], Any] | None = None
        self._median_shape: Any = None
        self._peaks: dict[str, dict[int, int]] = {}  # of a step with two patches, for strides and voxels

    def static_estimate_VRAM_usage(  # noqa: N802
        self,
        patch_size: Any,
        input_channels: int,
        output_channels: int,
        arch_class_name: str,
        arch_kwargs: dict[str, Any],
        arch_kwargs_req_import: Any,
    ) -> int:
        """The hook by which nnU-Net asks for the memory of a candidate U-Net: bytes of a step with two patches.

        The spacing is not known here; the windows that follow from it do not change the memory.
        """
        if len(patch_size) == 3 and "patch_size" in self.choices_3d:
            return 1  # nnU-Net need not look for a patch
        voxels = prod(int(p) for p in patch_size)
        if arch_kwargs["n_stages"] < 2 or voxels == 0:
            if self._candidate is None:
                shape = "x".join(f"{voxels:g}" for voxels in self._median_shape)
                raise UserError(
                    f"images of {shape} voxels are too small for a network of two stages.",
                    "Plan for a smaller spacing (-overwrite_target_spacing), or use a planner of nnU-Net.",
                )
            kwargs, patch_size = self._candidate
            smallest = self._peak(kwargs, patch_size, input_channels, output_channels, self.UNet_min_batch_size)
            raise budget_too_small(self.UNet_vram_target_GB, smallest)
        spacing = [1.0] * len(patch_size)
        kwargs = self.family.arch_kwargs(arch_class_name, arch_kwargs, patch_size, spacing, self.choices)
        self._candidate = kwargs, patch_size
        # A smaller patch takes less, but not less in proportion: while that is too much, it need not be counted anew.
        peaks = self._peaks.setdefault(str(arch_kwargs["strides"]), {})
        larger = [known for known in peaks if known >= voxels]
        at_least = peaks[min(larger)] * voxels // min(larger) if larger else 0
        if at_least > self._budget:
            return at_least
        peaks[voxels] = self._peak(kwargs, patch_size, input_channels, output_channels, self.UNet_min_batch_size)
        return peaks[voxels]

    def get_plans_for_configuration(
        self, spacing: Any, median_shape: Any, data_identifier: str, voxels_of_dataset: float, _cache: dict
    ) -> dict:
        self._candidate, self._median_shape = None, median_shape
        plan = super().get_plans_for_configuration(spacing, median_shape, data_identifier, voxels_of_dataset, _cache)
        unet = plan["architecture"]
        choices = {**self.choices, **(self.choices_3d if len(spacing) == 3 else {})}
        plan["patch_size"] = choices.pop("patch_size", plan["patch_size"])
        kwargs = self.family.arch_kwargs(
            unet["network_class_name"],
            unet["arch_kwargs"] | {key: choices[key] for key in self.family.reads if key in choices},
            plan["patch_size"],
            spacing,
            choices,
        )
        plan["patch_size"] = [int(p) for p in plan["patch_size"]]
        at_most = round(voxels_of_dataset * self.max_dataset_covered / prod(plan["patch_size"]))  # nnU-Net's rule
        plan["batch_size"] = self._batch_size(kwargs, plan["patch_size"], max(self.UNet_min_batch_size, at_most))
        kwargs = self._with_memory_left(kwargs, plan["patch_size"], plan["batch_size"])
        plan["architecture"] = as_architecture(self.family, kwargs)
        configuration = data_identifier.removeprefix(f"{self.plans_identifier}_")
        if configuration != data_identifier and self._shares_data(configuration, plan):
            plan["data_identifier"] = f"{NNUNET_PLANS}_{configuration}"
        return plan

    def _peak(self, kwargs: dict[str, Any], patch_size: Any, channels: int, classes: int, batch_size: int) -> int:
        return peak_of_step(self.family, kwargs, [int(p) for p in patch_size], channels, classes, batch_size)

    def _batch_size(
        self, kwargs: dict[str, Any], patch_size: list[int], limit: int, more_channels: int = 0, at_least: int = 2
    ) -> int:
        """The largest that fits."""
        peak = partial(self._peak, kwargs, patch_size, *self._channels(more_channels))
        batch_size = largest_batch(peak, limit, self._budget)
        if batch_size < at_least:
            raise budget_too_small(self.UNet_vram_target_GB, peak(at_least))
        return batch_size

    def _with_memory_left(self, kwargs: dict[str, Any], patch_size: list[int], batch_size: int) -> dict[str, Any]:
        """The arguments with those that make the network faster, where the planned batch leaves memory for them."""
        faster = {**self.family.with_memory_left(kwargs), **kwargs}
        channels = self._channels(len(self.dataset_json["labels"]) - 1)  # of the second stage of a cascade, if there is
        fits = self._peak(faster, patch_size, *channels, batch_size) <= self._budget
        return faster if fits else kwargs

    def _channels(self, more: int = 0) -> tuple[int, int]:
        """Of the images and of the output."""
        of_images = len(self.dataset_fingerprint["foreground_intensity_properties_per_channel"])
        return of_images + more, len(self.dataset_json["labels"])

    def _fit_cascade(self, configurations: dict[str, Any]) -> None:
        """The second stage of a cascade has a channel more for each label, and perhaps a smaller batch."""
        if "3d_cascade_fullres" in configurations:
            fullres, labels = configurations["3d_fullres"], len(self.dataset_json["labels"]) - 1
            kwargs, limit = fullres["architecture"]["arch_kwargs"], fullres["batch_size"]
            batch_size = self._batch_size(kwargs, fullres["patch_size"], limit, more_channels=labels, at_least=1)
            if batch_size < limit:
                configurations["3d_cascade_fullres"]["batch_size"] = batch_size

    def _shares_data(self, configuration: str, plan: dict[str, Any]) -> bool:
        """Whether nnU-Net's default plans preprocess this configuration in the same way (they are never changed)."""
        path = self._plans_file(NNUNET_PLANS)
        if not path.exists():  # Then nnU-Net will find the data there, as it finds those of its other planners.
            stock = self.overwrite_target_spacing is None and self.preprocessor_name == "DefaultPreprocessor"
            return stock and configuration in ("2d", "3d_fullres")
        theirs = read_json(path)
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
            UserError: the file exists with other settings, of the data set or of one of these configurations.
        """
        self._fit_cascade(plans["configurations"])
        path = self._plans_file(self.plans_identifier)
        if path.exists():
            old, new = read_json(path), _as_json(plans)
            old_configurations, new_configurations = old.pop("configurations"), new.pop("configurations")
            differing = [key for key in new if old.get(key) != new[key]]
            differing += [c for c, plan in new_configurations.items() if old_configurations.get(c, plan) != plan]
            if differing:
                raise UserError(
                    f"{path} exists and says something else about {', '.join(differing)}. The file was not changed.",
                    "Give the new plans a name of their own (-overwrite_plans_name NAME), or delete the file.",
                )
        super().save_plans(plans)

    def _plans_file(self, plans_name: str) -> Path:
        return nnunet_folder("nnUNet_preprocessed") / self.dataset_name / f"{plans_name}.json"


def _as_json(plans: dict[str, Any]) -> dict[str, Any]:
    """As it comes back from a file: lists in place of tuples and arrays, plain numbers."""
    plans = deepcopy(plans)
    recursive_fix_for_json_export(plans)
    return json.loads(json.dumps(plans))
