"""A Hybrid Factorizer for any plans goes on with Muon, drawn to a new scanner without labels."""

from nnunetv2_factorizer.adaptation.objectives import AIVA, RandomMatching
from nnunetv2_factorizer.adaptation.trainer import Adapting
from nnunetv2_factorizer.adaptation.with_objective import WithObjective
from nnunetv2_factorizer.families import FACTORIZER
from nnunetv2_factorizer.training import FamilyTrainer, MuonRecipe


class nnUNetTrainerHybridFactorizer_AIVA(WithObjective, Adapting, FamilyTrainer, MuonRecipe):
    """50 epochs on the old scanner, of which the checkpoint is; `nnUNet_target_dataset` names the new one."""

    family = FACTORIZER
    choices = FACTORIZER.variants["Hybrid"]
    objective = AIVA


class nnUNetTrainerHybridFactorizer_AIVARandomMatching(nnUNetTrainerHybridFactorizer_AIVA):
    """The control."""

    objective = RandomMatching
