"""The lines of a run as Markdown: goals first, then a table a section, then what failed."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import inf, isnan
from typing import Any

from benchmarks.gpu.goals import Numbers, difference, goals, numbers_of, peak_ratio, step_ratio
from benchmarks.gpu.lines import END, Line

KERNELS_SHOWN = 5


def report(lines: Sequence[Line]) -> str:
    numbers = numbers_of(lines)
    sections: dict[str, Callable[[Numbers], str]] = {
        "Operators against float64": _kernels,
        "Training step": _steps,
        "Where a compiled step's time goes": _top_kernels,
        "Half precision, compiled, float32: the losses of 50 steps": _agreement,
        "Operators beside a device copy": _bandwidth,
        "Depthwise convolution, forward and backward": _depthwise,
        "A tile of inference": _inference,
        "A training": _training,
    }
    parts = ["## On a GPU", _machine(numbers), _goals(lines)]
    parts += [f"### {title}\n\n{section(numbers) or 'not measured'}" for title, section in sections.items()]
    return "\n\n".join([*parts, _errors(lines)]).rstrip()


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Empty where there are no rows; numbers to three digits, nothing for None."""
    body = [f"| {' | '.join(map(_cell, row))} |" for row in rows]
    return "\n".join([f"| {' | '.join(header)} |", "| --- " * len(header) + "|", *body]) if body else ""


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return str(value).replace("|", "\\|")


def _items(numbers: Numbers, section: str) -> dict[str, Line]:
    return {key: line for key, line in numbers.get(section, {}).items() if key != END}


def _machine(numbers: Numbers) -> str:
    machine = numbers.get("machine", {}).get("machine", {})
    shown = {key: value for key, value in machine.items() if key not in ("section", "key", "machine")}
    if not machine:
        return "not measured"
    warning = "" if machine["gpu"] else "Without a GPU, at a small size: this says only that it runs.\n\n"
    return warning + ", ".join(f"{key} {value}" for key, value in shown.items() if value is not None)


def _goals(lines: Sequence[Line]) -> str:
    rows = [(goal.what, goal.measured, goal.asked, goal.verdict) for goal in goals(lines)]
    return table(["goal", "measured", "asked", "reached"], rows)


def _kernels(numbers: Numbers) -> str:
    items = _items(numbers, "kernels")
    checked = {key: line for key, line in items.items() if "forward" in line}
    groups: dict[str, list[Line]] = {}
    for key, line in checked.items():
        kind = "extreme scales" if key.startswith("times") else "shapes"
        groups.setdefault(f"{kind}, {key.rpartition(', ')[2]}", []).append(line)
    rows = [
        (
            *(group, len(lines), _worst(lines, "forward"), _worst(lines, "backward"), lines[0]["tolerance"]),
            *(sum(line[what] for line in lines) for what in ("repeats", "triton")),
        )
        for group, lines in groups.items()
    ]
    header = ["items", "number", "worst, forward", "worst, backward", "tolerance", "same bits twice", "by Triton"]
    failed = [(key, line.get("forward"), line.get("backward")) for key, line in items.items() if _fails(line)]
    compiled = items.get("registers", {}).get("kernels", [])
    columns = ("name", "registers", "spills", "shared_bytes", "warps")
    tables = [
        table(header, rows),
        table(["failed", "forward", "backward"], failed),
        table(["kernel, usual setting", *columns[1:]], [[kernel[c] for c in columns] for kernel in compiled]),
    ]
    return "\n\n".join(filter(None, tables))


def _fails(line: Line) -> bool:
    return not line.get("passes", True)


def _worst(lines: Sequence[Line], what: str) -> float:
    return max((float(line[what]) for line in lines), key=lambda error: inf if isnan(error) else error)


def _steps(numbers: Numbers) -> str:
    steps = {key: line for key, line in _items(numbers, "steps").items() if "ms" in line}
    rows = []
    for key, line in steps.items():
        name, _, mode = key.rpartition(", ")
        columns = ("recompilations", "graph_breaks", "synchronisations")
        rows.append(
            [
                *(name, mode, line["first_step_s"], line["ms"], step_ratio(steps, name, mode)),
                *(line["peak_mib"], line["model_mib"], peak_ratio(line), line["reserved_mib"]),
                *(line[column] for column in columns),
            ]
        )
    header = ["network", "", "first step, s", "ms", "/ PlainConvUNet", "peak, MiB", "memory model", "peak / model"]
    header += ["reserved, MiB", "recompilations", "graph breaks", "synchronisations"]
    losses = sorted({line["loss"] for line in steps.values()})
    return f"{table(header, rows)}\n\nLoss: {', '.join(losses)}." if rows else ""


def _top_kernels(numbers: Numbers) -> str:
    items = {key: line for key, line in _items(numbers, "steps").items() if key.endswith("compiled, kernels")}
    rows = [
        (
            key.removesuffix(", compiled, kernels"),
            f"`{kernel['name']}`",
            kernel["ms"],
            kernel["ms"] / line["total_ms"],
            kernel["calls"],
        )
        for key, line in items.items()
        for kernel in line["kernels"][:KERNELS_SHOWN]
    ]
    return table(["network", "kernel", "ms", "share", "calls"], rows)


def _agreement(numbers: Numbers) -> str:
    items = _items(numbers, "agreement")
    reference = items.get("float32 eager")
    rows = [
        (key, line["dtype"], line["losses"][0], line["losses"][-1], _from(line, reference))
        for key, line in items.items()
    ]
    return table(
        ["", "autocast", "first loss", "last loss", "largest difference from float32, as a share of its fall"], rows
    )


def _from(line: Line, reference: Line | None) -> float | None:
    return difference(line["losses"], reference["losses"]) if reference else None


def _bandwidth(numbers: Numbers) -> str:
    rows = []
    for stage, line in _items(numbers, "bandwidth").items():
        for direction in ("forward", "backward"):
            measured: Mapping[str, Any] = line[direction]
            volume = "x".join(map(str, line["volume"]))
            rows.append(
                (stage, volume, direction, measured["ms"], measured["copy_ms"], measured["share"], line["triton"])
            )
    return table(["stage", "volume", "", "ms", "copy of as many bytes, ms", "share", "Triton"], rows)


def _depthwise(numbers: Numbers) -> str:
    return table(["", "ms"], [(key, line["ms"]) for key, line in _items(numbers, "depthwise").items()])


def _inference(numbers: Numbers) -> str:
    rows = [
        (*key.split(", "), line["ms"], line["peak_mib"], line.get("kept_mib"))
        for key, line in _items(numbers, "inference").items()
    ]
    return table(["network", "", "ms", "peak, MiB", "kept in training, MiB"], rows)


def _training(numbers: Numbers) -> str:
    columns = ("method", "data", "iterations", "batch_size", "seconds_per_iteration", "seconds", "dice")
    rows = [[line[column] for column in columns] for line in _items(numbers, "training").values()]
    return table(["method", "data", "iterations", "batch", "s / iteration", "s in all", "Dice"], rows)


def _errors(lines: Sequence[Line]) -> str:
    rows = [(line["section"], line["key"], " ".join(line["error"].split())[:300]) for line in lines if "error" in line]
    return f"### Errors\n\n{table(['section', 'item', 'error'], rows)}" if rows else ""
