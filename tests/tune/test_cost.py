"""The paper's cost model, against operations counted by hand."""

from math import prod

from nnunetv2_factorizer.models.trained import TrainedModel
from nnunetv2_factorizer.tune.cost import plain_flops
from tests.tune.conftest import meta_network

GRIDS = 2  # of shifted windows
STEP, FINAL = 4, 2
"""Operations of one iteration, and of the product of the factors, for each entry of a matrix and each component."""


def entries(model: TrainedModel) -> dict[str, int]:
    """Of all matrices of each block: windows of 8 that overhang 8x16x16, 8x8x8 and 4x4x4 are filled or shrink."""
    sizes = {"E1": (8, 16, 16), "E2": (8, 8, 8), "E3": (4, 4, 4), "D2": (8, 8, 8), "D1": (8, 16, 16)}
    channels = {"E1": 8, "E2": 16, "E3": 32, "D2": 16, "D1": 8}
    return {name: GRIDS * channels[name] * prod(size) for name, size in sizes.items()}


def test_iterations_cost_two_products_with_the_matrix_each(model: TrainedModel) -> None:
    five, ten = (plain_flops(model, {"num_iters": t}) for t in (5, 10))
    matrices = sum(entries(model).values())
    assert 5 * STEP * matrices <= ten - five <= 1.2 * 5 * STEP * matrices  # and the small products of the factors


def test_skipped_block_costs_nothing(model: TrainedModel) -> None:
    trained, blocks = plain_flops(model, {}), list(meta_network(model).blocks)
    for name, number in zip(blocks, entries(model).values(), strict=True):
        saved = trained - plain_flops(model, {"skip_nmf": [name]})
        assert (5 * STEP + FINAL) * number <= saved <= 1.2 * (5 * STEP + FINAL) * number
    without = plain_flops(model, {"skip_nmf": blocks})
    assert without == plain_flops(model, {"skip_nmf": blocks, "num_iters": 20, "rank": 4}) < trained
