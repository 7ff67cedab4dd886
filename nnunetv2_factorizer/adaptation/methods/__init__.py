"""Methods of adapting a model with labels, one a file."""

from nnunetv2_factorizer.adaptation.method import Method
from nnunetv2_factorizer.adaptation.methods.all import All
from nnunetv2_factorizer.adaptation.methods.first_layers import FirstLayers
from nnunetv2_factorizer.adaptation.methods.l2sp import L2SP
from nnunetv2_factorizer.adaptation.methods.mmtl import MMTL
from nnunetv2_factorizer.adaptation.methods.momentum import Momentum
from nnunetv2_factorizer.adaptation.methods.octl import OCTL

METHODS: dict[str, type[Method]] = {
    "all": All,
    "first_layers": FirstLayers,
    "l2sp": L2SP,
    "mmtl": MMTL,
    "octl": OCTL,
    "momentum": Momentum,
}

__all__ = ["L2SP", "METHODS", "MMTL", "OCTL", "All", "FirstLayers", "Method", "Momentum"]
