"""What is pre-trained: the network of the plans, or a Factorizer for any plans; bases of trainers that set a `task`."""

from nnunetv2_factorizer.families import FACTORIZER
from nnunetv2_factorizer.pretraining.trainer import Pretraining
from nnunetv2_factorizer.training import FamilyTrainer, MuonRecipe


class OfThePlans(Pretraining, MuonRecipe):
    """The network that the plans name, nnU-Net's own for example."""


class HybridFactorizer(Pretraining, FamilyTrainer, MuonRecipe):
    """A Hybrid Factorizer."""

    family = FACTORIZER
    choices = FACTORIZER.variants["Hybrid"]


class ConvFactorizer(Pretraining, FamilyTrainer, MuonRecipe):
    """A Conv Factorizer."""

    family = FACTORIZER
    choices = FACTORIZER.variants["Conv"]


class SwinFactorizer(Pretraining, FamilyTrainer, MuonRecipe):
    """A Swin Factorizer."""

    family = FACTORIZER
    choices = FACTORIZER.variants["Swin"]
