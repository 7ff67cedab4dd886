"""What models of scanner A lose on scanner B: how the scanners were calibrated, and the claim of AvaGrad's paper."""

from collections.abc import Sequence
from statistics import mean

from benchmarks.scanner.cases import dice_of_cases, some, split
from benchmarks.scanner.models import predictor, published
from benchmarks.scanner.scanners import SCANNERS


def print_loss(methods: Sequence[str], iterations: int) -> None:
    """A row a model: Dice of the validation cases on scanner A, and what is lost on each B.

    Then Dice of those cases that `adapt` and `style` predict, for the first rows of their tables.
    """
    print(f"| trained on A, {iterations} iterations | A | " + " | ".join(SCANNERS) + " |")
    print("| --- | --- |" + " --- |" * len(SCANNERS))
    for method in methods:
        model = predictor(published(method, iterations))
        of_cases = {scanner: dice_of_cases(model, split("val"), scanner) for scanner in ("A", *SCANNERS)}
        dice = {scanner: mean(values) for scanner, values in of_cases.items()}
        lost = [f"{dice[scanner] - dice['A']:+.3f}" for scanner in SCANNERS]
        print(f"| {method} | {dice['A']:.3f} | {' | '.join(lost)} |", flush=True)
        known = [dict(zip(split("val"), values, strict=True)) for values in of_cases.values()]
        cells = [f"{mean(dice_of[case] for case in some()):.3f}" for dice_of in known]
        print(f"| {method}, Dice of {len(some())} cases | {' | '.join(cells)} |", flush=True)


def print_calibration(method: str, iterations: int, strengths: Sequence[float]) -> None:
    """A row a scanner: the loss at each strength, on every third validation case."""
    model, cases = predictor(published(method, iterations)), split("val")[::3]
    before = mean(dice_of_cases(model, cases, "A"))
    print(f"| {method} | " + " | ".join(f"strength {strength:g}" for strength in strengths) + " |")
    print("| --- |" + " --- |" * len(strengths))
    for scanner in SCANNERS:
        lost = [mean(dice_of_cases(model, cases, scanner, strength)) - before for strength in strengths]
        print(f"| {scanner} | {' | '.join(f'{value:+.3f}' for value in lost)} |", flush=True)
