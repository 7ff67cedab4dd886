"""How a command tells its user of an error."""

from collections.abc import Iterator
from contextlib import contextmanager

from nnunetv2_factorizer.errors import UserError


@contextmanager
def user_errors_told() -> Iterator[None]:
    """Prints a `UserError` without a traceback and ends with status 1; every other exception goes through."""
    try:
        yield
    except UserError as error:
        raise SystemExit(str(error)) from error
