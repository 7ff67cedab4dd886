"""Mix-ins for nnU-Net's trainers: a guard, a recipe, a network of a family; and the trainer of our Factorizers."""

from nnunetv2_factorizer.training.family_trainer import FactorizerTrainer, FamilyTrainer
from nnunetv2_factorizer.training.guard import Guard
from nnunetv2_factorizer.training.layer_updates import LayerUpdateMonitor
from nnunetv2_factorizer.training.recipe import Recipe
from nnunetv2_factorizer.training.recipes import (
    AdamPolyRecipe,
    AdamWRecipe,
    AvaGradRecipe,
    MuonRecipe,
    PaperRecipe,
    SGDRecipe,
    StockRecipe,
)

__all__ = [
    "AdamPolyRecipe",
    "AdamWRecipe",
    "AvaGradRecipe",
    "FactorizerTrainer",
    "FamilyTrainer",
    "Guard",
    "LayerUpdateMonitor",
    "MuonRecipe",
    "PaperRecipe",
    "Recipe",
    "SGDRecipe",
    "StockRecipe",
]
