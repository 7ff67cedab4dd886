"""A comparison: what is asked for, checked before anything runs, and the folder that holds its runs."""

import hashlib
import json
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from nnunetv2.training.dataloading.nnunet_dataset import infer_dataset_class
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from nnunetv2_factorizer.adaptation.trainer import FOLDS
from nnunetv2_factorizer.compare.budget import parse_budget
from nnunetv2_factorizer.compare.networks import NNUNET, Network, network_of
from nnunetv2_factorizer.compare.run import Run
from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.families import family_of
from nnunetv2_factorizer.inference.preprocessed_cases import fold_cases, write_splits
from nnunetv2_factorizer.models.atomic import replacing
from nnunetv2_factorizer.models.folders import nnunet_folder
from nnunetv2_factorizer.models.json_files import read_json
from nnunetv2_factorizer.tune.metrics import require_monai

SETTINGS = "comparison.json"


@dataclass(frozen=True)
class Comparison:
    """What the command line says; `dataset` is the full name."""

    out: Path
    dataset: str
    configuration: str
    plans: str
    folds: tuple[str, ...]
    networks: tuple[str, ...]
    budget: str
    memory: float | None
    device: str
    jobs: int = 1

    @property
    def base(self) -> Path:
        """The folder of the preprocessed data set."""
        return nnunet_folder("nnUNet_preprocessed") / self.dataset

    @property
    def settings(self) -> dict[str, Any]:
        """What all runs in a folder share; networks and folds may be added later."""
        plans = json.dumps(read_json(self.base / f"{self.plans}.json"), sort_keys=True)
        return {
            "dataset": self.dataset,
            "configuration": self.configuration,
            "plans": self.plans,
            "plans_sha256": hashlib.sha256(plans.encode()).hexdigest(),
            "budget": " ".join(self.budget.split()),
            "memory": self.memory,
            "device": self.device,
        }

    def runs(self) -> list[Run]:
        """Each network on each fold; all networks on the first fold come first."""
        threads = 1 if self.device == "cuda" else max(1, torch.get_num_threads() // self.jobs)
        rest = (self.dataset, self.configuration, self.plans, self.budget, self.memory, self.device, threads)
        return [Run(self.out, network, int(fold), *rest) for fold in self.folds for network in self.networks]


def check(wanted: Comparison) -> list[Network]:
    """Everything that can be known before a training; the networks by their names.

    Raises:
        UserError: the budget, a network, the data, a fold or the plans are not as they must be.
    """
    require_monai()
    parse_budget(wanted.budget)
    if wanted.memory is not None and wanted.memory <= 0:
        raise UserError(f"--memory must be above 0, got {wanted.memory:g}.", "Give the GB of a GPU, such as 8.")
    networks = [network_of(name) for name in wanted.networks]
    nnunet_folder("nnUNet_raw")
    file = wanted.base / f"{wanted.plans}.json"
    if not file.is_file():
        raise UserError(
            f"{file} does not exist.", "Name plans of this data set with -p, or run nnUNetv2_plan_and_preprocess."
        )
    plans = PlansManager(deepcopy(read_json(file)))
    if wanted.configuration not in plans.available_configurations:
        raise UserError(
            f"{file} has no configuration {wanted.configuration}.",
            f"Give one of {', '.join(plans.available_configurations)} with -c.",
        )
    configuration = plans.get_configuration(wanted.configuration)
    _check_nnunet(wanted, configuration.network_arch_class_name)
    images, splits = wanted.base / configuration.data_identifier, wanted.base / "splits_final.json"
    if images.is_dir() and not splits.is_file():
        write_splits(splits, infer_dataset_class(str(images)).get_identifiers(str(images)), FOLDS)
    for fold in wanted.folds:
        if fold == "all":
            raise UserError("the fold all has no validation cases to compare.", "Give some of 0 to 4 with -f.")
        fold_cases(wanted.dataset, configuration, fold, "the comparison")
    return networks


def _check_nnunet(wanted: Comparison, class_name: str) -> None:
    """nnU-Net's own networks come from the plans, which must be nnU-Net's own, then."""
    own = [name for name in wanted.networks if name in NNUNET]
    if own and family_of(class_name) is not None:
        raise UserError(
            f"the plans {wanted.plans} name the network {class_name}, so that {own[0]} is not nnU-Net's.",
            "Give plans of nnU-Net with -p, such as nnUNetPlans; our networks take them over.",
        )
    residual = [name for name in own if name.startswith("ResEnc")]
    if len(residual) > 1 and wanted.memory is None:
        raise UserError(
            f"{' and '.join(residual)} are the same network at the same patch and batch.",
            "Give one of them; or --memory GB, by which each planner of nnU-Net finds its patch and batch.",
        )


def begin(wanted: Comparison) -> None:
    """Makes the folder, or checks that it is of the same comparison.

    Raises:
        UserError: the folder holds another comparison or other files, or it cannot be written.
    """
    file = wanted.out / SETTINGS
    if not file.is_file():
        if wanted.out.exists() and (not wanted.out.is_dir() or any(wanted.out.iterdir())):
            raise UserError(f"{wanted.out} is no comparison, and not empty.", "Give a new folder with -o.")
        try:
            wanted.out.mkdir(parents=True, exist_ok=True)
            with replacing(str(file)) as unfinished:
                Path(unfinished).write_text(json.dumps(wanted.settings, indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            raise UserError(f"{wanted.out} cannot be written: {error.strerror}.", "Give another -o.") from error
        return
    there = read_json(file)
    differing = [name for name, value in wanted.settings.items() if there.get(name) != value]
    if differing:
        name = differing[0]
        raise UserError(
            f"{wanted.out} holds another comparison: {name} is {there.get(name)} there and {wanted.settings[name]} "
            "here. Nothing was changed.",
            "Give another folder with -o, or the flags of the first time; only networks and folds may be added.",
        )
