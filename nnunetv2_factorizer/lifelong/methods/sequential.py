"""Each stage goes on with the model of the stage before: the baseline that forgets."""

from nnunetv2_factorizer.adaptation.methods import All


class Sequential(All):
    """The whole network moves, and nothing but the present stage is seen."""
