"""Swin UNETR and its V2 for any plans, of the extra `comparison`: Muon, or AdamW as the authors train it."""

from nnunetv2_factorizer.comparison.registry import SWIN_UNETR
from nnunetv2_factorizer.training import AdamWRecipe, FamilyTrainer, MuonRecipe


class nnUNetTrainerSwinUNETR(FamilyTrainer, MuonRecipe):
    family = SWIN_UNETR
    choices = SWIN_UNETR.variants["Paper"]
    enable_deep_supervision = False


class nnUNetTrainerSwinUNETRV2(nnUNetTrainerSwinUNETR):
    choices = SWIN_UNETR.variants["V2"]


class nnUNetTrainerSwinUNETR_AuthorsRecipe(FamilyTrainer, AdamWRecipe):
    """100,000 iterations (800 epochs of a thousand cases on eight GPUs), the first 500 of them warm-up."""

    family = SWIN_UNETR
    choices = SWIN_UNETR.variants["Paper"]
    enable_deep_supervision = False
    num_epochs = 400
    initial_lr = 8e-4
    warmup = 0.005
