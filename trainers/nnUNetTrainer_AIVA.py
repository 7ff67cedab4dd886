"""A model of the architecture that the plans name goes on with Muon, drawn to a new scanner without labels."""

from nnunetv2_factorizer.adaptation.objectives import AIVA, RandomMatching
from nnunetv2_factorizer.adaptation.trainer import Adapting
from nnunetv2_factorizer.adaptation.with_objective import WithObjective
from nnunetv2_factorizer.training import MuonRecipe


class nnUNetTrainer_AIVA(WithObjective, Adapting, MuonRecipe):
    """50 epochs on the old scanner, of which the checkpoint is; `nnUNet_target_dataset` names the new one."""

    objective = AIVA


class nnUNetTrainer_AIVARandomMatching(nnUNetTrainer_AIVA):
    """The control."""

    objective = RandomMatching
