"""What was done to each image of a folder of predictions, and why: `style.json` beside them."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.models.atomic import replacing
from nnunetv2_factorizer.models.json_files import read_json

FILE = "style.json"


@dataclass
class Record:
    """Settings of a run, and of each image its distance, whether it was restyled and by how many donors."""

    path: Path
    settings: dict[str, Any]
    cases: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def begin(cls, output: Path, settings: dict[str, Any], done: list[str], *, continuing: bool) -> "Record":
        """The record of a run, or of one that goes on.

        Args:
            output: the folder of the predictions, which exists.
            settings: of this run, as JSON holds them.
            done: predictions of the images that are in the folder.
            continuing: whether they stay.

        Raises:
            UserError: they stay, and were made in another way.
        """
        record = cls(output / FILE, settings)
        if continuing and (record.path.exists() or done):
            record.cases = record._begun(done)
        record.save()
        return record

    def _begun(self, done: list[str]) -> dict[str, dict[str, Any]]:
        """The cases of the run that this one continues."""
        remedy = "Go on with these settings, or give another folder with -o."
        if not self.path.exists():
            if self.settings == {"gate": "shut"}:  # the same as nnUNetv2_predict
                return {}
            raise UserError(f"{self.path.parent} holds {done[0]}, but no {FILE} that says how it was made.", remedy)
        try:
            begun = read_json(self.path)
            settings, cases = begun["settings"], dict(begun["cases"])
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{self.path} is damaged: {error}.", "Give another folder with -o.") from error
        if settings != self.settings:
            raise UserError(f"{self.path.parent} was begun with other settings: {_text(settings)}.", remedy)
        return cases

    def add(self, case: str, entry: dict[str, Any]) -> None:
        """Writes what was done to an image; an interrupted run has told of those before."""
        self.cases[case] = entry
        self.save()

    def save(self) -> None:
        """Writes the file whole."""
        content = {"settings": self.settings, "cases": dict(sorted(self.cases.items()))}
        with replacing(str(self.path)) as unfinished:
            Path(unfinished).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _text(settings: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.items())
