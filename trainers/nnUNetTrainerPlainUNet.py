"""The plain U-Net of the Factorizer's paper (two convolutions a block, in the Factorizer's U-shape) for any plans."""

from nnunetv2_factorizer.comparison.registry import PLAIN_UNET
from nnunetv2_factorizer.training import FamilyTrainer, MuonRecipe, PaperRecipe


class nnUNetTrainerPlainUNet(FamilyTrainer, MuonRecipe):
    """250 epochs with Muon."""

    family = PLAIN_UNET


class nnUNetTrainerPlainUNet_AuthorsRecipe(FamilyTrainer, PaperRecipe):
    """400 epochs with AdamW, as that paper trains all its networks."""

    family = PLAIN_UNET
