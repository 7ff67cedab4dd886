"""What fits into a GPU, without a planner around it."""

import pytest

from nnunetv2_factorizer.planning.budget import GIB, largest_batch, needed_gb, usable_bytes


@pytest.mark.parametrize("peak", [1, GIB, 5 * GIB + 12345, int(39.9 * GIB)])
def test_needed_is_the_smallest_target_in_tenths_that_has_room(peak: int) -> None:
    needed = needed_gb(peak)
    assert usable_bytes(needed + 1e-9) >= peak
    assert usable_bytes(needed - 0.1) < peak


@pytest.mark.parametrize(
    ("limit", "budget", "expected"), [(9, 100, 9), (50, 100, 9), (4, 60, 4), (50, 35, 2), (50, 15, 0)]
)
def test_largest_batch(limit: int, budget: int, expected: int) -> None:
    assert largest_batch(lambda batch_size: 10 + 10 * batch_size, limit, budget) == expected


def test_largest_batch_is_not_fooled_by_a_step() -> None:
    assert largest_batch(lambda batch_size: 10 * batch_size + (30 if batch_size > 5 else 0), 50, 100) == 7
