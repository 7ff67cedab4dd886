"""The record `segment.json` of a folder of label maps: what it was made with, and what is in it."""

import dataclasses
import json
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from nnunetv2_factorizer import DISTRIBUTION
from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.models.atomic import replacing
from nnunetv2_factorizer.models.json_files import read_json
from nnunetv2_factorizer.segment.method import MOST_LABELS
from nnunetv2_factorizer.segment.methods import METHODS

RECORD = "segment.json"


@dataclass(frozen=True)
class Record:
    """The settings of a folder of label maps.

    Attributes:
        method: of `METHODS`.
        k: segments, or for a method that trains, how many may be left when it stops.
        seed: of what is drawn.
        file_ending: of images and label maps.
        names: of labels, for those that got one.
        cases: for each image what `segment_case` says of it; empty until all images are done.
        version: of this package.
    """

    method: str
    k: int
    seed: int
    file_ending: str
    names: dict[int, str] = field(default_factory=dict)
    cases: dict[str, dict[str, Any]] = field(default_factory=dict)
    version: str = field(default_factory=lambda: version(DISTRIBUTION))

    @property
    def settings(self) -> dict[str, Any]:
        """What label maps depend on beside their images."""
        return {"method": self.method, "k": self.k, "seed": self.seed, "file_ending": self.file_ending}

    def check(self) -> None:
        """Raises a `UserError` where there is no such method, or it cannot make k segments."""
        if self.method not in METHODS:
            raise UserError(f"there is no method {self.method!r}.", f"There are {', '.join(METHODS)}.")
        most = METHODS[self.method].most
        if not 2 <= self.k <= most:
            more = f" Label maps hold numbers up to {MOST_LABELS}." if self.k > MOST_LABELS else ""
            raise UserError(f"-k is {self.k}.{more}", f"{self.method} takes 2 to {most}.")

    def save(self, folder: Path) -> None:
        """Writes the record into the folder of the label maps."""
        with replacing(str(folder / RECORD)) as unfinished:
            Path(unfinished).write_text(json.dumps(dataclasses.asdict(self), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "Record":
        """Reads what `save` wrote.

        Raises:
            UserError: there is none, or it is damaged.
        """
        path = folder / RECORD
        remedy = "Give a folder that `nnUNetv2_factorizer_segment` wrote."
        if not path.is_file():
            raise UserError(f"{path} does not exist.", remedy)
        try:
            record = read_json(path)
            record["names"] = {int(label): name for label, name in record["names"].items()}
            return cls(**record)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise UserError(f"{path} is damaged: {error}", remedy) from error


def prepare(output: Path, record: Record, *, continuing: bool) -> None:
    """The output folder, with the record of what is going to be in it.

    Raises:
        UserError: there is something in the folder that is not ours to go on with, or it has other settings.
    """
    record.check()
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        if not continuing:
            raise UserError(
                f"{output} has other things in it and was not changed.",
                "Give another folder with -o, or go on with one of this command by --continue_prediction.",
            )
        begun = Record.load(output)
        if begun.settings != record.settings:
            told = ", ".join(f"{name} {value}" for name, value in begun.settings.items())
            raise UserError(f"{output} was begun with {told}.", "Go on with these, or give another folder with -o.")
    output.mkdir(parents=True, exist_ok=True)
    record.save(output)
