"""All questions, one after the other."""

import importlib
from pathlib import Path

from nnunetv2_factorizer.doctor.finding import Finding


def examine_all(plans: Path | None, checkpoint: Path | None, model_zip: Path | None) -> list[Finding]:
    """Everything about the installation, then the files that are given."""
    findings = [f for question in ("versions", "packages", "folders", "trainers") for f in _ask(question)]
    if plans is not None:
        findings += _ask("plans", plans)
    if checkpoint is not None:
        findings += _ask("checkpoint", checkpoint, plans)
    if model_zip is not None:
        findings += _ask("model_zip", model_zip)
    return findings


def _ask(question: str, *arguments: Path | None) -> list[Finding]:
    # Imported here: an nnU-Net that cannot be imported is a finding, too.
    try:
        return importlib.import_module(f"nnunetv2_factorizer.doctor.{question}").examine(*arguments)
    except Exception as error:
        cause = f"could not be examined: {type(error).__name__}: {error}".replace("\n", " ")
        return [Finding(question, "error", cause, "Mend the other errors first; if there are none, report this one.")]
