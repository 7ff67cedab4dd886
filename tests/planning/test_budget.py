"""What fits into a GPU, without a planner around it."""

import pytest

from nnunetv2_factorizer.planning.budget import GIB, largest_batch, needed_gb, usable_bytes


@pytest.mark.parametrize("peak", [1, GIB, 5 * GIB + 12345, int(39.9 * GIB)])
def test_needed_is_the_smallest_target_in_tenths_that_has_room(peak: int) -> None:
    needed = needed_gb(peak)
    assert usable_bytes(needed + 1e-9) >= peak
    assert usable_bytes(needed - 0.1) < peak


@pytest.mark.parametrize(
    ("limit", "budget", "expected"),
    [
        (9, 100, 9),
        (50, 100, 9),
        (8, 100, 8),
        (50, 90, 8),
        (4, 60, 4),
        (50, 35, 2),
        (50, 20, 1),
        (50, 15, 0),
        (0, 99, 0),
    ],
)
def test_largest_batch(limit: int, budget: int, expected: int) -> None:
    assert largest_batch(lambda batch_size: 10 + 10 * batch_size, limit, budget) == expected


def test_largest_batch_asks_for_no_line() -> None:
    """The chunks that a GPU works on are full from some batch size on."""
    assert largest_batch(lambda batch_size: 10 * batch_size + min(40, 10 * batch_size), 50, 200) == 16
