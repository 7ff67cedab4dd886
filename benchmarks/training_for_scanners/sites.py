"""Trained on three sites: how well are they segmented, and a fourth, and what do features still tell of the site?"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.learning.methods import METHODS
from benchmarks.scanner.cases import dice_of_cases, some
from benchmarks.training_for_scanners.data import SITES, prepare_sites, sites_of
from benchmarks.training_for_scanners.oracle import dice_with_true_masks
from benchmarks.training_for_scanners.training import ALL_SCANNERS, on_scanners, predictor, result, train
from nnunetv2_factorizer.adaptation.probe import case_features, linear_probe
from nnunetv2_factorizer.models.checkpoint import read_checkpoint
from nnunetv2_factorizer.trainers.nnUNetTrainer_CateNorm import (
    nnUNetTrainer_CateNorm,
    nnUNetTrainer_CateNormOracle,
    nnUNetTrainer_CateNormShuffled,
)
from nnunetv2_factorizer.trainers.nnUNetTrainer_NormPerSite import nnUNetTrainer_NormPerSite
from nnunetv2_factorizer.trainers.nnUNetTrainer_Unlearn import (
    nnUNetTrainer_UnlearnCLGR,
    nnUNetTrainer_UnlearnLNTL,
    nnUNetTrainer_UnlearnTABE,
)

ITERATIONS = 250
PER_SITE, ORACLE = "NormPerSite", "CateNormOracle, true mask"
ARMS: dict[str, Callable[[], type]] = {
    "Muon": METHODS["nnU-Net + Muon"].trainer,
    "LNTL": lambda: nnUNetTrainer_UnlearnLNTL,
    "TABE": lambda: nnUNetTrainer_UnlearnTABE,
    "CLGR": lambda: nnUNetTrainer_UnlearnCLGR,
    PER_SITE: lambda: nnUNetTrainer_NormPerSite,
    "CateNorm": lambda: nnUNetTrainer_CateNorm,
    "CateNormShuffled": lambda: nnUNetTrainer_CateNormShuffled,
    ORACLE: lambda: nnUNetTrainer_CateNormOracle,
}


def prepare_data(_: list[str]) -> None:
    prepare_sites()


def run(arm: str, iterations: int, seed: int) -> dict[str, Any]:
    trainer = train(f"sites {arm}", (ARMS[arm](),), *prepare_sites(), iterations, seed)
    if arm == PER_SITE:  # whose norms are the site's own: nothing has to be found in features
        return result(trainer, _by_own_checkpoints(trainer))
    if arm == ORACLE:
        return result(trainer, dice_with_true_masks(trainer), **_probed(trainer))
    return result(trainer, on_scanners(predictor(trainer)), **_probed(trainer))


def _by_own_checkpoints(trainer: Any) -> dict[str, list[float]]:
    """Each scanner by the checkpoint of its site, one that is no site by that of the first."""
    found = {}
    for scanner in ALL_SCANNERS:
        site = scanner if scanner in SITES else SITES[0]
        network = trainer.build_network_architecture(
            trainer.plans_manager, trainer.configuration_manager, trainer.num_input_channels,
            trainer.label_manager.num_segmentation_heads, enable_deep_supervision=False,
        )  # fmt: skip
        checkpoint = read_checkpoint(str(Path(trainer.output_folder) / f"checkpoint_site_{site}.pth"))
        network.load_state_dict(checkpoint["network_weights"])
        found[scanner] = dice_of_cases(predictor(trainer, network), some(), scanner)
    return found


def _probed(trainer: Any) -> dict[str, float]:
    """How often a fresh linear head tells the site of a case that it has not seen; chance is one third.

    Once of the fold's validation cases alone, and once of all cases, which are more and known to the network.
    """
    training, validation = trainer.do_split()
    sites = sites_of(training) | sites_of(validation)
    dataset = trainer.dataset_class(trainer.preprocessed_dataset_folder, [*training, *validation])
    model, features = predictor(trainer), {}
    for case in dataset.identifiers:
        image = torch.from_numpy(np.asarray(dataset.load_case(case)[0][:], np.float32))
        features[case] = case_features(model, image)
    unseen = {case: features[case] for case in validation}
    return {
        "site told, validation cases": round(linear_probe(unseen, sites).accuracy, 4),
        "site told, all cases": round(linear_probe(features, sites).accuracy, 4),
    }
