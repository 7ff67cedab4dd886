"""A pool of models: a folder with `pool.json`, whose members are models as nnU-Net keeps them.

Each member lies in `models/DATASET/TRAINER__PLANS__CONFIGURATION`, of the latest stage that it was trained on, and any
command of nnU-Net can use it. The manifest is written last and at once: whatever it does not name is not in the pool.
"""

import dataclasses
import json
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

from nnunetv2_factorizer import DISTRIBUTION
from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.inference.model import load_model
from nnunetv2_factorizer.installation import installed_from
from nnunetv2_factorizer.lifelong.seen import Seen
from nnunetv2_factorizer.lifelong.stage import StageData
from nnunetv2_factorizer.models.atomic import replacing
from nnunetv2_factorizer.models.identity import sha256
from nnunetv2_factorizer.models.json_files import read_json
from nnunetv2_factorizer.screen.statistics import entry_from

FILE = "pool.json"
MODELS = "models"
CHECKPOINT = "checkpoint_final.pth"
VERSION = 1
"""Of the manifest."""


@dataclass(frozen=True)
class Model:
    """A trained model in the pool.

    Attributes:
        folder: `models/DATASET/TRAINER__PLANS__CONFIGURATION`.
        fold: such as `0` or `all`.
        sha256: of its checkpoint.
    """

    folder: str
    fold: str
    sha256: str

    @classmethod
    def of(cls, pool: Path, folder: Path, fold: str) -> "Model":
        """The model as it lies there."""
        checkpoint = folder / f"fold_{fold}" / CHECKPOINT
        return cls(folder.relative_to(pool).as_posix(), fold, sha256(checkpoint))

    def checkpoint(self, pool: Path) -> Path:
        """Its file."""
        return pool / self.folder / f"fold_{self.fold}" / CHECKPOINT

    def load(self, pool: Path, device: torch.device, **settings: Any) -> nnUNetPredictor:
        """A predictor of it, with settings of `nnUNetPredictor`; the same object until `forget_loaded`."""
        return _loaded(self, pool, device, **settings)


@lru_cache(maxsize=8)
def _loaded(model: Model, pool: Path, device: torch.device, **settings: Any) -> nnUNetPredictor:
    return load_model(pool / model.folder, (model.fold,), CHECKPOINT, device, **settings)


def forget_loaded() -> None:
    """Gives the memory of loaded models back, before a training needs it."""
    _loaded.cache_clear()


@dataclass(frozen=True)
class Member:
    """A model, and the numbers of the stages that it was trained on, the latest one last."""

    model: Model
    history: tuple[int, ...]


@dataclass(frozen=True)
class Stage:
    """A stage that was trained: its data, and what they are like."""

    data: StageData
    seen: Seen


@dataclass(frozen=True)
class Pool:
    """What `pool.json` says.

    Attributes:
        method: one of `METHODS`.
        history: how distances to the stages of a member are put together, one of `HISTORIES`.
        configuration: such as `3d_fullres`.
        trainer: family, such as `nnUNetTrainer_Lifelong`.
        shared: what all stages have in common, see `common`.
        eye: the model of the first stage; it measures the features of all images.
        stages: in the order of their training.
        members: the oldest first.
    """

    method: str
    history: str
    configuration: str
    trainer: str
    shared: dict[str, Any]
    eye: Model
    stages: tuple[Stage, ...]
    members: tuple[Member, ...]

    @property
    def histories(self) -> list[tuple[int, ...]]:
        """Of the members."""
        return [member.history for member in self.members]

    @property
    def seen(self) -> list[Seen]:
        """Of the stages."""
        return [stage.seen for stage in self.stages]

    def save(self, folder: Path) -> None:
        """Writes the manifest; the one that was there stays until the new one is whole."""
        record = {DISTRIBUTION: version(DISTRIBUTION), "version": VERSION, **dataclasses.asdict(self)}
        with replacing(str(folder / FILE)) as unfinished:
            text = json.dumps(record, default=np.ndarray.tolist)
            Path(unfinished).write_text(text + "\n", encoding="utf-8")

    def load_eye(self, folder: Path, device: torch.device) -> nnUNetPredictor:
        """The network that measures, set up as the screen sets it up."""
        settings = {"perform_everything_on_device": device.type == "cuda", "allow_tqdm": False}
        return self.eye.load(folder, device, use_mirroring=False, **settings)


def read_pool(folder: Path) -> Pool:
    """Reads the manifest, and checks that its models are there and as they were.

    Raises:
        UserError: there is none, it is damaged or newer than this package, or a model was moved or changed.
    """
    path = folder / FILE
    if not path.is_file():
        raise UserError(
            f"{path} does not exist, so {folder} is no pool of models.",
            "Give the folder of a pool with -pool, or begin one by `nnUNetv2_factorizer_lifelong train`.",
        )
    try:
        record = read_json(path)
        newer = record["version"] > VERSION
        pool = None if newer else _from(record)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(
            f"{path} is damaged: {error!r}.", "Bring it back from a copy; the models beside it are whole without it."
        ) from error
    if pool is None:
        raise UserError(
            f"{path} is of version {record['version']}, written by {DISTRIBUTION} {record.get(DISTRIBUTION)}; this is "
            f"{installed_from()}, which knows version {VERSION}.",
            f"Install {DISTRIBUTION} {record.get(DISTRIBUTION)} or newer.",
        )
    for model in dict.fromkeys([pool.eye, *(member.model for member in pool.members)]):
        _check(folder, model)
    return pool


def _check(pool: Path, model: Model) -> None:
    """Raises a `UserError` where a model is not what the manifest says."""
    path = model.checkpoint(pool)
    remedy = f"Bring back the file with SHA-256 {model.sha256}; a pool is moved or copied as a whole."
    if not path.is_file():
        raise UserError(f"{path} does not exist, but {pool / FILE} names it: the model was moved or deleted.", remedy)
    if (found := sha256(path)) != model.sha256:
        raise UserError(f"{path} was changed after its stage: its SHA-256 is {found}.", remedy)


def _from(record: dict[str, Any]) -> Pool:
    own = {name: value for name, value in record.items() if name not in (DISTRIBUTION, "version")}
    own["eye"] = Model(**record["eye"])
    own["stages"] = tuple(Stage(StageData(**stage["data"]), _seen(stage["seen"])) for stage in record["stages"])
    own["members"] = tuple(Member(Model(**m["model"]), tuple(m["history"])) for m in record["members"])
    return Pool(**own)


def _seen(record: dict[str, Any]) -> Seen:
    return Seen(entry_from(record["entry"]), record["unit"], np.array(record["held_out"], float))
