"""What was asked of a GPU, and whether the lines of a run say that it is so."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from benchmarks.gpu.lines import END, Line

UNET = "PlainConvUNet"
FACTORIZERS = ("Hybrid", "Conv", "Swin")
STEP_RATIO = 1.0
SHARE_OF_COPY = 0.7
PEAK_RATIO = (0.9, 1.1)

Numbers = Mapping[str, Mapping[str, Line]]
"""The lines that have numbers, by section and key."""


class Goal(NamedTuple):
    """A number, what was asked of it, and whether it is so; None where it was not measured."""

    what: str
    measured: str
    asked: str
    passes: bool | None

    @property
    def verdict(self) -> str:
        return "not measured" if self.passes is None else "pass" if self.passes else "fail"


def numbers_of(lines: Sequence[Line]) -> dict[str, dict[str, Line]]:
    found: dict[str, dict[str, Line]] = {}
    for line in lines:
        if "error" not in line:
            found.setdefault(line["section"], {})[line["key"]] = line
    return found


def goals(lines: Sequence[Line]) -> list[Goal]:
    numbers = numbers_of(lines)
    return [_kernels(lines), *_steps(numbers), *_bandwidth(numbers), *_peaks(numbers), *_agreement(numbers)]


def _kernels(lines: Sequence[Line]) -> Goal:
    """An item with an error fails. What was not reached is not measured, unless something has failed before."""
    asked = [line for line in lines if line["section"] == "kernels" and ("passes" in line or "error" in line)]
    passed = sum(line.get("passes", False) for line in asked)
    ended = END in numbers_of(lines).get("kernels", {})
    by_triton = sum(line.get("triton", False) for line in asked)
    measured = f"{passed} of {len(asked)}, {by_triton} of them by Triton{'' if ended else ', not at the end'}"
    passes = False if passed < len(asked) else True if asked and ended else None
    return Goal("operator against float64, repeated, on zeros: items that pass", measured, "all", passes)


def step_ratio(steps: Mapping[str, Line], name: str, mode: str) -> float | None:
    """Time of a training step over that of nnU-Net's U-Net in the same mode."""
    ours, unet = steps.get(f"{name}, {mode}"), steps.get(f"{UNET}, {mode}")
    return ours["ms"] / unet["ms"] if ours and unet else None


def peak_ratio(line: Mapping[str, Any]) -> float | None:
    """Peak of memory over what the memory model says."""
    return line["peak_mib"] / line["model_mib"] if line["peak_mib"] is not None else None


def difference(ours: Sequence[float], reference: Sequence[float]) -> float:
    """The largest one between two curves of losses, as a share of how far the reference falls; losses pass 0."""
    return max(abs(a - b) for a, b in zip(ours, reference, strict=True)) / (reference[0] - reference[-1])


def _steps(numbers: Numbers) -> list[Goal]:
    ratios = {name: step_ratio(numbers.get("steps", {}), name, "compiled") for name in FACTORIZERS}
    return [
        _goal(f"training step, compiled: {name} / {UNET}", ratio, f"<= {STEP_RATIO}", 0, STEP_RATIO)
        for name, ratio in ratios.items()
    ]


def _bandwidth(numbers: Numbers) -> list[Goal]:
    asked = f">= {SHARE_OF_COPY}"
    stages = numbers.get("bandwidth", {})
    shares = {
        f"{stage}, {direction}": line[direction]["share"]
        for direction in ("forward", "backward")
        for stage, line in stages.items()
        if stage != END
    }
    what = "operator, share of a device copy"
    return [
        _goal(f"{what}: {place}", share, asked, SHARE_OF_COPY, float("inf")) for place, share in shares.items()
    ] or [_goal(what, None, asked, 0, 0)]


def _peaks(numbers: Numbers) -> list[Goal]:
    steps = numbers.get("steps", {})
    found = []
    for mode in ("compiled", "eager"):
        for name in FACTORIZERS:
            line = steps.get(f"{name}, {mode}")
            ratio = peak_ratio(line) if line else None
            what = f"peak of a training step, {mode}: {name} / the memory model"
            found.append(_goal(what, ratio, "0.9 to 1.1", *PEAK_RATIO))
    return found


def _agreement(numbers: Numbers) -> list[Goal]:
    found = []
    for name in ("half compiled", "half eager", "float32 eager"):
        line = numbers.get("agreement", {}).get(name)
        fall = line["losses"][0] - line["losses"][-1] if line else None
        passes = None if fall is None else fall > 0  # NaN does not
        found.append(Goal(f"the loss falls: {name}", "" if fall is None else f"by {fall:.3f}", "yes", passes))
    return found


def _goal(what: str, value: float | None, asked: str, least: float, most: float) -> Goal:
    if value is None:
        return Goal(what, "", asked, None)
    return Goal(what, f"{value:.2f}", asked, least <= value <= most)
