"""The files of a comparison: a table in Markdown, CSV and HTML, the figure, and every number as JSON."""

import csv
import io
import json
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from nnunetv2_factorizer import DISTRIBUTION
from nnunetv2_factorizer.compare.comparison import Comparison
from nnunetv2_factorizer.compare.figure import draw
from nnunetv2_factorizer.compare.run import LOG, Run
from nnunetv2_factorizer.compare.table import cells, rows
from nnunetv2_factorizer.inference.page import render
from nnunetv2_factorizer.models.atomic import replacing

TABLE, CSV, JSON, FIGURE, PAGE = "table.md", "table.csv", "results.json", "dice_over_seconds.png", "comparison.html"
FILES = (TABLE, CSV, JSON, FIGURE, PAGE)

NOTES = """Every network was trained and validated by nnU-Net's own training on the same cases. GFLOPs: one patch \
through the network with all its heads, a multiply-add counted twice; a factorization counts by its plain iterations. \
Seconds a step: the median, the batch at hand. Peak: what PyTorch allocated on the GPU in training; empty on a CPU, \
where it is not measured. Dice and HD95 (mm): means over the validation cases, of the whole images; where prediction \
and truth are both empty, Dice is 1 and HD95 0, where one of them is, Dice is 0 and HD95 the diagonal of the image. \
Minus nnU-Net: the mean over the cases of the difference of their Dice, in brackets its 95 % interval by the \
bootstrap. It tells how sure the difference of these two models is on cases like these, nothing of other trainings."""


def failures(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """`network`, `fold`, `cause` and `remedy` of each run without a result."""
    found = []
    for run in runs:
        if run.result is None:
            told = run.failure or {
                "cause": "it has not ended: it was interrupted, killed, or another process is at it.",
                "remedy": f"The same command goes on with it. Its log is {run.folder / LOG}.",
            }
            found.append({"network": run.network, "fold": run.fold, **told})
    return found


def told(run: Run) -> str:
    """A line on a run that has ended."""
    what = f"{run.network}, fold {run.fold}"
    if failed := failures([run]):
        return f"FAILED {what}: {failed[0]['cause']}\n  {failed[0]['remedy']}"
    return f"done   {what}"


def markdown(table: Sequence[dict[str, str]]) -> str:
    """A table of rows with the same titles."""
    if not table:
        return "No run has ended."
    lines = [list(table[0]), ["---"] * len(table[0]), *(list(row.values()) for row in table)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def write(wanted: Comparison, runs: Sequence[Run]) -> str:
    """Writes `FILES`, each of them whole or not at all, and gives the table in Markdown.

    Args:
        wanted: the comparison.
        runs: all that were asked for, with a result or without.
    """
    results = [result for run in runs if (result := run.result) is not None]
    numbers, failed = rows(results, wanted.networks), failures(runs)
    table = [cells(row) for row in numbers]
    without = {f["network"]: f["cause"] for f in failed if f["network"] not in {row["network"] for row in numbers}}
    table += [dict.fromkeys(table[0], "") | {"network": f"{name}: no result"} for name in without if table]
    title = f"{wanted.dataset}, {wanted.configuration}, {wanted.plans}, {wanted.budget}"
    if wanted.memory is not None:
        title += f", each network planned for {wanted.memory:g} GB"
    image = io.BytesIO()
    draw(results, wanted.networks).savefig(image, dpi=150, format="png")
    told = [f"- {f['network']}, fold {f['fold']}: {f['cause']} {f['remedy']}" for f in failed]
    sections = [f"# {title}", markdown(table), *(["Without a result:", "\n".join(told)] if told else [])]
    sections += [f"![Dice over seconds]({FIGURE})", NOTES]
    about = {DISTRIBUTION: version(DISTRIBUTION), "settings": wanted.settings, "notes": NOTES}
    record = about | {"rows": numbers, "without_a_result": failed, "runs": results}
    content = {"title": title, "table": table, "failures": failed, "figure": image.getvalue(), "notes": NOTES}
    contents: dict[str, str | bytes] = {
        TABLE: "\n\n".join(sections) + "\n",
        CSV: _csv(numbers + [{"network": name, "failure": cause} for name, cause in without.items()]),
        JSON: json.dumps(record, indent=1),
        PAGE: render(__package__, "page.html.jinja", content),
        FIGURE: image.getvalue(),
    }
    for name, text in contents.items():
        with replacing(str(wanted.out / name)) as path, open(path, "wb") as file:
            file.write(text if isinstance(text, bytes) else text.encode("utf-8"))
    return markdown(table)


def _csv(numbers: Sequence[dict[str, Any]]) -> str:
    text = io.StringIO()
    if numbers:
        writer = csv.DictWriter(text, list(dict.fromkeys(title for row in numbers for title in row)))
        writer.writeheader()
        writer.writerows(numbers)
    return text.getvalue()
