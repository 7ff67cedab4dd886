"""Puzzles: what they do to an image, that it can be undone, and that nothing but the image tells the answer."""

from itertools import combinations, permutations, product

import numpy as np
import pytest
import torch

from nnunetv2_factorizer.pretraining.tasks.puzzles import Puzzle, jigsaw, orders_far_apart, rotation, rubiks_cube

SIZES = [(8, 8), (6, 10), (9, 7), (8, 8, 8), (6, 8, 8), (7, 6, 9)]
KINDS = [rotation, jigsaw, rubiks_cube]


def drawn(puzzle: Puzzle, number: int = 6) -> list[list[int]]:
    torch.manual_seed(0)
    return puzzle.draw(number, torch.device("cpu")).tolist()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_restoring_undoes_distorting(kind, size) -> None:
    puzzle = kind(size)
    image = torch.rand(2, *size)
    part = tuple(slice(n * side) for n, side in zip(puzzle.grid, puzzle.block, strict=True))
    for answer in drawn(puzzle):
        restored = puzzle.restore(puzzle.distort(image, answer), answer)
        assert torch.equal(restored[(..., *part)], image[(..., *part)])
        assert restored.count_nonzero() == restored[(..., *part)].count_nonzero()


@pytest.mark.parametrize("size", [(8, 8), (4, 6, 6)])
def test_blocks_are_where_the_answer_says(size) -> None:
    puzzle = rubiks_cube(size)
    image = np.random.default_rng(0).random(size)
    corners = list(product(*((0, voxels // 2) for voxels in size)))

    def block(array: np.ndarray, number: int) -> np.ndarray:
        return array[tuple(slice(c, c + n // 2) for c, n in zip(corners[number], size, strict=True))]

    for order_number, *turn_numbers in drawn(puzzle):
        distorted = puzzle.distort(torch.from_numpy(image), [order_number, *turn_numbers]).numpy()
        for place, turn_number in enumerate(turn_numbers):
            expected = block(image, puzzle.orders[order_number][place])
            quarters, *plane = puzzle.turns[turn_number]
            for _ in range(quarters):
                expected = np.rot90(expected, axes=plane)
            np.testing.assert_array_equal(block(distorted, place), expected)


def test_number_of_answers() -> None:
    assert rotation((8, 8)).choices == [4]
    assert rotation((8, 6)).choices == [2]  # a half turn
    assert rotation((8, 8, 8)).choices == [10]
    assert rotation((4, 6, 6)).choices == [6]
    assert rotation((4, 5, 6)).choices == [4]
    assert jigsaw((8, 8)).choices == jigsaw((4, 5, 6)).choices == [24]
    assert rubiks_cube((8, 8)).choices == [24] + [2] * 4
    assert rubiks_cube((4, 5, 6)).choices == [24] + [4] * 8


@pytest.mark.parametrize("kind", [rotation, jigsaw])
def test_answers_all_differ(kind) -> None:
    puzzle = kind((4, 6, 6))
    image = torch.arange(144).view(4, 6, 6)
    images = {tuple(puzzle.distort(image, [k]).flatten().tolist()) for k in range(puzzle.choices[0])}
    assert len(images) == puzzle.choices[0]


def test_orders_are_far_apart() -> None:
    assert sorted(orders_far_apart(4, 24)) == list(permutations(range(4)))
    chosen = orders_far_apart(8, 24)
    distances = [sum(a != b for a, b in zip(one, other, strict=True)) for one, other in combinations(chosen, 2)]
    assert len(set(chosen)) == 24
    assert chosen[0] == tuple(range(8))
    assert min(distances) >= 6
    assert all({order[place] for order in chosen} == set(range(8)) for place in range(8))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_outline_of_what_is_shown_is_that_of_every_answer(kind, size) -> None:
    """An image that ends one voxel before the patch, on the first axis: wherever it is brought, it is hidden."""
    puzzle = kind(size)
    inside = torch.ones(1, *size, dtype=torch.bool)
    inside[:, 0] = False
    shown = puzzle.shared(inside)
    assert 0 < shown.sum() < inside.sum()
    for answer in drawn(puzzle, 40):
        assert not (shown & ~puzzle.distort(inside, answer)).any()  # all that is shown lies in the image
