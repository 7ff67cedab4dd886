"""How long every network is trained: so many iterations, or so much time; and how that is cut into epochs."""

import re
from dataclasses import dataclass

from nnunetv2_factorizer.errors import UserError

SECONDS = {"second": 1, "minute": 60, "hour": 3600}
SHORT, FEWEST_EPOCHS, LONGEST_EPOCH = 100, 10, 250
"""Fewer iterations are cut into 2 epochs, all others into 10 and more, of nnU-Net's 250 iterations or about so many."""
VALIDATION_SHARE = 5
"""A batch of validation for so many of training, as nnU-Net's 50 for 250."""


@dataclass(frozen=True)
class Schedule:
    """The epochs of a training and the iterations of each; after each there are some batches of validation."""

    epochs: int
    iterations: int

    @property
    def validations(self) -> int:
        """Batches of validation in an epoch."""
        return max(1, self.iterations // VALIDATION_SHARE)


@dataclass(frozen=True)
class Budget:
    """One of the two is None."""

    iterations: int | None = None
    seconds: float | None = None


def parse_budget(text: str) -> Budget:
    """The budget that a user writes, such as `1000 iterations` or `20 minutes`.

    Raises:
        UserError: it is neither, or its iterations cannot be cut into epochs of one length.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?) *(iteration|second|minute|hour)s?", text.strip())
    number = float(found[1]) if found else 0.0
    if not found or number == 0 or (found[2] == "iteration" and not number.is_integer()):
        raise UserError(
            f"--budget {text!r} is no budget.",
            'Give a number above 0 and its unit, such as --budget "1000 iterations" or --budget "20 minutes"; '
            "seconds and hours are units, too.",
        )
    if found[2] != "iteration":
        return Budget(seconds=number * SECONDS[found[2]])
    iterations = int(number)
    epochs = epochs_of(iterations)
    if iterations < epochs:
        raise UserError(
            f"a budget of {iterations} iteration is too short for one validation.", "Give at least 2 iterations."
        )
    if iterations % epochs:
        raise UserError(
            f"{iterations} iterations cannot be cut into {epochs} epochs of the same length.",
            f'Give a multiple of {epochs}, such as --budget "{iterations - iterations % epochs} iterations".',
        )
    return Budget(iterations=iterations)


def epochs_of(iterations: int) -> int:
    """Into how many epochs so many iterations are cut."""
    return 2 if iterations < SHORT else max(FEWEST_EPOCHS, iterations // LONGEST_EPOCH)


def schedule_of(budget: Budget, step: float, validation: float) -> Schedule:
    """The epochs that a network has for the budget.

    Args:
        budget: of every network.
        step: seconds of an iteration of this one.
        validation: seconds of a batch of validation.

    Raises:
        UserError: the time is too short for two epochs of one iteration and one batch of validation.
    """
    if budget.seconds is None:
        assert budget.iterations is not None
        epochs = epochs_of(budget.iterations)
        return Schedule(epochs, budget.iterations // epochs)
    least = 2 * (step + validation)
    if budget.seconds < least:
        raise UserError(
            f"a budget of {budget.seconds:g} seconds is too short for one validation: an iteration takes {step:.2g} s "
            f"and a batch of validation {validation:.2g} s here.",
            f'Give at least --budget "{least:.0f} seconds" and another -o; some minutes make sense.',
        )
    iterations = max(2, int(budget.seconds / (step + validation / VALIDATION_SHARE)))
    epochs = epochs_of(iterations)
    return Schedule(epochs, iterations // epochs)
