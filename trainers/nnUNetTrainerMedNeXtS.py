"""MedNeXt-S with kernels of 3^d for any plans, of the extra `comparison`: Muon, or AdamW as its authors train it."""

from nnunetv2_factorizer.comparison.registry import MEDNEXT
from nnunetv2_factorizer.training import AdamPolyRecipe, FamilyTrainer, MuonRecipe


class nnUNetTrainerMedNeXtS(FamilyTrainer, MuonRecipe):
    family = MEDNEXT
    choices = MEDNEXT.variants["S"]


class nnUNetTrainerMedNeXtS_AuthorsRecipe(FamilyTrainer, AdamPolyRecipe):
    family = MEDNEXT
    choices = MEDNEXT.variants["S"]
