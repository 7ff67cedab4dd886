"""A raw data set with unseen labelled cases: the phantom, or a view of the user's own data that holds some back."""

import json
from pathlib import Path

from nnunetv2.utilities.utils import get_filenames_of_train_images_and_targets

from nnunetv2_factorizer.demo.phantom import write_dataset
from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.models.json_files import read_json

PHANTOM = "Dataset999_FactorizerPhantom"
HELD_BACK = 5
FOLDS = 5
"""nnU-Net splits the training cases in as many."""


def make_phantom(raw: Path) -> str:
    """Writes the phantom data set into nnU-Net's raw folder and gives its name."""
    write_dataset(raw / PHANTOM, num_training=20, num_test=HELD_BACK)
    return PHANTOM


def check_dataset(dataset: Path) -> None:
    """Checks that `link_dataset` can use a folder, without writing anything.

    Raises:
        UserError: it is not a raw data set, or has too few cases to hold one back and still split in five.
    """
    path = dataset / "dataset.json"
    if not path.is_file():
        raise UserError(f"{path} does not exist.", "--dataset takes a folder in nnU-Net's raw format, DatasetXXX_NAME.")
    if not (dataset.name.startswith("Dataset") and dataset.name[7:10].isdigit()):
        raise UserError(
            f"the folder must be named DatasetXXX_NAME with three digits XXX, got {dataset.name}.",
            "Name it like that, or give another with --dataset.",
        )
    cases = get_filenames_of_train_images_and_targets(str(dataset))
    if len(cases) <= FOLDS:
        raise UserError(
            f"{dataset} has {len(cases)} training cases; at least {FOLDS + 1} are needed.",
            "Give a larger data set with --dataset.",
        )


def link_dataset(dataset: Path, raw: Path) -> str:
    """Links a data set into nnU-Net's raw folder with its last cases moved to the test set; gives its name.

    The data set itself is only read.
    """
    description = read_json(dataset / "dataset.json")
    cases = get_filenames_of_train_images_and_targets(str(dataset))
    test = sorted(cases)[-min(HELD_BACK, len(cases) - FOLDS) :]
    target = raw / dataset.name
    for folder in ("imagesTr", "labelsTr", "imagesTs", "labelsTs"):
        (target / folder).mkdir(parents=True)
    ending = description["file_ending"]
    for name, files in cases.items():
        split = "Ts" if name in test else "Tr"
        for channel, image in enumerate(files["images"]):
            (target / f"images{split}" / f"{name}_{channel:04d}{ending}").symlink_to(Path(image).resolve())
        (target / f"labels{split}" / f"{name}{ending}").symlink_to(Path(files["label"]).resolve())
    description = {key: value for key, value in description.items() if key != "dataset"}
    description["numTraining"] = len(cases) - len(test)
    (target / "dataset.json").write_text(json.dumps(description, indent=2))
    return dataset.name
