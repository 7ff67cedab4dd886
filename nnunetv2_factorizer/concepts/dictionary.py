"""A dictionary of concepts: the centres of the features, and which model they belong to."""

import dataclasses
import json
import zipfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from numpy.typing import NDArray

from nnunetv2_factorizer import DISTRIBUTION
from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.models.folders import require_checkpoint
from nnunetv2_factorizer.models.identity import sha256
from nnunetv2_factorizer.models.json_files import read_json

ARRAYS, DESCRIPTION = "dictionary.npz", "dictionary.json"


@dataclass(frozen=True)
class ModelIdentity:
    """The weights whose features a dictionary is about. `model` and `fold` say where they were, the rest what they are.

    Attributes:
        model: folder `DATASET/TRAINER__PLANS__CONFIGURATION`.
        fold: its fold.
        checkpoint: the name of the file.
        checkpoint_sha256: of that file.
        dataset: name.
        configuration: such as `3d_fullres`, by the name of the folder.
        spacing: mm, of the configuration.
        trainer: name.
    """

    model: str
    fold: str
    checkpoint: str
    checkpoint_sha256: str
    dataset: str
    configuration: str
    spacing: list[float]
    trainer: str

    @classmethod
    def of(cls, predictor: nnUNetPredictor, folder: Path, fold: str, checkpoint: str) -> "ModelIdentity":
        """Of a predictor that was initialised with one fold of the model in `folder`."""
        return cls(
            str(folder.resolve()),
            fold,
            checkpoint,
            sha256(require_checkpoint(folder, fold, checkpoint)),
            predictor.plans_manager.dataset_name,
            folder.resolve().name.split("__")[-1],
            [float(s) for s in predictor.configuration_manager.spacing],
            predictor.trainer_name,
        )


@dataclass(frozen=True)
class Dictionary:
    """Concepts of a model; categories are counted from 1, the first is row 0 here. See `ModelIdentity`.

    Attributes:
        centres: `(k, C)`, float32, not negative.
        tiles: of the training images in each category, `(k,)`.
        nearest_cases: names of the images of the tiles closest to each centre, `(k, n)`; empty where there is none.
        nearest_positions: their middles in the preprocessed images, `(k, n, 3)`.
        nearest_distances: of their features to the centre, `(k, n)`.
        pictures: grey, `(k, n, height, width)`, with the tile in the middle.
        tile_size: voxels `(3,)` of the preprocessed image.
        stage: module of the network, such as `encoder.stages.3`.
        cases: number of images it was made from.
        seed: of the clustering.
        identity: of the model.
    """

    centres: NDArray[np.float32]
    tiles: NDArray[np.int64]
    nearest_cases: NDArray[np.str_]
    nearest_positions: NDArray[np.int32]
    nearest_distances: NDArray[np.float32]
    pictures: NDArray[np.uint8]
    tile_size: NDArray[np.int32]
    stage: str
    cases: int
    seed: int
    identity: ModelIdentity

    def save(self, folder: Path) -> None:
        """Writes `dictionary.npz` and `dictionary.json` into a folder."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        arrays = {name: value for name, value in values.items() if isinstance(value, np.ndarray)}
        np.savez_compressed(folder / ARRAYS, **arrays)  # type: ignore[arg-type] # of allow_pickle
        record = {
            DISTRIBUTION: version(DISTRIBUTION),
            "categories": len(self.centres),
            "channels": self.centres.shape[1],
            "stage": self.stage,
            "cases": self.cases,
            "seed": self.seed,
            "identity": dataclasses.asdict(self.identity),
        }
        (folder / DESCRIPTION).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "Dictionary":
        """Reads what `save` wrote; nothing in it is unpickled.

        Raises:
            UserError: there is no dictionary, or its files are damaged or do not belong together.
        """
        for name in (ARRAYS, DESCRIPTION):
            if not (folder / name).is_file():
                raise UserError(
                    f"{folder / name} does not exist.",
                    "Give the folder that `nnUNetv2_factorizer_concepts fit` wrote with --dictionary.",
                )
        try:
            record = read_json(folder / DESCRIPTION)
            with np.load(folder / ARRAYS, allow_pickle=False) as arrays:
                dictionary = cls(
                    **arrays,
                    identity=ModelIdentity(**record["identity"]),
                    **{name: record[name] for name in ("stage", "cases", "seed")},
                )
            dictionary.check(record["categories"], record["channels"])
        except (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise UserError(
                f"{folder} holds no usable dictionary: {error}",
                "Make it again with `nnUNetv2_factorizer_concepts fit`.",
            ) from error
        return dictionary

    def check(self, categories: int, channels: int) -> None:
        """Raises a `ValueError` where the centres are not what the record says, or are no features."""
        if self.centres.shape != (categories, channels):
            raise ValueError(f"the centres are {self.centres.shape}, the record says {(categories, channels)}.")
        if not (np.isfinite(self.centres) & (self.centres >= 0)).all():
            raise ValueError("the centres have negative, infinite or NaN entries.")

    def check_model(self, identity: ModelIdentity) -> None:
        """Raises a `UserError` where another model is about to be used than the dictionary was made with."""
        for name in ("dataset", "trainer", "spacing", "checkpoint_sha256"):  # a folder may have another name by now
            made, given = getattr(self.identity, name), getattr(identity, name)
            if made != given:
                raise UserError(
                    f"the dictionary was made for another model: its {name} is {made}, that of "
                    f"{identity.model}, fold {identity.fold}, is {given}.",
                    f"Give the model that it was made for: "
                    f"{self.identity.model}, fold {self.identity.fold}, or make a dictionary for this one.",
                )
