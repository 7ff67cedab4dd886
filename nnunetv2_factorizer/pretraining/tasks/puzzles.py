"""Distortions whose answer is known without a label: turning an image, shuffling its blocks, or both.

The names are those of Guo et al. (United), who recast them in 3D; numbers and shapes are ours. All three are one thing,
a grid of blocks that are shuffled and turned: rotation has one block and one order, a jigsaw puzzle has one turn.

A quarter turn needs a plane with two equal sides. Half turns are possible in every plane, so no patch is refused.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, islice, permutations, product
from typing import Any

import numpy as np
import torch
from torch import Tensor

ORDERS = 24
"""K of the jigsaw puzzle: all orders of 4 blocks, and as many of the 40,320 orders of 8."""

Turn = tuple[int, int, int]
"""Quarter turns, and the two axes of the plane, counted from the last: -1, -2, ..."""

NO_TURN: Turn = (0, -2, -1)


@dataclass(frozen=True)
class Puzzle:
    """Blocks of an image, shuffled and turned.

    An answer is a row of numbers, one for each question: which of the `orders`, and for each block which of the
    `turns`. Where there is only one order or turn it is no question.

    Args:
        grid: number of blocks on each axis.
        block: its sides in voxels. What is left of a patch at the far end of an axis takes no part.
        orders: for each place, row by row, the block that comes there.
        turns: of a block at its new place.
    """

    grid: tuple[int, ...]
    block: tuple[int, ...]
    orders: tuple[tuple[int, ...], ...]
    turns: tuple[Turn, ...]

    @property
    def choices(self) -> list[int]:
        """Of each question the number of answers, K."""
        return [number for number in (len(self.orders), *[len(self.turns)] * len(self.orders[0])) if number > 1]

    def draw(self, batch: int, device: torch.device) -> Tensor:
        """Random answers `(B, Q)` to the Q questions."""
        return torch.stack([torch.randint(number, (batch,), device=device) for number in self.choices], dim=1)

    def distort(self, image: Tensor, answer: Sequence[int]) -> Tensor:
        """T(x) of an image x `(..., *S)`."""
        blocks = self._blocks(image)
        order, turns = self._order_and_turns(answer)
        return self._image([_turned(blocks[source], turn) for source, turn in zip(order, turns, strict=True)], image)

    def restore(self, distorted: Tensor, answer: Sequence[int]) -> Tensor:
        """x of T(x) `(..., *S)`, the inverse of `distort`."""
        order, turns = self._order_and_turns(answer)
        backwards = [
            _turned(block, (-quarters, first, second))
            for block, (quarters, first, second) in zip(self._blocks(distorted), turns, strict=True)
        ]
        return self._image([backwards[order.index(place)] for place in range(len(order))], distorted)

    def shared(self, inside: Tensor) -> Tensor:
        """Where a distorted image has voxels whatever the answer, for a mask `(..., *S)` of where the image has some.

        Showing no others, the outline of what is shown does not tell the answer.
        """
        blocks = self._blocks(inside)
        everywhere = torch.stack([_turned(block, turn) for block in blocks for turn in self.turns]).all(dim=0)
        return self._image([everywhere] * len(blocks), inside)

    def _order_and_turns(self, answer: Sequence[int]) -> tuple[tuple[int, ...], list[Turn]]:
        numbers: Iterator[int] = iter(answer)
        order = self.orders[next(numbers) if len(self.orders) > 1 else 0]
        return order, [self.turns[next(numbers) if len(self.turns) > 1 else 0] for _ in order]

    def _places(self) -> list[tuple[Any, ...]]:
        ranges = [
            [slice(i * side, (i + 1) * side) for i in range(number)]
            for number, side in zip(self.grid, self.block, strict=True)
        ]
        return [(..., *place) for place in product(*ranges)]

    def _blocks(self, image: Tensor) -> list[Tensor]:
        return [image[place] for place in self._places()]

    def _image(self, blocks: list[Tensor], like: Tensor) -> Tensor:
        image = torch.zeros_like(like)
        for place, block in zip(self._places(), blocks, strict=True):
            image[place] = block
        return image


def rotation(size: tuple[int, ...]) -> Puzzle:
    """Turns in one plane: K = 10 for a cube, 4 for a square; half turns only where two sides differ."""
    planes = combinations(range(-len(size), 0), 2)
    turns = [(quarters, *plane) for plane in planes for quarters in ((1, 2, 3) if _is_square(size, plane) else (2,))]
    return Puzzle((1,) * len(size), size, ((0,),), (NO_TURN, *turns))


def jigsaw(size: tuple[int, ...]) -> Puzzle:
    """Two blocks on each axis in one of K = 24 orders."""
    return Puzzle(*_halves(size), orders_far_apart(2 ** len(size), ORDERS), (NO_TURN,))


def rubiks_cube(size: tuple[int, ...]) -> Puzzle:
    """The jigsaw puzzle, and each block with a half turn in one plane or none (Zhuang et al., MICCAI 2019)."""
    half_turns = [(2, *plane) for plane in combinations(range(-len(size), 0), 2)]
    return Puzzle(*_halves(size), orders_far_apart(2 ** len(size), ORDERS), (NO_TURN, *half_turns))


PUZZLES: dict[str, Callable[[tuple[int, ...]], Puzzle]] = {
    "rotation": rotation,
    "jigsaw": jigsaw,
    "rubiks_cube": rubiks_cube,
}


@lru_cache
def orders_far_apart(blocks: int, number: int) -> tuple[tuple[int, ...], ...]:
    """So many orders of blocks, always the same, each the one that differs in most places from all those before it.

    The choice of Noroozi and Favaro (ECCV 2016), begun with the order in which nothing is moved.
    """
    orders = np.array(list(permutations(range(blocks))), np.int8)
    chosen, nearest = [0], np.full(len(orders), blocks)
    for _ in islice(range(len(orders)), number - 1):
        nearest = np.minimum(nearest, (orders != orders[chosen[-1]]).sum(axis=1))  # Hamming distance
        chosen.append(int(nearest.argmax()))
    return tuple(tuple(map(int, orders[index])) for index in chosen)


def _halves(size: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return (2,) * len(size), tuple(voxels // 2 for voxels in size)


def _is_square(size: tuple[int, ...], plane: tuple[int, int]) -> bool:
    return size[plane[0]] == size[plane[1]]


def _turned(image: Tensor, turn: Turn) -> Tensor:
    quarters, *plane = turn
    return torch.rot90(image, quarters, plane)
