"""The training recipe, and the trainer that the ones in `trainers/` derive from."""

from nnunetv2_factorizer.training.any_plans import AnyPlansFactorizerTrainer
from nnunetv2_factorizer.training.recipe import FactorizerRecipe

__all__ = ["AnyPlansFactorizerTrainer", "FactorizerRecipe"]
