"""What became of each image: as JSON, and in a few lines for the log."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nnunetv2_factorizer.models.atomic import replacing
from nnunetv2_factorizer.pretraining.unlabelled_case import Outcome

REPORT = "unlabelled_report.json"
LINES = 20
"""Of skipped images in the log; the file has all."""


def write_report(folder: Path, header: Mapping[str, Any], outcomes: Mapping[str, Sequence[Outcome]]) -> Path:
    """Writes the report of a run, in place of that of an earlier one.

    Args:
        folder: to write into.
        header: what else to say.
        outcomes: of every case, by configuration.
    """
    configurations = {
        configuration: {
            "made": [outcome.case for outcome in cases if outcome.state == "made"],
            "kept": [outcome.case for outcome in cases if outcome.state == "kept"],
            "skipped": {outcome.case: outcome.reason for outcome in cases if outcome.state == "skipped"},
            "smaller_than_patch": [outcome.case for outcome in cases if outcome.smaller_than_patch],
        }
        for configuration, cases in outcomes.items()
    }
    path = folder / REPORT
    with replacing(str(path)) as new:
        Path(new).write_text(json.dumps({**header, "configurations": configurations}, indent=2) + "\n", "utf-8")
    return path


def summary(configuration: str, outcomes: Sequence[Outcome]) -> str:
    """A line with the numbers of a configuration, and one for each image that was skipped."""
    number = {state: sum(o.state == state for o in outcomes) for state in ("made", "kept", "skipped")}
    lines = [
        f"{configuration}: {number['made']} preprocessed, {number['kept']} kept from an earlier run, "
        f"{number['skipped']} skipped."
    ]
    if small := sum(outcome.smaller_than_patch for outcome in outcomes):
        lines.append(f"  {small} are smaller than the patch: nnU-Net pads them with zeros when it trains.")
    skipped = [outcome for outcome in outcomes if outcome.state == "skipped"]
    lines += [f"  skipped {outcome.case}: {outcome.reason}" for outcome in skipped[:LINES]]
    if len(skipped) > LINES:
        lines.append(f"  and {len(skipped) - LINES} more, see the report")
    return "\n".join(lines)
