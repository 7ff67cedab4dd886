"""What is compared: a network and its recipe, as a trainer of nnU-Net."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.training.nnUNetTrainer.variants.data_augmentation.nnUNetTrainerDA5 import nnUNetTrainerDA5
from torch import nn

from benchmarks.learning.candidates import CANDIDATES, Candidate
from nnunetv2_factorizer.families import FACTORIZER
from nnunetv2_factorizer.training import AvaGradRecipe, FamilyTrainer, MuonRecipe, PaperRecipe, Recipe, StockRecipe
from nnunetv2_factorizer.training.attributes import ClassAttributes


@dataclass(frozen=True)
class Method:
    """A trainer's class, made when it is asked for, and the planner of its network."""

    trainer: Callable[[], type[nnUNetTrainer]]
    planner: str = "ExperimentPlanner"
    mirroring: bool = True
    """In the validation at the end, as nnU-Net does; the search saves its eightfold time."""


def factorizer(variant: str, recipe: type[ClassAttributes], **choices: Any) -> type[nnUNetTrainer]:
    attributes = {"family": FACTORIZER, "choices": {**FACTORIZER.variants[variant], **choices}}
    return type(f"nnUNetTrainer{variant}", (FamilyTrainer, recipe), attributes)


def searched(candidate: Candidate) -> type[nnUNetTrainer]:
    class nnUNetTrainerSearch(FamilyTrainer, MuonRecipe):
        family = FACTORIZER
        choices: ClassVar[Mapping[str, Any]] = {**FACTORIZER.variants["Conv"], **candidate.choices}

        @classmethod
        def build(cls, *arguments: Any) -> nn.Module:
            network: Any = super().build(*arguments)
            candidate.change(network)
            return network

    return type("nnUNetTrainerSearch", (nnUNetTrainerSearch,), dict(candidate.recipe))


class TunedAdamW(PaperRecipe):
    """Muon's control: what a bold AdamW does with the same schedule."""

    initial_lr = 3e-3
    loss_weights = None
    multiplier = Recipe.multiplier


def unet(recipe: type[ClassAttributes], **attributes: Any) -> type[nnUNetTrainer]:
    """The network that the plans name."""
    return type("nnUNetTrainerUNet", (recipe,), attributes)


METHODS = {
    "nnU-Net": Method(lambda: nnUNetTrainer),
    "nnU-Net + Muon": Method(lambda: unet(MuonRecipe)),
    "nnU-Net + AdamW": Method(lambda: unet(TunedAdamW)),
    "nnU-Net + AvaGrad": Method(lambda: unet(AvaGradRecipe)),
    "nnU-Net + SGD 0.1": Method(lambda: unet(StockRecipe, initial_lr=0.1)),
    "nnU-Net DA5 + Muon": Method(lambda: type("nnUNetTrainerUNet", (MuonRecipe, nnUNetTrainerDA5), {})),
    "ResEnc-M": Method(lambda: nnUNetTrainer, "nnUNetPlannerResEncM"),
    "ResEnc-M + Muon": Method(lambda: unet(MuonRecipe), "nnUNetPlannerResEncM"),
    "Conv + AdamW": Method(lambda: factorizer("Conv", PaperRecipe)),
    "Conv + Muon": Method(lambda: factorizer("Conv", MuonRecipe)),
    "Hybrid + AdamW": Method(lambda: factorizer("Hybrid", TunedAdamW)),
    "Hybrid + Muon": Method(lambda: factorizer("Hybrid", MuonRecipe)),
    "Hybrid without NMF + Muon": Method(lambda: factorizer("Hybrid", MuonRecipe, nmf=False)),
    "Swin + AdamW": Method(lambda: factorizer("Swin", PaperRecipe)),
    "Swin + Muon": Method(lambda: factorizer("Swin", MuonRecipe)),
    "search: nnU-Net": Method(lambda: unet(MuonRecipe), mirroring=False),
    **{f"search: {name}": Method(partial(searched, c), mirroring=False) for name, c in CANDIDATES.items()},
}
