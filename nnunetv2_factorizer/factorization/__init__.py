"""The mathematics: images to matrices, and matrices to low-rank matrices. Needs torch and einops only."""

from nnunetv2_factorizer.factorization.matricize import GlobalMatricize, LocalMatricize, ShiftedWindowMatricize, resize
from nnunetv2_factorizer.factorization.mixing import mix
from nnunetv2_factorizer.factorization.nmf import NMF, factorize

__all__ = ["NMF", "GlobalMatricize", "LocalMatricize", "ShiftedWindowMatricize", "factorize", "mix", "resize"]
