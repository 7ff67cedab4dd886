"""The Performer of the Factorizer's paper (FAVOR+ attention in the Factorizer's U-shape) for any plans."""

from nnunetv2_factorizer.comparison.registry import PERFORMER
from nnunetv2_factorizer.training import FamilyTrainer, MuonRecipe, PaperRecipe


class nnUNetTrainerPerformer(FamilyTrainer, MuonRecipe):
    """250 epochs with Muon."""

    family = PERFORMER


class nnUNetTrainerPerformer_AuthorsRecipe(FamilyTrainer, PaperRecipe):
    """400 epochs with AdamW, as that paper trains all its networks."""

    family = PERFORMER
