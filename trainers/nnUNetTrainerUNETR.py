"""UNETR for any plans, of the extra `comparison`: Muon, or AdamW as its authors train it."""

from nnunetv2_factorizer.comparison.registry import UNETR
from nnunetv2_factorizer.training import AdamWRecipe, FamilyTrainer, MuonRecipe


class nnUNetTrainerUNETR(FamilyTrainer, MuonRecipe):
    family = UNETR
    choices = UNETR.variants["Paper"]
    enable_deep_supervision = False


class nnUNetTrainerUNETR_AuthorsRecipe(FamilyTrainer, AdamWRecipe):
    """20,000 iterations, the first 200 of them warm-up (theirs: 50 of 5,000 epochs)."""

    family = UNETR
    choices = UNETR.variants["Paper"]
    enable_deep_supervision = False
