"""Cases of several stages as one data set behind nnU-Net's loader, which draws all of them equally often."""

from collections.abc import Mapping
from typing import Any


class Joined:
    """The present stage and earlier ones.

    Args:
        present: data set of nnU-Net.
        earlier: by the name of the stage; its cases are called NAME/CASE, since stages may have cases of equal names.
    """

    def __init__(self, present: Any, earlier: Mapping[str, Any]) -> None:
        self.present, self.earlier = present, dict(earlier)
        of_earlier = [f"{name}/{case}" for name, dataset in self.earlier.items() for case in dataset.identifiers]
        self.identifiers = [*present.identifiers, *of_earlier]

    def load_case(self, identifier: str) -> tuple[Any, Any, Any, dict[str, Any]]:
        """As nnU-Net's data sets do."""
        name, slash, case = identifier.partition("/")
        return self.earlier[name].load_case(case) if slash else self.present.load_case(identifier)
