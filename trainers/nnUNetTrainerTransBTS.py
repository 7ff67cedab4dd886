"""TransBTS for any 3D plans: Muon, or Adam as its authors train it."""

from torch.optim import Adam

from nnunetv2_factorizer.comparison.registry import TRANSBTS
from nnunetv2_factorizer.training import AdamPolyRecipe, FamilyTrainer, MuonRecipe


class nnUNetTrainerTransBTS(FamilyTrainer, MuonRecipe):
    family = TRANSBTS
    choices = TRANSBTS.variants["Paper"]
    enable_deep_supervision = False


class nnUNetTrainerTransBTS_AuthorsRecipe(FamilyTrainer, AdamPolyRecipe):
    """The paper's learning rate and weight decay; its 8,000 epochs have no counterpart here: nnU-Net's length."""

    family = TRANSBTS
    choices = TRANSBTS.variants["Paper"]
    enable_deep_supervision = False
    adam = Adam
    eps = 1e-8
    initial_lr = 4e-4
    weight_decay = 1e-5
