"""Mix-ins for nnU-Net's trainers: a guard, a recipe, a network of a family; and the trainer of our Factorizers."""

from nnunetv2_factorizer.training.family_trainer import FactorizerTrainer, FamilyTrainer
from nnunetv2_factorizer.training.guard import Guard
from nnunetv2_factorizer.training.recipe import Recipe

__all__ = ["FactorizerTrainer", "FamilyTrainer", "Guard", "Recipe"]
