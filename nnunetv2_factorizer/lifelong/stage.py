"""What a training has to know of its stage: a file that the command writes and the trainer reads."""

import dataclasses
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.inference.preprocessed_cases import FoldCases, fold_cases
from nnunetv2_factorizer.models.atomic import replacing
from nnunetv2_factorizer.models.folders import nnunet_folder
from nnunetv2_factorizer.models.json_files import read_json

VARIABLE = "nnUNet_lifelong_stage"
"""The environment variable with the file."""


@dataclass(frozen=True)
class StageData:
    """Where the cases of a stage are.

    Attributes:
        dataset: name, such as `Dataset004_Hippocampus`.
        plans: their name.
        fold: such as `0` or `all`.
    """

    dataset: str
    plans: str
    fold: str


@dataclass(frozen=True)
class StageRecord:
    """A stage that is begun.

    Attributes:
        method: one of `METHODS`.
        configuration: such as `3d_fullres`.
        data: of the stage.
        earlier: the data of the stages before it.
        starts_from: SHA-256 of the checkpoint that the training begins with; None in the first stage.
        opens: whether its model is a new member of the pool.
    """

    method: str
    configuration: str
    data: StageData
    earlier: tuple[StageData, ...]
    starts_from: str | None
    opens: bool

    def save(self, path: Path) -> None:
        """Writes JSON."""
        with replacing(str(path)) as unfinished:
            Path(unfinished).write_text(json.dumps(dataclasses.asdict(self), indent=2) + "\n", encoding="utf-8")


def read_stage(path: Path) -> StageRecord:
    """The record that `StageRecord.save` wrote."""
    record: dict[str, Any] = read_json(path)
    earlier = tuple(StageData(**data) for data in record["earlier"])
    return StageRecord(**record | {"data": StageData(**record["data"]), "earlier": earlier})


def current_stage() -> StageRecord:
    """That of the training in this process.

    Raises:
        UserError: the variable names no file: the training was started by hand.
    """
    path = os.environ.get(VARIABLE)
    if not path or not Path(path).is_file():
        raise UserError(
            f"this trainer belongs to a pool of models, but {VARIABLE} names no stage: {path or 'not set'}.",
            "Train the stage by `nnUNetv2_factorizer_lifelong train -d DATASET -pool FOLDER`, which goes on with --c.",
        )
    return read_stage(Path(path))


def preprocessed_base(dataset: str) -> Path:
    """nnU-Net's folder of a preprocessed data set."""
    return nnunet_folder("nnUNet_preprocessed") / dataset


def cases_of(data: StageData, configuration: str) -> FoldCases:
    """The preprocessed cases of a stage.

    Raises:
        UserError: they are not there, or not all of them.
    """
    file = preprocessed_base(data.dataset) / f"{data.plans}.json"
    if not file.is_file():
        raise UserError(
            f"{file} does not exist, but the stage {data.dataset} is needed.",
            "Bring its preprocessed data back. Pools of odex, ewc, lwf and sequential need no earlier data.",
        )
    settings = PlansManager(read_json(file)).get_configuration(configuration)
    return fold_cases(data.dataset, settings, data.fold, "the pool")
