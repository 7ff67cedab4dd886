"""The sweeps over a model, from the settings to the choice."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.models.trained import TrainedModel, build_network
from nnunetv2_factorizer.network import Factorizer
from nnunetv2_factorizer.tune.cost import plain_flops
from nnunetv2_factorizer.tune.evaluate import ValidationCase, measure
from nnunetv2_factorizer.tune.settings import TRAINED, Setting, computation, make_settings
from nnunetv2_factorizer.tune.statistics import choose, pareto_front, summarise


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """What came out."""

    settings: list[Setting]
    measured_as: dict[str, str]
    """Each setting to the one with the same computation that was measured; most are their own."""
    flops_ratio: dict[str, float]
    """Of each setting to the trained one, by the cost model of plain iterations."""
    measurements: pd.DataFrame
    """As `evaluate.measure` gives them."""
    summary: pd.DataFrame
    """As `statistics.summarise` gives it."""
    front: list[str]
    chosen: Setting
    reason: str


def settings_of(model: TrainedModel, sweeps: Sequence[str]) -> list[Setting]:
    """The settings of the sweeps, see `settings.make_settings`.

    Raises:
        UserError: the network is no Factorizer, and from `make_settings`.
    """
    with torch.device("meta"):
        network = build_network(model, {})
    if not isinstance(network, Factorizer):
        raise UserError(
            f"the network of {model.folder} is a {type(network).__name__}, which has no factorization.",
            "Give the trainer (-tr) or the plans (-p) of a Factorizer.",
        )
    return make_settings(network, model.arch_kwargs, sweeps)


def tune(
    model: TrainedModel,
    predictors: dict[str, nnUNetPredictor],
    cases: Sequence[ValidationCase],
    settings: list[Setting],
    budget_drop: float,
    *,
    show_progress: bool = True,
) -> Tuning:
    """Measures the settings on the cases and chooses one; settings of the same computation are measured once.

    Args:
        model: the trained one.
        predictors: of each fold.
        cases: to measure.
        settings: as `settings_of` gives them.
        budget_drop: the mean Dice that may be lost.
        show_progress: with a bar of the cases.
    """
    measured_as = _measured_as(model, settings)
    measured = [setting for setting in settings if measured_as[setting.name] == setting.name]
    flops = {setting.name: plain_flops(model, setting.changes) for setting in settings}
    measurements = measure(model, predictors, cases, measured, show_progress=show_progress)
    summary = summarise(measurements)
    chosen, reason = choose(summary, budget_drop)
    return Tuning(
        settings=settings,
        measured_as=measured_as,
        flops_ratio={name: number / flops[TRAINED] for name, number in flops.items()},
        measurements=measurements,
        summary=summary,
        front=pareto_front(summary),
        chosen=next(setting for setting in settings if setting.name == chosen),
        reason=reason,
    )


def _measured_as(model: TrainedModel, settings: Sequence[Setting]) -> dict[str, str]:
    first: dict[object, str] = {}
    with torch.device("meta"):
        return {s.name: first.setdefault(computation(build_network(model, s.changes)), s.name) for s in settings}
