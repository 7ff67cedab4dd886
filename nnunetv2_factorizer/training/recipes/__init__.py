"""How a network is trained, one recipe a file: mix-ins for any trainer, put after `Guard` among the bases."""

from nnunetv2_factorizer.training.attributes import ClassAttributes
from nnunetv2_factorizer.training.recipes.adam_poly import AdamPolyRecipe
from nnunetv2_factorizer.training.recipes.adamw import AdamWRecipe
from nnunetv2_factorizer.training.recipes.avagrad import AvaGradRecipe
from nnunetv2_factorizer.training.recipes.muon import MuonRecipe
from nnunetv2_factorizer.training.recipes.paper import PaperRecipe
from nnunetv2_factorizer.training.recipes.sgd import SGDRecipe
from nnunetv2_factorizer.training.recipes.stock import StockRecipe

RECIPES: dict[str, type[ClassAttributes]] = {
    "paper": PaperRecipe,
    "muon": MuonRecipe,
    "avagrad": AvaGradRecipe,
    "stock": StockRecipe,
    "sgd": SGDRecipe,
    "adamw": AdamWRecipe,
    "adam_poly": AdamPolyRecipe,
}

__all__ = [
    "RECIPES",
    "AdamPolyRecipe",
    "AdamWRecipe",
    "AvaGradRecipe",
    "MuonRecipe",
    "PaperRecipe",
    "SGDRecipe",
    "StockRecipe",
]
