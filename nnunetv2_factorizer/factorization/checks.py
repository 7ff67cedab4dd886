"""A check that the layers here and the arguments of the network have in common."""

from numbers import Integral
from typing import Any


def check_count(name: str, value: Any, at_most: int | None = None, reason: str = "") -> None:
    """Raises a `ValueError` where a number that counts something is not a whole one from 1 (to `at_most`)."""
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not whole or value < 1 or (at_most is not None and value > at_most):
        accepted = "of at least 1" if at_most is None else f"from 1 to {at_most}"
        raise ValueError(f"{name} must be a whole number {accepted}{reason}, got {value!r}.")
