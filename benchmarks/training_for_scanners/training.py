"""One training of the benchmark, and how well its model segments cases of each scanner."""

from collections.abc import Mapping
from pathlib import Path
from statistics import mean
from typing import Any

from filelock import FileLock
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from torch import nn

from benchmarks.learning.training import Measured, file_name, instantiate, train_to_end
from benchmarks.measure import device
from benchmarks.scanner.cases import dice_of_cases, some
from benchmarks.scanner.scanners import SCANNERS
from benchmarks.training_for_scanners.data import FOLD, PLANNED

ITERATIONS_PER_EPOCH = 25
"""Short: a matching and a correction of labels come after an epoch, and the first pass alone is a tenth of them."""
ALL_SCANNERS = ("A", *SCANNERS)


def train(
    name: str, bases: tuple[type, ...], dataset: str, plans_name: str, iterations: int, seed: int, **attributes: Any
) -> Any:
    """Trains to the end, or goes on; another process at the same training is waited for.

    Args:
        name: of the training, for its folder of results.
        bases: of the trainer's class, behind `Measured` if that is not one of them.
        dataset: in training.
        plans_name: of its plans.
        iterations: a multiple of `ITERATIONS_PER_EPOCH`.
        seed: of the first weights and all that is drawn.
        **attributes: of the trainer's class.
    """
    own = {
        **{"num_epochs": iterations // ITERATIONS_PER_EPOCH, "num_iterations_per_epoch": ITERATIONS_PER_EPOCH},
        **{"num_val_iterations_per_epoch": 1, "seed": seed},
    }
    bases = bases if issubclass(bases[0], Measured) else (Measured, *bases)
    trainer_class = type(f"{file_name(name)}_{iterations}_seed{seed}", bases, own | attributes)
    trainer = instantiate(trainer_class, dataset, plans_name, PLANNED.configuration, FOLD, seed)
    with FileLock(Path(trainer.output_folder) / "training.lock"):
        train_to_end(trainer)
    trainer.set_deep_supervision_enabled(False)
    return trainer


def predictor(trainer: Any, network: nn.Module | None = None) -> nnUNetPredictor:
    """Of what was trained, or of another network in its place, without mirroring."""
    network = trainer.network if network is None else network
    model = nnUNetPredictor(use_mirroring=False, device=device(), allow_tqdm=False, perform_everything_on_device=False)
    model.manual_initialization(
        network, trainer.plans_manager, trainer.configuration_manager, [network.state_dict()], trainer.dataset_json,
        type(trainer).__name__, None,
    )  # fmt: skip
    return model


def on_scanners(model: nnUNetPredictor) -> dict[str, list[float]]:
    """Dice of each case of `some()` on each scanner."""
    return {scanner: dice_of_cases(model, some(), scanner) for scanner in ALL_SCANNERS}


def result(trainer: Any, dice: Mapping[str, list[float]], **others: float) -> dict[str, Any]:
    """What every run keeps; `values` are the columns of the table."""
    last = trainer.curve[-1]
    means = {column: round(mean(of_cases), 5) for column, of_cases in dice.items()}
    seconds = {"s / iteration": round(last["seconds"] / last["iteration"], 3)}
    return {"values": means | others | seconds, "dice_of_cases": dict(dice)}
