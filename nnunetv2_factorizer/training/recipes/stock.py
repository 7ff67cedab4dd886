"""nnU-Net's own recipe, for the networks of this package."""

from nnunetv2_factorizer.training.attributes import ClassAttributes


class StockRecipe(ClassAttributes):
    """SGD with Nesterov momentum of 0.99, and a polynomial to zero: nnU-Net's trainer as it is, with its length."""

    num_epochs = 1000
    initial_lr = 1e-2
