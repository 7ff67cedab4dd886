"""The trainers of the comparison as nnU-Net finds and builds them."""

import pytest
import torch

from nnunetv2_factorizer.training import Guard, MuonRecipe, PaperRecipe
from tests.training.test_trainers import build, configuration, find


@pytest.mark.parametrize("name", ["PlainUNet", "ResUNet", "Performer"])
def test_in_our_u_shape_for_nnunets_own_plans_with_both_recipes(name: str) -> None:
    trainer, of_the_paper = find(f"nnUNetTrainer{name}"), find(f"nnUNetTrainer{name}_AuthorsRecipe")
    assert issubclass(trainer, Guard)
    assert issubclass(trainer, MuonRecipe)
    assert issubclass(of_the_paper, PaperRecipe)
    network = build(trainer, configuration())
    assert type(network).__name__ == name
    assert type(build(of_the_paper, configuration())) is type(network)
    outputs = network(torch.randn(1, 2, 8, 16, 16))
    assert [tuple(output.shape) for output in outputs] == [(1, 3, 8, 16, 16), (1, 3, 8, 8, 8)]
