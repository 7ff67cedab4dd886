"""What models of scanner A lose on scanner B: how the scanners were calibrated, and the claim of AvaGrad's paper."""

from collections.abc import Sequence
from statistics import mean

from benchmarks.scanner.cases import dice_of_cases, split
from benchmarks.scanner.models import predictor, published
from benchmarks.scanner.scanners import SCANNERS


def print_loss(methods: Sequence[str], iterations: int) -> None:
    """A row a model: Dice of the validation cases on scanner A, and what is lost on each B."""
    print(f"| trained on A, {iterations} iterations | A | " + " | ".join(SCANNERS) + " |")
    print("| --- | --- |" + " --- |" * len(SCANNERS))
    for method in methods:
        model = predictor(published(method, iterations))
        dice = {scanner: mean(dice_of_cases(model, split("val"), scanner)) for scanner in ("A", *SCANNERS)}
        lost = [f"{dice[scanner] - dice['A']:+.3f}" for scanner in SCANNERS]
        print(f"| {method} | {dice['A']:.3f} | {' | '.join(lost)} |", flush=True)


def print_calibration(method: str, iterations: int, strengths: Sequence[float]) -> None:
    """A row a scanner: the loss at each strength, on every third validation case."""
    model, cases = predictor(published(method, iterations)), split("val")[::3]
    before = mean(dice_of_cases(model, cases, "A"))
    print(f"| {method} | " + " | ".join(f"strength {strength:g}" for strength in strengths) + " |")
    print("| --- |" + " --- |" * len(strengths))
    for scanner in SCANNERS:
        lost = [mean(dice_of_cases(model, cases, scanner, strength)) - before for strength in strengths]
        print(f"| {scanner} | {' | '.join(f'{value:+.3f}' for value in lost)} |", flush=True)
