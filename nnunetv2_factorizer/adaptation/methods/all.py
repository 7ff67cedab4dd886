"""Fine-tune all: the baseline of every other method."""

from nnunetv2_factorizer.adaptation.method import Method


class All(Method):
    """The whole network moves, and nothing but the labelled cases of the new scanner is seen."""
