"""The Res-U-Net of the Factorizer's paper (residual blocks in the Factorizer's U-shape) for any plans."""

from nnunetv2_factorizer.comparison.registry import RES_UNET
from nnunetv2_factorizer.training import FamilyTrainer, MuonRecipe, PaperRecipe


class nnUNetTrainerResUNet(FamilyTrainer, MuonRecipe):
    """250 epochs with Muon."""

    family = RES_UNET


class nnUNetTrainerResUNet_AuthorsRecipe(FamilyTrainer, PaperRecipe):
    """400 epochs with AdamW, as that paper trains all its networks."""

    family = RES_UNET
