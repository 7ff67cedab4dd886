"""The data sets whose labels a meta-training learns from, and the binary data sets that are in them.

A task has one image channel and one label, so data sets with other channels and classes go together. Their voxels have
to mean the same: each is preprocessed with plans of the same name, with the same patch and spacing.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from acvl_utils.cropping_and_padding.bounding_boxes import crop_and_pad_nd
from nnunetv2.paths import nnUNet_preprocessed
from nnunetv2.training.dataloading.nnunet_dataset import infer_dataset_class
from nnunetv2.utilities.dataset_name_id_conversion import maybe_convert_to_dataset_name
from nnunetv2.utilities.label_handling.label_handling import LabelManager
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.models.json_files import read_json

VARIABLE = "nnUNet_reptile_datasets"
"""The environment variable with the IDs or names of the further data sets, between spaces."""

MUST_BE_EQUAL = ("patch_size", "spacing")

Label = int | tuple[int, ...]
"""A label, or a region: the labels that are in it."""


@dataclass(frozen=True)
class Pair:
    """One channel and one label of a data set: a binary data set.

    Args:
        dataset: of nnU-Net, preprocessed.
        organ: that it shows; pairs of the same organ share its rate.
        channel: of the images.
        label: that is foreground.
        ignore: the label of voxels of which nothing is known, if there is one.
        cases: those in which the label occurs.
    """

    dataset: Any
    organ: str
    channel: int
    label: Label
    ignore: int | None
    cases: tuple[str, ...]

    def only(self, cases: Iterable[str]) -> "Pair":
        """The same with those of its cases that are among `cases`."""
        wanted = set(cases)
        return replace(self, cases=tuple(case for case in self.cases if case in wanted))

    def foreground(self, case: str) -> tuple[tuple[int, ...], np.ndarray]:
        """The size of the image, and where voxels of the label are, `(n, 3)`: a sample that nnU-Net has taken."""
        data, _, _, properties = self.dataset.load_case(case)
        return tuple(data.shape[1:]), np.asarray(properties["class_locations"][self.label])[:, 1:]

    def patch(self, case: str, corner: Iterable[int], size: Iterable[int]) -> tuple[np.ndarray, np.ndarray]:
        """Image and target `(1, *size)`; the target is 1 on the label, -1 where nothing is known, else 0.

        Outside the image both are 0, as nnU-Net has it.
        """
        data, segmentation, _, _ = self.dataset.load_case(case)
        box = [[start, start + voxels] for start, voxels in zip(corner, size, strict=True)]
        image = crop_and_pad_nd(data, [[self.channel, self.channel + 1], *box], 0)
        labels = crop_and_pad_nd(segmentation, [[0, 1], *box], -1, cast_cropped_to=np.int16)
        target = np.isin(labels, self.label).astype(np.int8)
        if self.ignore is not None:
            target[labels == self.ignore] = -1
        return np.asarray(image, np.float32), target


def find_pairs(dataset: Any, organ: str, labels: LabelManager) -> list[Pair]:
    """All channels with all labels, without those that occur in no case."""
    wanted: list[Label] = labels.foreground_regions if labels.has_regions else labels.foreground_labels
    cases: dict[Label, list[str]] = {label: [] for label in wanted}
    channels = 0
    for case in dataset.identifiers:
        data, _, _, properties = dataset.load_case(case)
        channels = data.shape[0]
        for label in wanted:
            if len(properties.get("class_locations", {}).get(label, ())):
                cases[label].append(case)
    return [
        Pair(dataset, organ, channel, label, labels.ignore_label, tuple(found))
        for channel in range(channels)
        for label, found in cases.items()
        if found
    ]


def further_pairs(plans: PlansManager, configuration_name: str) -> list[Pair]:
    """Those of the data sets that the variable names.

    Args:
        plans: of the first data set.
        configuration_name: such as `3d_fullres`.

    Raises:
        UserError: a data set is not there, not preprocessed with such plans, or not labelled.
    """
    pairs = []
    for name_or_id in os.environ.get(VARIABLE, "").replace(",", " ").split():
        name = _dataset_name(name_or_id)
        if name != plans.dataset_name:  # which takes part anyway
            pairs += _pairs_of(name, plans, configuration_name)
    return pairs


def _dataset_name(name_or_id: str) -> str:
    try:
        return str(maybe_convert_to_dataset_name(name_or_id))
    except (RuntimeError, ValueError) as error:
        reason = str(error).partition(". ")[0]
        raise UserError(
            f"the variable {VARIABLE} names {name_or_id}: {reason}.",
            f'Set it to IDs or names of nnU-Net\'s data sets, such as {VARIABLE}="12 13".',
        ) from None


def _pairs_of(name: str, plans: PlansManager, configuration_name: str) -> list[Pair]:
    base = Path(nnUNet_preprocessed) / name
    file = base / f"{plans.plans_name}.json"
    remedy = (
        f"nnUNetv2_move_plans_between_datasets -s {plans.dataset_name} -t {name} -sp {plans.plans_name} "
        f"-tp {plans.plans_name}\nnnUNetv2_preprocess -d {name} -plans_name {plans.plans_name} -c {configuration_name}"
    )
    if not file.is_file():
        raise UserError(f"{name} has no plans {plans.plans_name} ({file}).", remedy)
    own = PlansManager(read_json(file))
    if configuration_name not in own.available_configurations:
        raise UserError(f"{file} has no configuration {configuration_name}.", remedy)
    there, here = own.get_configuration(configuration_name), plans.get_configuration(configuration_name)
    for key in MUST_BE_EQUAL:
        of_this, of_first = ([float(x) for x in configuration.configuration[key]] for configuration in (there, here))
        if not np.allclose(of_this, of_first) if len(of_this) == len(of_first) else True:
            raise UserError(
                f"{key} of {configuration_name} is {of_this} in {file}, {of_first} in the plans of "
                f"{plans.dataset_name}: a voxel would not mean the same.",
                remedy,
            )
    folder = base / there.data_identifier
    if not folder.is_dir() or not any(folder.iterdir()):
        raise UserError(f"{name} is not preprocessed: {folder} is missing or empty.", remedy)
    pairs = find_pairs(infer_dataset_class(str(folder))(str(folder)), name, own.get_label_manager(dataset_json(base)))
    if not pairs:
        raise UserError(f"none of the cases in {folder} has a label.", f"Leave {name} out of {VARIABLE}.")
    return pairs


def dataset_json(base: Path) -> dict[str, Any]:
    """That of a preprocessed data set."""
    result: dict[str, Any] = read_json(base / "dataset.json")
    return result
