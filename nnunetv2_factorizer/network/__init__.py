"""Blocks and the U-shape. Knows nothing of nnU-Net."""

from nnunetv2_factorizer.network.block import FactorizerBlock
from nnunetv2_factorizer.network.factorizer import Factorizer
from nnunetv2_factorizer.network.reference import load_reference_state_dict

__all__ = ["Factorizer", "FactorizerBlock", "load_reference_state_dict"]
