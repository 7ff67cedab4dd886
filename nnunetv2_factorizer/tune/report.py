"""What a tuning found: `tune.json` with every number, `tune.md` with the tables, `tune.png` with the panels."""

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.models.atomic import replacing
from nnunetv2_factorizer.tune.figure import save_figure
from nnunetv2_factorizer.tune.settings import TRAINED, WITHOUT_NMF
from nnunetv2_factorizer.tune.tuning import Tuning

JSON, TABLES, FIGURE = "tune.json", "tune.md", "tune.png"

NOTES = """Dice and HD95 are means over the labels of a case, then over the cases. Where prediction and truth are both \
empty, Dice is 1 and HD95 0; where one of them is, Dice is 0 and HD95 the diagonal of the image. Seconds are those of \
the sliding window. In brackets are 95 % confidence intervals: percentile bootstrap of the paired difference to the \
trained setting, or of the median of the ratios, over cases. The choice is made on the cases that are measured here, \
and no interval is corrected for the number of settings: expect a little less on other cases. The cost model counts \
the operations of plain iterations of the NMF, rank 1 included, in one patch."""


def prepare_folder(output: Path) -> None:
    """Makes the folder where it does not exist.

    Raises:
        UserError: it holds a report, or it cannot be written.
    """
    existing = [output / name for name in (JSON, TABLES, FIGURE) if (output / name).exists()]
    if existing:
        raise UserError(f"{existing[0]} exists and was not changed.", "Give another folder with -o.")
    try:
        output.mkdir(parents=True, exist_ok=True)
        (output / ".tune.tmp").touch()
        (output / ".tune.tmp").unlink()
    except OSError as error:
        raise UserError(f"{output} cannot be written: {error.strerror}.", "Give another folder with -o.") from error


def write_report(output: Path, tuning: Tuning, about: dict[str, Any]) -> None:
    """Writes the three files, each of them whole or not at all.

    Args:
        output: the folder.
        tuning: what to report.
        about: the model and the options, for the JSON file.
    """
    with replacing(str(output / FIGURE)) as path:
        save_figure(path, tuning)
    sections = ["# Tuning", *findings(tuning), "## Pareto front", front_table(tuning), "## All settings"]
    sections += [settings_table(tuning), NOTES]
    with replacing(str(output / TABLES)) as path:
        Path(path).write_text("\n\n".join(sections) + "\n", encoding="utf-8")
    with replacing(str(output / JSON)) as path:
        Path(path).write_text(json.dumps(_null(about | _numbers(tuning)), indent=2, allow_nan=False), encoding="utf-8")


def findings(tuning: Tuning) -> list[str]:
    """In sentences: whether the NMF does anything, whether T costs time, and what was chosen."""
    sentences = [f"**Without any NMF** ({WITHOUT_NMF}): {_compared(tuning, WITHOUT_NMF)}"]
    iterations = [setting.name for setting in tuning.settings if setting.sweep == "iterations"]
    if iterations:
        most = iterations[-1]
        verdict = _verdict(tuning.summary.loc[tuning.measured_as[most]], tuning.flops_ratio[most])
        sentences.append(f"**{verdict}** ({most}): {_compared(tuning, most)}")
    cases = len(tuning.measurements) // len(tuning.summary)
    sentences.append(f"**Chosen: {tuning.chosen.name}** ({tuning.chosen.description}), {tuning.reason}; {cases} cases.")
    same = [f"{name} is {other}" for name, other in tuning.measured_as.items() if name != other]
    if same:
        sentences.append(f"The same computation, measured once: {', '.join(same)}.")
    return sentences


def front_table(tuning: Tuning) -> str:
    """In Markdown: the settings that no other beats in both Dice and seconds."""
    return _table(tuning, tuning.front)


def settings_table(tuning: Tuning) -> str:
    """In Markdown: all settings, those of the same computation with the same numbers."""
    return _table(tuning, [setting.name for setting in tuning.settings])


def _verdict(row: pd.Series, predicted: float) -> str:
    """Of the setting with the largest T, whose time the cost model predicts to be `predicted` times the trained one."""
    low, high = row["seconds_ratio_low"], row["seconds_ratio_high"]
    if math.isnan(low) or (low <= 1 <= high and low <= predicted <= high):
        return "These measurements do not tell whether T costs time"
    return "T costs no measurable time" if low <= 1 <= high else "T changes the time"


def _compared(tuning: Tuning, name: str) -> str:
    row = tuning.summary.loc[tuning.measured_as[name]]
    return (
        f"Dice {_interval(row, 'dice_difference', '+.4f')} and {_interval(row, 'seconds_ratio', '.3f')} times the "
        f"seconds of the trained setting; the cost model of plain iterations says {tuning.flops_ratio[name]:.3f} times."
    )


def _table(tuning: Tuning, names: list[str]) -> str:
    described = {setting.name: setting.description for setting in tuning.settings}
    titles = "setting", "", "Dice", "difference", "HD95, mm", "difference", "seconds", "ratio", "cost model"
    lines = [titles, ("---",) * len(titles)]
    for name in names:
        row = tuning.summary.loc[tuning.measured_as[name]]
        lines.append(
            (
                name,
                described[name],
                f"{row['dice']:.4f}",
                _interval(row, "dice_difference", "+.4f"),
                f"{row['hd95']:.2f}",
                _interval(row, "hd95_difference", "+.2f"),
                f"{row['seconds']:.3f}",
                _interval(row, "seconds_ratio", ".3f"),
                f"{tuning.flops_ratio[name]:.3f}",
            )
        )
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _interval(row: pd.Series, name: str, form: str) -> str:
    """Such as `-0.0012 [-0.0030, +0.0004]`."""
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return f"{row[name]:{form}}" + ("" if math.isnan(low) else f" [{low:{form}}, {high:{form}}]")


def _numbers(tuning: Tuning) -> dict[str, Any]:
    settings = [
        {
            "name": setting.name,
            "sweep": setting.sweep,
            "description": setting.description,
            "changes": setting.changes,
            "measured_as": tuning.measured_as[setting.name],
            "cost_model_ratio": tuning.flops_ratio[setting.name],
        }
        | tuning.summary.loc[tuning.measured_as[setting.name]].to_dict()
        for setting in tuning.settings
    ]
    return {
        "baseline": TRAINED,
        "chosen": tuning.chosen.name,
        "reason": tuning.reason,
        "pareto_front": tuning.front,
        "findings": findings(tuning),
        "notes": NOTES,
        "settings": settings,
        "measurements": tuning.measurements.to_dict("records"),
    }


def _null(value: Any) -> Any:
    """JSON has no NaN."""
    if isinstance(value, dict):
        return {key: _null(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_null(entry) for entry in value]
    return None if isinstance(value, float) and math.isnan(value) else value
