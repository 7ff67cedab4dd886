"""The matrix of Dice and what it says, as Markdown and as JSON."""

import dataclasses
import json
from pathlib import Path

from nnunetv2_factorizer.lifelong.metrics import Matrix, summarize
from nnunetv2_factorizer.lifelong.pool import Pool
from nnunetv2_factorizer.models.atomic import replacing

FILES = ("evaluation.md", "evaluation.json")


def as_markdown(pool: Pool, matrix: Matrix) -> str:
    """The table of the matrix first, then Dice, BWT and FWT, then the members."""
    names = [stage.data.dataset for stage in pool.stages]
    summary = summarize(matrix)
    rows = [f"| after {name} | {' | '.join(map(_cell, row))} |" for name, row in zip(names, matrix, strict=True)]
    lines = [
        f"Method {pool.method}, {len(names)} stage(s), {len(pool.members)} member(s). Mean Dice of held-out cases:",
        "",
        f"| | {' | '.join(names)} |",
        "| --- |" + " --- |" * len(names),
        *rows,
        "",
        "| Dice, after the last stage | BWT, near 0 is good | FWT, after a stage minus before it |",
        "| --- | --- | --- |",
        f"| {_cell(summary.dice)} | {_cell(summary.bwt)} | {_cell(summary.fwt)} |",
        "",
        f"| member | its stages, of whose distances the {pool.history} counts | folder |",
        "| --- | --- | --- |",
    ]
    for number, member in enumerate(pool.members):
        stages = ", ".join(names[stage] for stage in member.history)
        lines.append(f"| {number} | {stages} | {member.model.folder}, fold {member.model.fold} |")
    return "\n".join(lines) + "\n"


def write(folder: Path, pool: Pool, matrix: Matrix) -> str:
    """Writes both files into the pool, in place of those of an earlier evaluation; gives the Markdown."""
    text = as_markdown(pool, matrix)
    record = {
        "method": pool.method,
        "history": pool.history,
        "members": len(pool.members),
        "stages": [stage.data.dataset for stage in pool.stages],
        "matrix": matrix,
        **dataclasses.asdict(summarize(matrix)),
    }
    for name, content in zip(FILES, (text, json.dumps(record, indent=1) + "\n"), strict=True):
        with replacing(str(folder / name)) as unfinished:
            Path(unfinished).write_text(content, encoding="utf-8")
    return text


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
