"""`nnUNetv2_factorizer_segment evaluate`: segments beside labels."""

from collections.abc import Sequence


def evaluate(arguments: Sequence[str]) -> None:
    """The subcommand, called with what stands behind `evaluate` on the command line."""
    raise NotImplementedError
