"""nnFormer for any 3D plans: Muon, or SGD as its authors, who take nnU-Net's recipe."""

from nnunetv2_factorizer.comparison.registry import NNFORMER
from nnunetv2_factorizer.training import FamilyTrainer, MuonRecipe, StockRecipe


class nnUNetTrainerNNFormer(FamilyTrainer, MuonRecipe):
    family = NNFORMER
    choices = NNFORMER.variants["Paper"]


class nnUNetTrainerNNFormer_AuthorsRecipe(FamilyTrainer, StockRecipe):
    family = NNFORMER
    choices = NNFORMER.variants["Paper"]
