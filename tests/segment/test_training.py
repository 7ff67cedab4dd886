"""The loop: when it stops, and whose random numbers it takes."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nnunetv2_factorizer.segment import training
from nnunetv2_factorizer.segment.methods import METHODS
from nnunetv2_factorizer.segment.training import ITERATIONS, Step, train_on_image
from tests.segment.examples import halves

CPU = torch.device("cpu")


class Scripted(nn.Module):
    """Has as many labels in an iteration as a list says; -1 is a loss that is none."""

    def __init__(self, numbers: list[int]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.numbers = iter(numbers)

    def step(self, image: Tensor) -> tuple[Tensor, Tensor]:
        number = next(self.numbers)
        labels = torch.arange(image[0, 0].numel()).reshape(image.shape[2:]) % max(number, 1)
        scores = nn.functional.one_hot(labels, 9).movedim(-1, 0)[None] + self.weight
        return scores, self.weight + (float("nan") if number < 0 else 0.0)


def run(*numbers: int, fewest: int = 2) -> training.Segments:
    def make(shape: tuple[int, ...]) -> tuple[nn.Module, Step]:
        network = Scripted(list(numbers))
        return network, network.step

    return train_on_image(make, np.zeros((1, 4, 4), np.float32), fewest, 0, CPU)


def test_stops_when_few_labels_remain() -> None:
    found = run(9, 5, 2, 7)
    assert (found.iterations, found.stopped, len(np.unique(found.labels))) == (3, "labels", 2)


def test_stops_after_the_last_iteration() -> None:
    found = run(*[5] * (ITERATIONS + 1))
    assert (found.iterations, found.stopped, len(np.unique(found.labels))) == (ITERATIONS, "iterations", 5)


def test_a_loss_that_diverges_keeps_the_labels_before() -> None:
    found = run(9, 5, -1)
    assert (found.iterations, found.stopped, len(np.unique(found.labels))) == (3, "diverged", 5)


def test_the_seed_decides_and_nobody_elses_numbers_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "ITERATIONS", 2)
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    first, again, other = (METHODS["dfc"].segment(halves(), 2, seed, CPU).labels for seed in (0, 0, 1))
    torch.testing.assert_close(torch.rand(3), expected)
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
