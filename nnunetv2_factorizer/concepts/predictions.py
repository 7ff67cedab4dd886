"""A folder of predicted categories: its record `concepts.json`, and its images beside their labels."""

import dataclasses
import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from nnunetv2.imageio.reader_writer_registry import determine_reader_writer_from_dataset_json
from numpy.typing import NDArray

from nnunetv2_factorizer.concepts.dictionary import ARRAYS
from nnunetv2_factorizer.concepts.evaluation import count
from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.inference.cases import map_cases
from nnunetv2_factorizer.inference.labels import label_names
from nnunetv2_factorizer.models.atomic import replacing
from nnunetv2_factorizer.models.identity import sha256
from nnunetv2_factorizer.models.json_files import read_json

PREDICTIONS = "concepts.json"


@dataclass(frozen=True)
class PredictionRecord:
    """What a folder of predictions was made with, and what is in it.

    Attributes:
        dictionary_sha256: of the dictionary.
        mode: `fixed` or `assign`.
        categories: k.
        names: of those categories that got one.
        cases: for each image the number of voxels of each category, 0 is where there is none; empty until all images
            are done.
    """

    dictionary_sha256: str
    mode: str
    categories: int
    names: dict[int, str]
    cases: dict[str, dict[int, int]]

    def save(self, folder: Path) -> None:
        """Writes the record into the folder of the predictions."""
        with replacing(str(folder / PREDICTIONS)) as unfinished:
            Path(unfinished).write_text(json.dumps(dataclasses.asdict(self), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "PredictionRecord":
        """Reads what `save` wrote.

        Raises:
            UserError: there is none, or it is damaged.
        """
        path = folder / PREDICTIONS
        remedy = "Give the folder that `nnUNetv2_factorizer_concepts predict` wrote."
        if not path.is_file():
            raise UserError(f"{path} does not exist.", remedy)
        try:
            record = read_json(path)
            record["names"] = {int(category): name for category, name in record["names"].items()}
            record["cases"] = {
                case: {int(category): voxels for category, voxels in counts.items()}
                for case, counts in record["cases"].items()
            }
            return cls(**record)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise UserError(f"{path} is damaged: {error}", remedy) from error


def dictionary_sha256(folder: Path) -> str:
    """Of a dictionary; one that was made again is another."""
    return sha256(folder / ARRAYS)


def tables(
    predictions: Path, labels: Path, dataset_json: dict, *, show_progress: bool = False
) -> tuple[PredictionRecord, dict[str, NDArray]]:
    """The record of the predictions, and the table of each image; see `evaluation.count`.

    Args:
        predictions: the folder.
        labels: folder with a file of the same name for each prediction.
        dataset_json: of the labels.
        show_progress: whether there is a progress bar.

    Raises:
        UserError: a file is missing, or a label does not fit its prediction, or the prediction was interrupted.
    """
    record = PredictionRecord.load(predictions)
    if not record.cases:
        raise UserError(
            f"{predictions} is not finished.",
            "Run `nnUNetv2_factorizer_concepts predict` again with --continue_prediction.",
        )
    ending = dataset_json["file_ending"]
    for folder in (predictions, labels):
        for case in record.cases:
            if not (folder / (case + ending)).is_file():
                raise UserError(
                    f"{folder / (case + ending)} does not exist.",
                    "Give labels of all images that were predicted with --labels, and their dataset.json with -djfile.",
                )
    work = partial(_table, predictions, labels, dataset_json, record.categories)
    counted = map_cases(work, list(record.cases), show_progress=show_progress)
    return record, dict(zip(record.cases, counted, strict=True))


def _table(predictions: Path, labels: Path, dataset_json: dict, categories: int, case: str) -> NDArray:
    files = [str(folder / (case + dataset_json["file_ending"])) for folder in (predictions, labels)]
    reader = determine_reader_writer_from_dataset_json(dataset_json, files[1], verbose=False)()
    prediction, truth = (reader.read_seg(file)[0][0] for file in files)
    names, ignore = label_names(dataset_json)
    try:
        return count(prediction, truth, categories, list(names.values()), ignore)
    except UserError as error:
        raise UserError(f"{case}: {error.cause}", error.remedy) from error
